"""What the acts of the demo share, and what they leave behind for the facts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from local.demo.calls import Calls
from local.demo.data import Files
from local.demo.expectations import DemoFailed
from local.machine_learning import Job, Status
from local.story import FINAL, Reactions, Story
from local.system import LocalSystem
from local.workspace_client import Live

TRAIN_SECONDS = 180.0
REACTION_SECONDS = 240.0
OVERNIGHT = "score-overnight"


class Teller:
    """Prints the story as it goes on; on a terminal it shows as well what is waited for."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def line(self, text: str) -> None:
        self._console.print(text, markup=False)

    def heading(self, text: str) -> None:
        self._console.print()
        self._console.rule(text, align="left", style="dim")

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        with self._console.status(text):
            yield


def by_day(found: Reactions) -> Reactions:
    """Those that the acts bring about, one after the other."""
    return [reaction for reaction in found if reaction["rule"] != OVERNIGHT]


@dataclass(kw_only=True)
class Batch:
    """Patient files that landed, and what became of them."""

    title: str
    batch: str
    rule: str
    files: int
    rows: int
    silver_path: str = ""
    scored_rows: int = 0
    positive: int = 0


@dataclass(kw_only=True)
class Stage:
    """Attributes:
    overnight: the files of a day, whose reaction comes by the clock, whichever act is played then.
    calls: the client that never stops asking; there once a model is live.
    live_before, live_after: what was live before the drifted file landed, and at the end.
    answer: of the endpoint, asked by name of no deployment, once the new model was live.
    """

    system: LocalSystem
    story: Story
    files: Files
    batches: list[Batch] = field(default_factory=list)
    overnight: Batch | None = None
    calls: Calls | None = None
    monitor_run: str = ""
    live_before: Live | None = None
    live_after: Live | None = None
    answer: dict[str, Any] = field(default_factory=dict)
    delivered_again: dict[str, Any] = field(default_factory=dict)

    def land(self, path: str, content: bytes) -> None:
        self.system.upload(path, content)
        self.story.tell("file", f"{path} landed")

    def until_job_ended(self, name: str, what: str) -> Job:
        """Raises DemoFailed: it did not end as Completed."""
        learning = self.system.cloud.machine_learning
        self.story.until(lambda _: learning.job(name).status.is_final, TRAIN_SECONDS, what)
        job = learning.job(name)
        if job.status is not Status.COMPLETED:
            raise DemoFailed(f"{what} ended as {job.status}: {job.message}")
        return job

    def until_ended(self, count: int, what: str) -> None:
        """Until there are so many reactions, and all of them have ended; the overnight one does not count."""

        def ended(every: Reactions) -> bool:
            found = by_day(every)
            return len(found) >= count and all(r["state"] in FINAL for r in found)

        self.story.until(ended, REACTION_SECONDS, what)

    def until_live(self, other_than: Live | None, reactions: int, what: str) -> Live:
        """What is live, once that is another version.

        Raises:
            DemoFailed: all reactions have ended, and it is not.
        """
        found: list[Live] = []

        def moved(all_reactions: Reactions) -> bool:
            live = self.system.live()
            if live is not None and (other_than is None or live.version != other_than.version):
                found.append(live)
            daily = by_day(all_reactions)
            over = len(daily) >= reactions and all(r["state"] in FINAL for r in daily)
            return bool(found) or over

        self.story.until(moved, REACTION_SECONDS, what)
        if not found:
            last = by_day(self.story.reactions())[-1]
            raise DemoFailed(f"{what}: it did not come; {last['rule']} ended as {last['state']}: {last['reason']}")
        return found[0]
