"""An app process whose time goes faster: `python -m tests.processes.app_process SPEED BEGAN HEAD_START …`.

It is the function host with the real app in it; only the app's clock is another one. What comes after is the host's:
BEGAN is a time in seconds since 1970, the same for all processes of a test, at which their clocks were HEAD_START
seconds behind; since then they go SPEED times as fast as the machine's. The factory and the queue stay in real time, so
a clock has to be within the five minutes by which Relearn pads its questions.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from local.host.__main__ import main as host
from shared import telemetry, wiring


@dataclass(frozen=True, slots=True, kw_only=True)
class FastClock:
    """Implements the port Clock."""

    speed: float
    began: float
    head_start: float

    def now(self) -> datetime:
        passed = (time.time() - self.began) * self.speed
        return datetime.fromtimestamp(self.began - self.head_start + passed, UTC)


def main(arguments: Sequence[str]) -> int:
    speed, began, head_start = (float(each) for each in arguments[:3])
    telemetry.quiet_azure_clients()
    settings, rules = wiring.configuration(wiring.ROOT, os.environ)
    wiring.use(wiring.build(settings, rules, FastClock(speed=speed, began=began, head_start=head_start)))
    return host(arguments[3:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
