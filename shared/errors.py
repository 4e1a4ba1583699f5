"""The one family of errors: each says what was wrong, where, what to do, and whether trying again can help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta


class RelearnError(Exception):
    """Base of everything Relearn raises on purpose.

    Attributes:
        code: a stable, short name for logs and histories.
        retriable: True where the same call may succeed later, so the host or the sweep should try again.
    """

    code = "error"
    retriable = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with the configuration, and where. `line` is 1-based, None where there is no line."""

    where: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        place = self.where if self.line is None else f"{self.where}:{self.line}"
        return f"{place}: {self.message}"


class ConfigurationError(RelearnError):
    """Settings or rules are wrong. Nothing is decided or acknowledged until they are mended."""

    code = "configuration"
    retriable = True  # Event Grid keeps the events and tries again; a corrected deployment then takes them

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        title = "1 problem" if count == 1 else f"{count} problems"
        super().__init__(f"{title} in the configuration:\n" + "\n".join(f"  {p}" for p in self.problems))


class Stale(RelearnError):
    """Somebody else wrote the row first: read it again and decide again."""

    code = "stale"
    retriable = True


class AlreadyTaken(RelearnError):
    """Events that were to be taken had been taken before: late deliveries of known events."""

    code = "already-taken"
    retriable = True

    def __init__(self, event_ids: frozenset[str]) -> None:
        self.event_ids = event_ids
        super().__init__(f"{len(event_ids)} event(s) had been taken before: {', '.join(sorted(event_ids)[:5])}")


class UnreadableRow(RelearnError):
    """A row that a later version wrote, or that is damaged. Whoever needs it waits: half a row decides nothing."""

    code = "unreadable-row"
    retriable = True


class StorageUnavailable(RelearnError):
    """Table, queue or blob storage did not do what was asked; nothing may be acknowledged."""

    code = "storage-unavailable"
    retriable = True


class TargetRefused(RelearnError):
    """The factory or workspace said no in a way that trying again does not change (a 4xx other than 429)."""

    code = "target-refused"

    def __init__(self, message: str, *, status: int | None = None, code: str | None = None) -> None:
        self.status = status
        self.target_code = code
        super().__init__(message)


class TargetBusy(RelearnError):
    """The target is throttling or full (429): it did not start anything; wait, then ask again."""

    code = "target-busy"
    retriable = True

    def __init__(self, message: str, *, retry_after: timedelta | None = None, status: int | None = None) -> None:
        self.retry_after = retry_after
        self.status = status
        super().__init__(message)


class InDoubt(RelearnError):
    """The call went out and no clear answer came back: the effect may or may not exist."""

    code = "in-doubt"
    retriable = True

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class TargetUnavailable(RelearnError):
    """A question to the target (never a start) got no usable answer; ask again later."""

    code = "target-unavailable"
    retriable = True

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class NotThere(RelearnError):
    """What a person asked for does not exist; `todo` says how to find what does."""

    code = "not-there"

    def __init__(self, message: str, todo: str) -> None:
        self.todo = todo
        super().__init__(message)


class NotPossible(RelearnError):
    """Something that a person asked for is not possible as things are; `todo` says what is."""

    code = "not-possible"

    def __init__(self, message: str, todo: str) -> None:
        self.todo = todo
        super().__init__(message)
