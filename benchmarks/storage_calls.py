"""How many storage calls things take, counted in front of the storage emulator, not by the product.

The real entry points run on the local cloud, one after the other; a clock of the benchmark's own moves from one due
look to the next. What the Functions host does for a message of the queue (it takes it, and deletes it) is added, two
calls a wake-up; its empty polls are not calls of an event, and are in the idle day. docs/deploy.md shows these figures:
`python -m benchmarks.storage_calls` prints them and what follows from them, with `--write` they are put there.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from azure.core.credentials import TokenCredential

from benchmarks import costs
from benchmarks.site import new_site
from local.cloud import LocalCloud
from local.progress import ByHand
from tests.scenarios import lost
from tests.scenarios.stage import RULES, Stage

ROOT: Final = Path(__file__).resolve().parent.parent
HOST_CALLS_PER_WAKE_UP: Final = 2
BURST: Final = 200
PAGE: Final = ROOT / "docs" / "deploy.md"
DAY: Final = timedelta(days=1)
HOUR: Final = timedelta(hours=1)
POLL: Final = timedelta(seconds=30)  # host.json: maxPollingInterval
SWEEP: Final = timedelta(minutes=5)  # shared/settings.py: SWEEP_SCHEDULE

COLLECTING: Final = RULES.replace('collect: {by: "{batch}"}', 'collect: {by: "{batch}", quiet: 30s, max-wait: 10m}')


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Calls of the app's storage account, and of which kind they were."""

    calls: float
    kinds: Mapping[str, int]


class Meter:
    """Counts what is called while something is done. What the benchmark itself asks is not counted."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._counted: Counter[str] = Counter()

    def during(self, work: Callable[[], object]) -> None:
        before = Counter(self._kinds())
        work()
        self._counted += Counter(self._kinds()) - before

    def _kinds(self) -> Mapping[str, int]:
        return self._stage.cloud.storage.calls.kinds(self._stage.account.name)

    def taken(self) -> Measured:
        kinds = dict(self._counted)
        host = HOST_CALLS_PER_WAKE_UP * kinds.get("queue put", 0)
        if host:
            kinds["queue get and delete, by the host"] = host
        return Measured(calls=sum(kinds.values()), kinds=dict(sorted(kinds.items())))

    def next_look(self) -> bool:
        """The earliest due look at its time; finding it is the benchmark's own question."""
        stage = self._stage
        found = sorted(stage.due.due(stage.clock.now() + timedelta(minutes=4)), key=lambda due: due.at)
        if not found:
            return False
        stage.clock.advance_to(found[0].at)
        self.during(lambda: stage.look(found[0].key))
        return True

    def until_final(self) -> None:
        while not self._stage.all_final():
            if not self.next_look():
                raise RuntimeError(f"nothing is due: {self._stage.reactions()}")


def lone_event(stage: Stage) -> Measured:
    """From its delivery to the end of its reaction, the run being over at the first look at it.

    Not the first event ever, whose start finds a factory that nobody has looked at yet.
    """
    stage.deliver(stage.land("in/first/a.csv"))
    Meter(stage).until_final()
    while Meter(stage).next_look():
        pass
    event, meter = stage.land("in/one/a.csv"), Meter(stage)
    meter.during(lambda: stage.deliver(event))
    meter.until_final()
    return meter.taken()


def afterwards(stage: Stage) -> Measured:
    """What is looked at once more after that end, until nothing is due."""
    stage.deliver(stage.land("in/one/a.csv"))
    Meter(stage).until_final()
    meter = Meter(stage)
    while meter.next_look():
        pass
    return meter.taken()


def refused_event(stage: Stage) -> Measured:
    """One that no rule waits for, such as a file that a job has written."""
    event, meter = stage.land("out/one/a.csv"), Meter(stage)
    meter.during(lambda: stage.deliver(event))
    return meter.taken()


def further_look(stage: Stage) -> Measured:
    """One more look at the factory while the run goes on."""
    stage.factory.progress.set(ByHand(), "score")
    stage.deliver(stage.land("in/long/a.csv"))
    first = Meter(stage)
    first.next_look()
    meter = Meter(stage)
    meter.next_look()
    return meter.taken()


def burst(stage: Stage, events: int) -> Measured:
    """That many files of one batch, delivered one by one, and the one run for them."""
    landed, meter = [stage.land(f"in/burst/{number}.csv") for number in range(events)], Meter(stage)
    for event in landed:
        meter.during(lambda event=event: stage.deliver(event))  # type: ignore[misc]
    meter.until_final()
    return meter.taken()


