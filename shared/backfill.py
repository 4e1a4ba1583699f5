"""Takes in the files of the lake that a rule would have had, had it been told: those of before it, and lost ones."""

from __future__ import annotations

import base64
import binascii
import json
import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shared import telemetry
from shared.errors import NotPossible, NotThere
from shared.events import FileLanded, event_key
from shared.intake import Intake
from shared.lanes import lane_id
from shared.memory import Remembered
from shared.ports import Lake, LakeFile, Lanes
from shared.rules import FileLandedTrigger, Rule, Rules

logger = logging.getLogger(__name__)

PAGE: Final = 1000
"""Files of one page: less than a minute's work, where an HTTP call has less than four."""
GATHER: Final = timedelta(minutes=1)
"""For so long nobody looks at a lane: what one page brings becomes one batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillPage:
    """What became of one page of the lake's files.

    Attributes:
        listed: files below the beginning of the rule's path.
        matched: those of them that are the rule's and landed since the time asked for; each is one of the next three.
        new: taken in now.
        known: taken in before, whoever told of them.
        too_old: landed before the time for which events are kept, so that nobody knows whether they were taken in:
            left out.
        continuation: what to ask with for the next page; None where this was the last.
    """

    listed: int
    matched: int
    new: int
    known: int
    too_old: int
    continuation: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """Lists the lake for one rule."""

    rules: Rules
    lake: Lake
    lanes: Lanes
    intake: Intake
    remembered: Remembered

    def page(self, rule: str, since: datetime, continuation: str | None = None) -> BackfillPage:
        """Takes in one page of the files that landed at or after a time. Asked twice is asked once.

        Args:
            since: with its zone; a file's time is its last change.
            continuation: of the page before; None for the first.

        Raises:
            NotThere: there is no such rule.
            NotPossible: it waits for no files, or the continuation is none that a page gave.
            StorageUnavailable: some of it was not taken in; ask again for the same page.
        """
        wanted, trigger = self._rule(rule)
        accounts = self.lake.accounts
        number, marker = _opened(continuation, len(accounts))
        found = self.lake.files(
            accounts[number], trigger.path.container, trigger.path.prefix, top=PAGE, continuation=marker
        )
        landed = [_landed(accounts[number], trigger.path.container, file) for file in found.files if file.size > 0]
        ours = [event for event in landed if event.time >= since and trigger.captures(event) is not None]
        known_since = self.remembered.known_since()
        young = [event for event in ours if event.time >= known_since]
        new = sum(self._take_in(wanted, event) for event in self._unknown(wanted, young))
        page = BackfillPage(
            listed=len(found.files),
            matched=len(ours),
            new=new,
            known=len(young) - new,
            too_old=len(ours) - len(young),
            continuation=_following(number, found.continuation, len(accounts)),
        )
        facts = {
            "rule": rule,
            "since": since.isoformat(),
            "listed": page.listed,
            "new": page.new,
            "known": page.known,
            "too_old": page.too_old,
        }
        telemetry.record(logger, "backfill_page", facts)
        return page

    def _rule(self, name: str) -> tuple[Rule, FileLandedTrigger]:
        found = self.rules.rules.get(name)
        if found is None:
            raise NotThere(f"there is no rule {name[:100]!r}", f"there are {', '.join(sorted(self.rules.rules))}")
        if not isinstance(found.trigger, FileLandedTrigger):
            what = f"rule {name!r} waits for {found.trigger.kind} events"
            raise NotPossible(what, "only the files of a rule with file-landed can be listed")
        return found, found.trigger

    def _unknown(self, rule: Rule, landed: Sequence[FileLanded]) -> Iterator[FileLanded]:
        """Those neither taken nor skipped before. That one is pending is found out when it is inserted."""
        by_lane: dict[str, dict[str, FileLanded]] = defaultdict(dict)
        for event in landed:
            match = rule.match(event)
            if match is not None:
                by_lane[lane_id(rule.name, match.key)][event_key(event)] = event
        for lane, there in by_lane.items():
            taken = self.lanes.taken(lane, there)
            yield from (event for key, event in there.items() if key not in taken)

    def _take_in(self, rule: Rule, event: FileLanded) -> bool:
        return self.intake.accept(event, rule=rule.name, gather=GATHER).rules[rule.name]


def _landed(account: str, container: str, file: LakeFile) -> FileLanded:
    """The event of the version that is listed. The ETag makes it the one that was delivered, if one was."""
    return FileLanded(
        source=f"listed:{account}",
        event_id=f"listed:{account}/{container}/{file.path}@{file.etag}",
        subject=f"/blobServices/default/containers/{container}/blobs/{file.path}",
        time=file.modified,
        account=account,
        container=container,
        path=file.path,
        etag=file.etag,
        api="List",
        size=file.size,
        url=file.url,
        content_type=file.content_type,
    )


def _following(number: int, marker: str | None, accounts: int) -> str | None:
    """Where the next page begins: in the same account, or at the beginning of the next."""
    if marker is None:
        number += 1
    if number == accounts:
        return None
    return base64.urlsafe_b64encode(json.dumps([number, marker]).encode()).decode()


def _opened(continuation: str | None, accounts: int) -> tuple[int, str | None]:
    if continuation is None:
        return 0, None
    try:
        number, marker = json.loads(base64.b64decode(continuation, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, TypeError, RecursionError) as error:
        raise _foreign() from error
    if type(number) is not int or not 0 <= number < accounts or not (marker is None or isinstance(marker, str)):
        raise _foreign()
    return number, marker


def _foreign() -> NotPossible:
    return NotPossible("the continuation is none that a page gave", "begin without one: what is known stays as it is")
