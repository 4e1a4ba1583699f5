"""Removes what is older than it has to be kept, in the background and in bounded parts.

Every part goes on where the last one ended; done twice, or twice at once, it removes nothing else.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from shared import telemetry
from shared.looks import LATER, SOON
from shared.memory import NUMBERS_FOR
from shared.ports import Archive, Clock, Manifests, OldRow, Recent, Removal, RowKind
from shared.reactions import reaction_id
from shared.rules import FileOverdueTrigger, Rules

logger = logging.getLogger(__name__)

EVERY: Final = timedelta(days=1)
GIVEN_UP: Final = timedelta(days=3)
"""A pass that takes this long does not get on, and begins again: a place in it may be no good any more."""
AT_LEAST_APART: Final = 2 * NUMBERS_FOR
"""From the end of a pass to the next: by then every process goes by the numbers that the pass raised."""
MARGIN: Final = timedelta(hours=1)
"""Kept longer than promised. More than clocks differ, and than an accepted event takes into its lane."""
PAGE: Final = 250
PAGES: Final = 4
REMOVALS: Final = 300
"""In one part at most so many pages of so many rows are looked at; after so many removals it ends early."""


def cutoff_of(now: datetime, retention: timedelta) -> datetime:
    """The beginning of a day, so that a reaction and its day's list go together."""
    return (now - retention - MARGIN).replace(hour=0, minute=0, second=0, microsecond=0)


