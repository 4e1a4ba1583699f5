"""Times of a day, a week or a month, as cron writes them: `0 2 * * *`. Always in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cronsim import CronSim, CronSimError

_ANY_TIME: Final = datetime(2024, 1, 1, tzinfo=UTC)
_HOW: Final = "write minute, hour, day, month and weekday: 0 2 * * * is every night at 02:00 UTC"


@dataclass(frozen=True, slots=True)
class Cron:
    """Times that come again and again."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Cron:
        """Reads five fields of cron.

        Raises:
            ValueError: with what is wrong with them.
        """
        if len(text.split()) != 5:
            raise ValueError(f"{text!r} is not a cron expression; {_HOW}")
        try:
            next(CronSim(text, _ANY_TIME))
        except CronSimError as error:
            raise ValueError(f"{text!r} is not a cron expression ({error}); {_HOW}") from None
        except StopIteration:
            raise ValueError(f"{text!r} never comes; {_HOW}") from None
        return cls(text=text)

    def next_after(self, at: datetime) -> datetime:
        """The first of these times after `at`, in UTC."""
        found: datetime = next(CronSim(self.text, at.astimezone(UTC)))
        return found
