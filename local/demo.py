"""`make demo`: files land, a pipeline scores them once, a burst becomes one reaction; everything is delivered twice."""

from __future__ import annotations

import csv
import io
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from azure.data.tables import TableClient
from rich.console import Console
from rich.table import Table

from local.azurite import APP_ACCOUNT
from local.bootstrap import ROOT
from local.data_factory.request_log import duplicate_starts
from local.folder_lock import FolderLock
from local.machine_learning.jobs import Literal
from local.service import storage_account_id
from local.story import FINAL, Story
from local.system import LocalSystem, sample

PARTS: Final = 100
FILES: Final = ("diabetes.csv", "diabetes2.csv", "patient-age.csv", "patient-levels.csv")
PATIENT_FILES: Final = ("patient-age.csv", "patient-levels.csv")
REACTION_SECONDS: Final = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where the demo keeps its data and leaves its facts: all of it is new each time."""

    folder: Path
    requests: Path
    result: Path

    @classmethod
    def in_folder(cls, state: Path) -> Places:
        return cls(folder=state / "demo", requests=state / "adf-requests.jsonl", result=state / "demo.json")

    def empty(self) -> None:
        """Removes what an earlier demo left.

        Raises:
            AlreadyRunning: it is not an earlier one, it still runs.
        """
        FolderLock(self.folder / "cloud", wait_seconds=0).release()
        shutil.rmtree(self.folder)
        for file in (self.requests, self.result):
            file.unlink(missing_ok=True)


class DemoFailed(RuntimeError):
    """Something did not turn out as it must; says what was expected and what was found."""


@dataclass
class Act:
    """One batch that landed, and what became of it."""

    title: str
    batch: str
    files: int
    rows: int
    silver_path: str = ""
    scored_rows: int = 0
    positive: int = 0
    reaction: dict[str, Any] = field(default_factory=dict)


def run(state: Path, data: Path | None = None, *, acts: int = 2) -> None:
    """Runs the demo.

    Args:
        state: the folder for its data and `demo.json`.
        data: a folder with the four CSV files; None makes sample data up.
        acts: 1 leaves the burst out.

    Raises:
        DemoFailed: something did not turn out as it must.
        TimeoutError: something did not happen in time.
    """
    began = time.monotonic()
    console = Console(highlight=False, soft_wrap=True)
    places = Places.in_folder(state)
    if data is not None:
        _must_be_complete(data)
    places.empty()
    _play(places, data, acts, lambda line: console.print(line, markup=False))
    console.print(f"\nIt took {time.monotonic() - began:.0f} s. The facts: {shown(places.result)}", markup=False)


def _play(places: Places, data: Path | None, acts: int, say: Callable[[str], None]) -> None:
    folder = _prepare(places.folder / "data", data, say)
    with LocalSystem(places.folder / "cloud", say, time_scale=0.01, adf_requests=places.requests) as system:
        say("training the first model with the train component")
        system.train_first_model(folder / "diabetes.csv")
        say("starting the app")
        system.start_app()
        say(f"the app answers on {system.host.url}/api/health\n")
        story = Story(system, say)
        try:
            played = [act(system, story, folder) for act in (_first_act, _second_act)[:acts]]
            duplicates = _second_deliveries(system, story, len(played))
            result = _result(system, story, played, duplicates)
        finally:
            story.close()
    result["duplicate_starts"] = duplicate_starts(places.requests)
    places.result.write_text(json.dumps(result, indent=2) + "\n")
    _show(played, result)
    _check(played, result)


# --- data -------------------------------------------------------------------------------------------------------------


def _must_be_complete(data: Path) -> None:
    missing = [name for name in FILES if not (data / name).is_file()]
    if missing:
        raise DemoFailed(f"{data} lacks {', '.join(missing)}; it must hold {', '.join(FILES)}")


def _prepare(made: Path, data: Path | None, say: Callable[[str], None]) -> Path:
    """A folder with the four files, and the patient files in parts below it."""
    made.mkdir(parents=True)
    if data is None:
        say("making up sample data (2,000 patients, seed 1)")
        sample(["--out", str(made), "--rows", "2000", "--seed", "1", "--parts", str(PARTS)])
        return made
    say(f"taking the files in {data}")
    for name in FILES:
        (made / name).write_bytes((data / name).read_bytes())
    sample(["--of", str(made), "--out", str(made), "--parts", str(PARTS)])
    return made


def _rows(content: bytes) -> int:
    return sum(1 for row in csv.reader(io.StringIO(content.decode())) if row) - 1


# --- the acts ---------------------------------------------------------------------------------------------------------


def _first_act(system: LocalSystem, story: Story, folder: Path) -> Act:
    act = Act(title="two files", batch="monday", files=2, rows=_rows((folder / "patient-age.csv").read_bytes()))
    for name in PATIENT_FILES:
        path = f"0-raw/diabetes/{act.batch}/stage/{name}"
        system.upload(path, (folder / name).read_bytes())
        story.tell("file", f"{path} landed")
    _wait_for(story, act, 1)
    _read_silver(system, story, act)
    return act


def _second_act(system: LocalSystem, story: Story, folder: Path) -> Act:
    parts = sorted((folder / "parts").glob("*.csv"))
    rows = sum(_rows(part.read_bytes()) for part in parts if part.name.startswith("patient-age"))
    act = Act(title=f"a burst of {len(parts)} files", batch="tuesday", files=len(parts), rows=rows)
    story.tell("burst", f"{len(parts)} files land in 0-raw/diabetes/{act.batch}/parts/")
    for part in parts:
        system.upload(f"0-raw/diabetes/{act.batch}/parts/{part.name}", part.read_bytes())
    story.tell("burst", f"{len(parts)} files have landed")
    _wait_for(story, act, 2)
    _read_silver(system, story, act)
    return act


def _wait_for(story: Story, act: Act, count: int) -> None:
    story.until(
        lambda found: len(found) >= count and all(r["state"] in FINAL for r in found),
        REACTION_SECONDS,
        f"the reaction to {act.title}",
    )
    act.reaction = story.get(f"reactions/{story.reactions()[-1]['id']}")


def _read_silver(system: LocalSystem, story: Story, act: Act) -> None:
    found = [path for path in system.paths(f"2-silver/diabetes/{act.batch}/") if path.endswith("/diabetes.csv")]
    if len(found) != 1:
        raise DemoFailed(f"expected one silver file for batch {act.batch}, found {found or 'none'}")
    [act.silver_path] = found
    rows = list(csv.DictReader(io.StringIO(system.download(act.silver_path).decode())))
    act.scored_rows = sum(1 for row in rows if row.get("Diabetes") in {"0", "1"})
    act.positive = sum(1 for row in rows if row.get("Diabetes") == "1")
    story.tell("silver", f"{act.silver_path}: {act.scored_rows:,} rows scored, {act.positive:,} of them positive\n")


# --- everything once more ---------------------------------------------------------------------------------------------


def _second_deliveries(system: LocalSystem, story: Story, reactions: int) -> int:
    """Delivers every event again under its id, now that its reaction has ended; gives how many that were."""
    events = system.cloud.event_grid
    lake = storage_account_id("relearnlake").lower()
    events.wait_idle(30)
    ids = list(dict.fromkeys(attempt.event_id for attempt in events.deliveries))
    story.tell("again", f"all {len(ids)} events are delivered a second time, with the same ids")
    for event_id in ids:
        events.redeliver(event_id)
    events.wait_idle(120, topic=lake)
    _until_nothing_is_due(system)
    story.until(lambda found: all(r["state"] in FINAL for r in found), 60, "the second deliveries to be looked at")
    story.tell("again", f"reactions before: {reactions}, after: {len(story.reactions())}")
    delivered = Counter(a.event_id for a in events.deliveries if a.status in {200, 202})
    return sum(count - 1 for count in delivered.values())


def _until_nothing_is_due(system: LocalSystem) -> None:
    """Waits until no lane is to be looked at within ten seconds: whatever was delivered has been decided about."""
    deadline = time.monotonic() + 60
    address = system.cloud.account(APP_ACCOUNT).table
    with TableClient(address, "due", credential=system.credential) as due:
        while True:
            soon = datetime.now(UTC) + timedelta(seconds=10)
            rows = list(due.query_entities("at le @soon", parameters={"soon": soon}))
            if not rows:
                return
            if time.monotonic() > deadline:
                raise DemoFailed(f"still to be looked at after a minute: {[row['RowKey'] for row in rows]}")
            time.sleep(0.5)


# --- what came of it --------------------------------------------------------------------------------------------------


def _result(system: LocalSystem, story: Story, acts: Sequence[Act], duplicates: int) -> dict[str, Any]:
    reactions = [story.get(f"reactions/{r['id']}") for r in story.reactions()]
    burst = acts[1] if len(acts) > 1 else None
    return {
        "scored_rows": acts[0].scored_rows,
        "silver_path": acts[0].silver_path,
        "burst_scored_rows": burst.scored_rows if burst else None,
        "burst_silver_path": burst.silver_path if burst else None,
        "reactions": [
            {
                "id": r["id"],
                "rule": r["rule"],
                "key": r["key"],
                "state": r["state"],
                "run_ids": sorted({e["run_id"] for e in r["history"] if e["run_id"]}),
                "events": r["event_count"],
            }
            for r in reactions
        ],
        "refused": story.get("reactions?days=2")["refused"]["counts"],
        "duplicates_delivered": duplicates,
        "lineage": [_lineage(system, reaction) for reaction in reactions],
    }


def _lineage(system: LocalSystem, reaction: dict[str, Any]) -> dict[str, Any]:
    """file -> reaction -> pipeline run -> jobs -> silver file, as the records tell it."""
    jobs = [
        {
            "endpoint": job.submission.endpoint,
            "job": job.name,
            "status": str(job.status),
            "steps": [{"name": s.name, "pid": s.pid, "exit_code": s.exit_code} for s in job.steps],
        }
        for job in system.cloud.machine_learning.jobs()
        if job.submission.inputs.get("reaction_id") == Literal(value=reaction["id"])
    ]
    stamp = f"{reaction['id']}-{reaction['attempt']}"
    silver = [p for p in system.paths(f"2-silver/diabetes/{reaction['key']}/{stamp}/") if p.endswith("diabetes.csv")]
    return {**reaction["lineage"], "jobs": jobs, "silver": silver}


def _show(acts: Sequence[Act], result: dict[str, Any]) -> None:
    table = Table(title="What came of it")
    table.add_column("what landed")
    for column in ("events", "reactions", "runs", "rows scored"):
        table.add_column(column, justify="right")
    table.add_column("state")
    for act in acts:
        mine = [r for r in result["reactions"] if r["key"] == act.batch]
        table.add_row(
            act.title,
            str(sum(r["events"] for r in mine)),
            str(len(mine)),
            str(sum(len(r["run_ids"]) for r in mine)),
            f"{act.scored_rows:,}",
            ", ".join(sorted({r["state"] for r in mine})),
        )
    console = Console(highlight=False)
    console.print()
    console.print(table)
    console.print(
        f"{result['duplicates_delivered']} events were delivered twice; "
        f"runs started twice for the same decision: {result['duplicate_starts']}"
    )


def _check(acts: Sequence[Act], result: dict[str, Any]) -> None:
    expectations: list[tuple[str, object, object]] = [
        ("reactions", [(a.batch, "succeeded", a.files) for a in acts], _found(result)),
        ("scored rows", [a.rows for a in acts], [a.scored_rows for a in acts]),
        ("runs started twice for the same decision", 0, result["duplicate_starts"]),
    ]
    for what, expected, found in expectations:
        if expected != found:
            raise DemoFailed(f"{what}: expected {expected}, found {found}")
    landed = sum(a.files for a in acts)
    if result["duplicates_delivered"] < landed:
        raise DemoFailed(f"only {result['duplicates_delivered']} of {landed} events were delivered twice")


def _found(result: dict[str, Any]) -> list[tuple[str, str, int]]:
    return [(r["key"], r["state"], r["events"]) for r in result["reactions"]]


def shown(file: Path) -> str:
    """As a person standing in the project would name it."""
    return str(file.relative_to(ROOT) if file.is_relative_to(ROOT) else file)
