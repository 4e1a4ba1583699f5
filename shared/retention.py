"""Removes what is older than it has to be kept, in the background and in bounded parts.

Every part goes on where the last one ended; done twice, or twice at once, it removes nothing else.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from shared import telemetry
from shared.looks import LATER, SOON
from shared.memory import NUMBERS_FOR
from shared.ports import Archive, Clock, Manifests, OldRow, Recent, Removal, RowKind
from shared.reactions import reaction_id
from shared.rules import Rules

logger = logging.getLogger(__name__)

EVERY: Final = timedelta(days=1)
AT_LEAST_APART: Final = 2 * NUMBERS_FOR
"""From the end of a pass to the next: by then every process goes by the numbers that the pass raised."""
MARGIN: Final = timedelta(hours=1)
"""Kept longer than promised. More than clocks differ, and than an accepted event takes into its lane."""
PAGE: Final = 250
PAGES: Final = 4
REMOVALS: Final = 300
"""In one part at most so many pages of so many rows are looked at; after so many removals it ends early."""
_BELONGINGS: Final = (RowKind.IDENTITY, RowKind.HISTORY)


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
    ) -> None:
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
        if removal.place is None:
            if removal.began is not None and now < removal.began + EVERY:
                return removal.began + EVERY
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
            for lane, rows in groupby(page.rows, key=lambda row: row.lane):
                numbers = max(numbers, self._lane(lane, list(rows), removal, cutoff, removed))
            place = page.place
        saved = self._archive.save(replace(removal, place=place, numbers=numbers))
        if removed.total() or place is None:
            facts = {
                "before": cutoff.isoformat(),
                "looked_at": looked,
                "reactions": removed["reactions"],
                "history": removed["history"],
                "identities": removed["identities"],
                "lanes": removed["lanes"],
                "lists": removed["lists"],
                "done": place is None,
            }
            telemetry.record(logger, "retention_removed", facts)
        if saved is None:
            return now + LATER
        if place is not None:
            return now + SOON
        return max((removal.began or now) + EVERY, now + AT_LEAST_APART)

    def _lane(
        self, lane: str, rows: Sequence[OldRow], removal: Removal, cutoff: datetime, removed: Counter[str]
    ) -> int:
        """Removes what may go of a lane's rows on one page. Gives the number that new lanes must go beyond for it."""
        old = {kind: [row for row in rows if row.kind is kind and _old(row, cutoff)] for kind in RowKind}
        removed["reactions"] += self._remove(
            lane, self._without_manifest(self._ended(lane, old[RowKind.REACTION]), cutoff)
        )
        kept = self._kept(lane, {row.number for kind in _BELONGINGS for row in old[kind]} - {0}, cutoff)
        for kind in _BELONGINGS:
            old[kind] = [row for row in old[kind] if row.number not in kept]
        removed["history"] += self._remove(lane, old[RowKind.HISTORY])
        removed["identities"] += self._remove(lane, self._not_pending(lane, old[RowKind.IDENTITY]))
        going = [head for head in old[RowKind.HEAD] if self._may_go(head)]
        for head in going:
            if head.number <= removal.settled:
                removed["lanes"] += self._archive.remove(lane, [head])
        return max((head.number for head in going), default=0)

    def _remove(self, lane: str, rows: Sequence[OldRow]) -> int:
        return self._archive.remove(lane, rows) if rows else 0

    def _not_pending(self, lane: str, identities: Sequence[OldRow]) -> list[OldRow]:
        """An event that was delivered again and still waits is known by its identity only."""
        if not identities:
            return []
        again = self._archive.pending(lane, [row.event_id for row in identities])
        return [row for row in identities if row.event_id not in again]

    def _without_manifest(self, reactions: Sequence[OldRow], cutoff: datetime) -> list[OldRow]:
        """Their manifests first: nobody would find them without the reaction."""
        for row in reactions:
            if row.manifest:
                self._manifests.remove(reaction_id(row.lane, row.number), cutoff)
        return list(reactions)

    def _ended(self, lane: str, reactions: Sequence[OldRow]) -> list[OldRow]:
        """Reactions that may go. The events of a superseded one are those of the next as well: it goes after that."""
        going = {row.number for row in reactions if not row.superseded}
        superseded = sorted((row.number for row in reactions if row.superseded), reverse=True)
        followed = {row.number for row in self._reactions(lane, {number + 1 for number in superseded})}
        for number in superseded:
            if number + 1 in going or not (number + 1 in followed or self._archive.in_use(lane)):
                going.add(number)
        return [row for row in reactions if row.number in going]

    def _kept(self, lane: str, numbers: Set[int], cutoff: datetime) -> Set[int]:
        """Those of the numbers that have a reaction which does not go in this pass: then what belongs to it stays."""
        found = self._reactions(lane, numbers)
        return {row.number for row in found if row.superseded or not _old(row, cutoff)}

    def _reactions(self, lane: str, numbers: Set[int]) -> Sequence[OldRow]:
        return self._archive.reactions(lane, numbers) if numbers else ()

    def _may_go(self, head: OldRow) -> bool:
        rule = self._rules.rules.get(head.rule)
        cooling = rule.limits.cooldown if rule is not None and head.at is not None else timedelta(0)
        if head.at is not None and self._clock.now() < head.at + cooling:
            return False
        return self._archive.nothing_left(head.lane)


def _old(row: OldRow, cutoff: datetime) -> bool:
    """A head without a time had no reaction yet: it is as old as what is left in its lane."""
    return not row.in_use and (row.at is None or row.at < cutoff)
