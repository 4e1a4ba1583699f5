"""Plays the demo from an empty folder to its facts and pictures."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from local.data_factory.request_log import duplicate_starts
from local.demo import acts
from local.demo.again import everything_comes_twice
from local.demo.data import must_be_complete, prepare
from local.demo.expectations import check
from local.demo.facts import gather
from local.demo.pictures import drift_page, lineage_page
from local.demo.places import Places, shown
from local.demo.stage import Stage, Teller
from local.demo.summary import show
from local.story import Story
from local.system import LocalSystem

LEAD: Final = timedelta(seconds=45)
"""So long the app may take to start, and the files of the day to land."""
Act = Callable[[Stage], None]
ACTS: Final[tuple[tuple[str, Act], ...]] = (
    ("A hundred files land through the day, and wait for the night", acts.a_day_of_single_files),
    ("The first model is trained, and goes live", acts.first_model_goes_live),
    ("Two patient files land, and are scored with it", acts.two_files_are_scored),
    ("A burst of files becomes one reaction", acts.a_burst_is_scored_at_once),
    ("The data drifts, and a better model goes live", acts.drifted_data_brings_a_new_model),
    ("A worse model is refused", acts.a_worse_model_is_refused),
    ("The night has come: one batch", acts.the_night_is_scored),
    ("Everything is delivered a second time", everything_comes_twice),
)


def run(state: Path, data: Path | None = None, *, burst: bool = True) -> None:
    """Runs the demo.

    Args:
        state: the folder for its data, its facts (`demo.json`) and its pictures.
        data: a folder with CSV files of one's own; None makes sample data up.
        burst: False leaves that act out.

    Raises:
        DemoFailed: something did not turn out as it must.
        TimeoutError: something did not happen in time.
    """
    began = time.monotonic()
    console = Console(highlight=False, soft_wrap=True)
    places = Places.in_folder(state)
    if data is not None:
        must_be_complete(data)
    places.empty()
    played = [act for act in ACTS if burst or act[1] is not acts.a_burst_is_scored_at_once]
    stage, result = _play(places, data, played, Teller(console))
    result["duplicate_starts"] = duplicate_starts(places.requests)
    places.result.write_text(json.dumps(result, indent=2) + "\n")
    show(result, [*stage.batches, *([stage.overnight] if stage.overnight else [])], console)
    check(result, [asdict(batch) for batch in stage.batches])
    places.drift.write_text(drift_page(result["drift"]), encoding="utf-8")
    places.lineage.write_text(lineage_page(result), encoding="utf-8")
    _tell_where(places, time.monotonic() - began, console)


def _play(
    places: Places, data: Path | None, played: list[tuple[str, Act]], teller: Teller
) -> tuple[Stage, dict[str, Any]]:
    files = prepare(places.folder / "data", data, teller.line)
    with LocalSystem(
        places.folder / "cloud",
        teller.line,
        time_scale=0.01,
        overnight=soon(datetime.now(UTC)),
        adf_requests=places.requests,
    ) as system:
        teller.line("starting the app")
        system.start_app()
        teller.line(f"the app answers on {system.host.url}/api/health")
        story = Story(system, teller)
        stage = Stage(system=system, story=story, files=files)
        try:
            for number, (title, act) in enumerate(played, start=1):
                teller.heading(f"{number} of {len(played)}: {title}")
                act(stage)
            if stage.calls is not None:
                stage.calls.stop()
            return stage, gather(stage)
        finally:
            if stage.calls is not None:
                stage.calls.stop()
            story.close()


def soon(now: datetime) -> str:
    """A night for those who cannot wait for one: the first full minute after LEAD, and every second one from there."""
    first = now + LEAD + timedelta(minutes=1)
    return f"{first.minute % 2}-59/2 * * * *"


def _tell_where(places: Places, seconds: float, console: Console) -> None:
    console.print(
        f"\nIt took {seconds:.0f} s. The facts: {shown(places.result)}\n"
        f"Pictures for a browser: {shown(places.drift)}, {shown(places.lineage)}",
        markup=False,
    )
