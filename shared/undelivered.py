"""What people can do with dead letters: see them, have them taken in once more, or throw them away."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from shared import events, queries
from shared.acts import Answer
from shared.dead_letters import take_in
from shared.errors import NotThere
from shared.intake import Intake
from shared.ports import DeadLetter, DeadLetters

PAGE: Final = 50
"""Dead letters that are looked at by one call."""
TAKEN_IN: Final = 10
"""Dead letters that one call takes in: each may have many events, and a call has less than four minutes."""
SHOWN: Final = 20
"""Events that are shown of one, and reasons that are told."""
_LONGEST_WHY: Final = 200
_TOLD: Final = ("deadLetterReason", "deliveryAttempts", "lastDeliveryOutcome", "publishTime", "lastDeliveryAttemptTime")


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """Which dead letters. `until` is exclusive; `refused`: a part of the reason why one stays."""

    since: datetime | None = None
    until: datetime | None = None
    refused: str | None = None

    def takes(self, letter: DeadLetter) -> bool:
        in_time = (self.since is None or letter.at >= self.since) and (self.until is None or letter.at < self.until)
        return in_time and (self.refused is None or self.refused in (letter.refused or ""))


class Undelivered:
    def __init__(self, *, letters: DeadLetters, intake: Intake) -> None:
        self._letters = letters
        self._intake = intake

    def listed(self, top: int, after: str | None) -> Answer:
        page = self._letters.list(top=top, continuation=after)
        return {"dead_letters": [_letter(letter) for letter in page.letters], "next": page.continuation}

    def shown(self, name: str) -> Answer:
        """One with its events, and what Event Grid says of each.

        Raises:
            NotThere: there is none of that name.
        """
        content = self._letters.read(name)
        if content is None:
            raise _gone(name)
        raw = list(events.separate(content))
        left_out = max(0, len(raw) - SHOWN)
        return {"name": name, "events": [_event(each) for each in raw[:SHOWN]], "events_left_out": left_out}

    def replay(self, name: str) -> Answer:
        """Hands its events to intake once more; it goes where nothing is refused, else it stays with the reason.

        Raises:
            NotThere: there is none of that name.
        """
        refused = self._again(self._found(name))
        told = {"name": name, "refused": [why[:_LONGEST_WHY] for why in refused[:SHOWN]]}
        return told if len(refused) <= SHOWN else {**told, "refused_more": len(refused) - SHOWN}

    def purge(self, name: str) -> Answer:
        """Throws it away.

        Raises:
            NotThere: there is none of that name.
        """
        self._letters.remove(self._found(name).name)
        return {"name": name, "purged": True}

    def count(self, which: Which, after: str | None) -> Answer:
        """How many of a page would be taken."""
        page = self._letters.list(top=PAGE, continuation=after)
        return {"dead_letters": sum(which.takes(letter) for letter in page.letters), "next": page.continuation}

    def replay_page(self, which: Which, after: str | None) -> Answer:
        """Those of a page that the filter takes, each as `replay` does it."""
        page = self._letters.list(top=TAKEN_IN, continuation=after)
        counts: Counter[str] = Counter()
        for letter in filter(which.takes, page.letters):
            counts["dead_letters"] += 1
            counts["stay" if self._again(letter) else "taken_in"] += 1
        return {**_counted(counts, "dead_letters", "taken_in", "stay"), "next": page.continuation}

    def purge_page(self, which: Which, after: str | None) -> Answer:
        """Those of a page that the filter takes, each as `purge` does it."""
        page = self._letters.list(top=PAGE, continuation=after)
        taken = [letter for letter in page.letters if which.takes(letter)]
        for letter in taken:
            self._letters.remove(letter.name)
        return {"dead_letters": len(taken), "next": page.continuation}

    def _again(self, letter: DeadLetter) -> list[str]:
        """Why some of its events are refused; nothing where all were taken in, and it is gone."""
        refused = list(take_in(self._intake, self._letters, letter.name))
        if refused:
            self._letters.mark(letter, "; ".join(refused))
        else:
            self._letters.remove(letter.name)
        return refused

    def _found(self, name: str) -> DeadLetter:
        found = next((letter for letter in self._all() if letter.name == name), None)
        if found is None:
            raise _gone(name)
        return found

    def _all(self) -> Iterator[DeadLetter]:
        after: str | None = None
        while True:
            page = self._letters.list(continuation=after)
            yield from page.letters
            after = page.continuation
            if after is None:
                return


def _gone(name: str) -> NotThere:
    return NotThere(f"there is no dead letter {name[:200]!r}", "it was taken in or purged; GET /api/dead-letters lists")


def _letter(letter: DeadLetter) -> Answer:
    told = {"name": letter.name, "at": queries.text(letter.at), "size": letter.size}
    return {**told, "refused": letter.refused or "not read yet"}


def _event(raw: str) -> Answer:
    """The event, and beside it what Event Grid says of its delivery."""
    try:
        found: Any = json.loads(raw)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        return {"unreadable": raw[:500]}
    names = {name.lower(): name for name in found}  # either schema's spelling
    told = {each: found[names[each.lower()]] for each in _TOLD if each.lower() in names}
    return {**told, "event": {name: value for name, value in found.items() if name not in told}}


def _counted(counts: Counter[str], *names: str) -> Answer:
    return {name: counts[name] for name in names}