class Retention:
    """A chore: one pass over the ledger a day."""

    def __init__(
        self,
        *,
        archive: Archive,
        manifests: Manifests,
        recent: Recent,
        rules: Rules,
        clock: Clock,
        retention: timedelta,
        look_soon: Callable[[str], None],
    ) -> None:
        """`look_soon` makes sure of a look at a lane."""
        self._look_soon = look_soon
        self._archive = archive
        self._manifests = manifests
        self._recent = recent
        self._rules = rules
        self._clock = clock
        self._retention = retention

    def __call__(self) -> datetime | None:
        """Does a part of the pass, and gives when to go on.

        Raises:
            StorageUnavailable: the part is done again.
        """
        now = self._clock.now()
        removal = self._archive.removal()
        began = removal.began or now - GIVEN_UP
        if removal.place is None or began + GIVEN_UP <= now:
            if now < began + EVERY:
                return began + EVERY
            begun = self._archive.save(self._begun(removal, now))
            if begun is None:
                return now + LATER
            removal = begun
        return self._part(removal, now)

    def _begun(self, removal: Removal, now: datetime) -> Removal:
        """What is to be removed is said first: whoever decides about an old event from now on takes it for unknown."""
        cutoff = cutoff_of(now, self._retention)
        if removal.cutoff is not None:
            cutoff = max(cutoff, removal.cutoff)  # what may be gone stays so, however long things are kept from now on
        return replace(removal, began=now, cutoff=cutoff, place="", settled=removal.numbers)

    def _part(self, removal: Removal, now: datetime) -> datetime:
        # What was removed by a longer reach stays forgotten, but only what is old by today's setting is removed now.
        cutoff = cutoff_of(removal.began or now, self._retention)
        removed: Counter[str] = Counter()
        looked, place, numbers = 0, removal.place, removal.numbers
        removed["lists"] = self._recent.forget(cutoff, REMOVALS)
        for _ in range(PAGES):
            if place is None or removed.total() >= REMOVALS:
                break
            page = self._archive.page(cutoff, place or None, PAGE)
            looked += len(page.rows)
            for _, rows in groupby(page.rows, key=lambda row: row.lane):
                gone, number = self._lane(list(rows), removal, cutoff)
                removed, numbers = removed + gone, max(numbers, number)
            place = page.place
        saved = self._archive.save(replace(removal, place=place, numbers=numbers))
        if removed.total() or place is None:
            facts = {
                "before": cutoff.isoformat(),
                "looked_at": looked,
                "reactions": removed[RowKind.REACTION],
                "history": removed[RowKind.HISTORY],
                "identities": removed[RowKind.IDENTITY],
                "lanes": removed[RowKind.HEAD],
                "lists": removed["lists"],
                "done": place is None,
            }
            telemetry.record(logger, "retention_removed", facts)
        if saved is None:
            return now + LATER
        if place is not None:
            return now + SOON
        return max((removal.began or now) + EVERY, now + AT_LEAST_APART)

    def _lane(self, rows: Sequence[OldRow], removal: Removal, cutoff: datetime) -> tuple[Counter[str], int]:
        """Removes what may go of a lane's rows on one page.

        Gives what went, by kind, and the number that new lanes must go beyond because this one is to go.
        """
        lane, removed = rows[0].lane, Counter[str]()
        if any(row.kind is RowKind.HEAD and row.in_use for row in rows):
            # A delivery may have died after it had begun something here, and by other rules have come again elsewhere.
            self._look_soon(lane)
        old = {kind: [row for row in rows if row.kind is kind and _old(row, cutoff)] for kind in RowKind}
        ended = self._ended(lane, old[RowKind.REACTION])
        kept = self._kept(lane, [*old[RowKind.IDENTITY], *old[RowKind.HISTORY]], ended, cutoff)
        lines = [row for row in old[RowKind.HISTORY] if row.number not in kept]
        identities = [row for row in old[RowKind.IDENTITY] if row.number not in kept]
        for row in ended:
            if row.manifest:  # first: without its reaction nobody would find it
                self._manifests.remove(reaction_id(lane, row.number), cutoff)
        removed += self._remove(lane, [*ended, *lines, *self._not_pending(lane, identities)])
        going = [head for head in old[RowKind.HEAD] if self._may_go(head)]
        for head in going:
            if head.number <= removal.settled:
                removed += self._remove(lane, [head])
        return removed, max((head.number for head in going), default=0)

    def _remove(self, lane: str, rows: Sequence[OldRow]) -> Counter[str]:
        gone = self._archive.remove(lane, rows) if rows else ()
        return Counter(str(row.kind) for row in gone)

    def _not_pending(self, lane: str, identities: Sequence[OldRow]) -> list[OldRow]:
        """An event that was delivered again and still waits is known by its identity only."""
        if not identities:
            return []
        again = self._archive.pending(lane, [row.event_id for row in identities])
        return [row for row in identities if row.event_id not in again]

    def _ended(self, lane: str, reactions: Sequence[OldRow]) -> list[OldRow]:
        """Reactions that may go. The events of a superseded one are those of the next as well: it goes after that."""
        going = {row.number for row in reactions if not row.superseded}
        superseded = sorted((row.number for row in reactions if row.superseded), reverse=True)
        followed = {row.number for row in self._reactions(lane, {number + 1 for number in superseded})}
        for number in superseded:
            if number + 1 in going or not (number + 1 in followed or self._archive.in_use(lane)):
                going.add(number)
        return [row for row in reactions if row.number in going]

    def _kept(self, lane: str, rows: Sequence[OldRow], ended: Sequence[OldRow], cutoff: datetime) -> Set[int]:
        """The reactions to which some of the rows belong, and which do not go in this pass."""
        going = {row.number for row in ended}
        found = self._reactions(lane, {row.number for row in rows} - going - {0})
        return {row.number for row in found if row.superseded or not _old(row, cutoff)}

    def _reactions(self, lane: str, numbers: Set[int]) -> Sequence[OldRow]:
        return self._archive.reactions(lane, numbers) if numbers else ()

    def _may_go(self, head: OldRow) -> bool:
        rule = self._rules.rules.get(head.rule)
        if head.expects and rule is not None and isinstance(rule.trigger, FileOverdueTrigger):
            return False
        cooling = rule.limits.cooldown if rule is not None and head.at is not None else timedelta(0)
        if head.at is not None and self._clock.now() < head.at + cooling:
            return False
        return self._archive.nothing_left(head.lane)


def _old(row: OldRow, cutoff: datetime) -> bool:
    """A head without a time had no reaction yet: it is as old as what is left in its lane."""
    return not row.in_use and (row.at is None or row.at < cutoff)
