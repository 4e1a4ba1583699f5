"""What Event Grid could not deliver is taken in; a dead letter of which something was refused stays, and says why."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shared import events, telemetry
from shared.events import Reason, Refused
from shared.intake import Intake
from shared.ports import Clock, DeadLetter, DeadLetters

logger = logging.getLogger(__name__)

CHORE: Final = "dead-letters"
EVERY: Final = timedelta(hours=1)
AT_MOST: Final = 320
FOR_AT_MOST: Final = timedelta(minutes=1)
"""One look takes no more, and the next follows at once where there are more."""


def take_in(intake: Intake, letters: DeadLetters, name: str) -> tuple[str, ...]:
    """Hands every event of a dead letter to intake; gives why some were refused. Taken twice is once.

    Raises:
        StorageUnavailable: one of them is not in the ledger.
    """
    content = letters.read(name)
    if content is None:
        return ()
    return tuple(filter(None, (_refusal(intake, raw) for raw in events.separate(content))))


def _refusal(intake: Intake, raw: str) -> str:
    taken = intake.take(raw)
    if isinstance(taken, Refused):
        return f"{taken.reason}: {taken.detail}"
    return "" if taken.rules else f"{Reason.UNMATCHED}: no rule waits for it"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterChore:
    """Takes in those that nobody has tried yet, and removes each of which nothing was refused."""

    letters: DeadLetters
    intake: Intake
    clock: Clock

    def sweep(self) -> datetime:
        """Gives when to go on.

        Raises:
            StorageUnavailable: they cannot be listed; all of them stay.
        """
        now = self.clock.now()
        taken, refused, kept = 0, list[str](), list[str]()
        full = False
        for letter in self._unread():
            full = taken + len(refused) + len(kept) == AT_MOST or self.clock.now() >= now + FOR_AT_MOST
            if full:
                break
            try:
                reasons = self._take(letter)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one must not keep the others
                kept.append(f"{letter.name}: {error!r}")
                continue
            taken += not reasons
            refused += [f"{letter.name}: {reasons[0]}"] if reasons else []
        _report(taken, refused, kept)
        return now if full and not kept else now + EVERY

    def _unread(self) -> Iterator[DeadLetter]:
        continuation: str | None = None
        while True:
            page = self.letters.list(continuation=continuation)
            yield from (letter for letter in page.letters if letter.refused is None)
            continuation = page.continuation
            if continuation is None:
                return

    def _take(self, letter: DeadLetter) -> tuple[str, ...]:
        reasons = take_in(self.intake, self.letters, letter.name)
        if reasons:
            self.letters.mark(letter, "; ".join(reasons))
        else:
            self.letters.remove(letter.name)
        return reasons


def _report(taken: int, refused: list[str], kept: list[str]) -> None:
    """One record for all. Those kept are tried again, those refused are not."""
    if taken or refused or kept:
        facts = {"taken": taken, "refused": len(refused), "kept": len(kept), "errors": [*refused, *kept][:5] or None}
        telemetry.record(logger, "dead_letters_read", facts, logging.ERROR if refused or kept else logging.WARNING)