def idle_sweep(stage: Stage) -> Measured:
    """A sweep that finds nothing: after everything else, so that there is a history to look past."""
    stage.deliver(stage.land("in/past/a.csv"))
    Meter(stage).until_final()
    chores_done(stage)
    meter = Meter(stage)
    meter.during(stage.sweep)
    return meter.taken()


def idle_chores(stage: Stage) -> Measured:
    """An hour's chores with nothing to do, and the sweep that wakes them: there is a rule for everything listed."""
    chores_done(stage)
    stage.clock.advance(HOUR)
    meter = Meter(stage)
    meter.during(stage.sweep)
    while meter.next_look():
        pass
    return meter.taken()


def chores_done(stage: Stage) -> None:
    """Those that a new process begins with."""
    stage.sweep()
    while Meter(stage).next_look():
        pass


def idle_day(sweep: Measured, chores: Measured) -> dict[str, float]:
    """What the app's code and its trigger's polls take, where one instance is up all day."""
    polls, sweeps, hours = DAY / POLL, DAY / SWEEP, DAY / HOUR
    counted = {
        "polls_of_the_queue": polls,
        "sweeps": sweeps * sweep.calls,
        "chores": hours * (chores.calls - sweep.calls),
    }
    return {**counted, "calls": sum(counted.values())}


def activity_runs(pipeline: Mapping[str, Any]) -> dict[str, int]:
    """Of a run that succeeds: those it always has, and those of every poll of a job."""
    activities = pipeline["properties"]["activities"]
    loops = [each for each in activities if each["type"] == "Until"]
    polled = {len(each["typeProperties"]["activities"]) for each in loops}
    if len(polled) > 1:
        raise ValueError(f"{pipeline['name']}: its loops are of different lengths")
    return {"always": len(activities), "jobs": len(loops), "per_poll": next(iter(polled), 0)}


# --- the whole ------------------------------------------------------------------------------------------------------


def measure(cloud: LocalCloud, credential: TokenCredential, folder: Path) -> dict[str, Any]:
    def on_a_stage(work: Callable[[Stage], Measured], rules: str = RULES, **options: Any) -> Measured:  # noqa: ANN401 - as the stage takes them
        stage = Stage(cloud=cloud, credential=credential, folder=folder, rules=rules, **options)
        try:
            return work(stage)
        finally:
            stage.close()

    sweep = on_a_stage(idle_sweep)
    names = {"MODEL": "clf-bench", "MONITOR": "drift-bench"}
    chores = on_a_stage(idle_chores, lost.RULES, extra_settings=names, pipelines=(lost.SEE,))
    one = on_a_stage(lambda stage: burst(stage, 1), COLLECTING)
    many = on_a_stage(lambda stage: burst(stage, BURST), COLLECTING)
    files = sorted((ROOT / "infra" / "adf" / "pipeline").glob("*.json"))
    return {
        "lone_event": asdict(on_a_stage(lone_event)),
        "after_its_end": asdict(on_a_stage(afterwards)),
        "refused_event": asdict(on_a_stage(refused_event)),
        "further_look": asdict(on_a_stage(further_look)),
        "burst_of_1": asdict(one),
        f"burst_of_{BURST}": asdict(many),
        "extra_event_of_a_burst": {"calls": round((many.calls - one.calls) / (BURST - 1), 3)},
        "idle_sweep": asdict(sweep),
        "idle_chores": asdict(chores),
        "idle_day": idle_day(sweep, chores),
        "activity_runs": {file.stem: activity_runs(json.loads(file.read_text())) for file in files},
    }


def show(found: Mapping[str, Any]) -> None:
    print(f"{'storage calls':32}{'calls':>10}")
    for name, told in found.items():
        if "calls" not in told:
            continue
        print(f"{name.replace('_', ' '):32}{told['calls']:>10,.6g}")
        for kind, number in told.get("kinds", {}).items():
            print(f"    {kind:28}{number:>10}")
    print(f"\n{'activity runs of Data Factory':32}{'always':>10}{'jobs':>10}{'per poll':>10}")
    for name, runs in found["activity_runs"].items():
        print(f"{name:32}{runs['always']:>10}{runs['jobs']:>10}{runs['per_poll']:>10}")


def main(write: bool = False) -> int:
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, new_site() as site:
        found = measure(site.cloud, site.credential, Path(folder))
    show(found)
    for part in costs.page(found).values():
        print(f"\n{part}")
    if write:
        PAGE.write_text(costs.written(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")
    print(f"\nIt took {time.monotonic() - began:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main(write="--write" in sys.argv[1:]))
