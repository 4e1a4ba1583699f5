"""Route by fault: where it ends, how often something is sent, how long is waited. A missing cell fails.

Which routes there are is not kept here: stories are played without a fault, and what they ask over the wire is what the
table must have a row for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from azure.core.credentials import TokenCredential

from local.cloud import LocalCloud
from tests.faults.expected import NEVER, ROWS, Cell
from tests.faults.faults import FAULTS, action_of, patience_of
from tests.faults.playing import Outcome, Play
from tests.faults.stories import STORIES
from tests.scenarios.stage import Stage

pytestmark = pytest.mark.cloud

Player = Callable[..., Play]
WHOLE = os.environ.get("FAULT_MATRIX") == "whole"
CELLS = [
    pytest.param(route, fault, id=f"{route} - {fault}")
    for route, row in ROWS.items()
    for fault in FAULTS
    if WHOLE or row.always(fault)
]


@pytest.fixture(scope="module")
def player(
    cloud: LocalCloud, credential: TokenCredential, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Player]:
    """Makes plays, each on a stage of its own; one at a time."""
    made: list[Stage] = []

    def close() -> None:
        while made:
            made.pop().close()

    def make(**options: object) -> Stage:
        close()
        folder = tmp_path_factory.mktemp("stage")
        made.append(Stage(cloud=cloud, credential=credential, folder=Path(folder), **options))  # type: ignore[arg-type]
        return made[-1]

    def play(story: str, fault: str | None = None) -> Play:
        told = [] if fault is None else [patience_of(fault)]
        return Play(STORIES[story](), cloud, make, *told)

    yield play
    close()


@pytest.fixture(scope="module")
def found(player: Player) -> Mapping[str, set[str]]:
    """What each story asks."""
    asked: dict[str, set[str]] = {}
    for name in STORIES:
        play = player(name)
        outcome = play.run()
        well = {
            "states": play.story.ends,
            "sent": play.story.sends,
            "left": (),
            "failed_looks": 0,
            "effects": 1 - ("unwanted" in name),
        }
        assert {key: getattr(outcome, key) for key in well} == well, outcome
        asked[name] = set(play.script.seen)
    return asked


def test_the_table_has_a_row_for_every_route_that_is_asked_and_no_other(
    found: Mapping[str, set[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = set().union(*found.values())
    assert sorted(asked - set(ROWS)) == [], "routes without a row: write down what their faults lead to"
    assert sorted(set(ROWS) - asked) == [], "rows of routes that no story reaches"
    elsewhere = {route: row.story for route, row in ROWS.items() if route not in found[row.story]}
    assert elsewhere == {}, "rows whose story does not reach them"
    with capsys.disabled():
        cells = f"{len(ROWS)} routes x {len(FAULTS)} faults = {len(ROWS) * len(FAULTS)} cells, {len(found)} stories"
        print(f"\nfault matrix: {cells}; {len(CELLS)} are played now (make test-faults: all)")


def test_the_table_names_only_faults_that_there_are() -> None:
    assert {route: row.unknown() for route, row in ROWS.items() if row.unknown()} == {}


@pytest.mark.parametrize(("route", "fault"), CELLS)
def test_a_fault_leads_to_what_the_table_says(player: Player, route: str, fault: str) -> None:
    row = ROWS[route]
    play = player(row.story, fault)
    outcome = play.run(route, action_of(fault, route))
    assert _seen(outcome, row.cell(fault)) == row.cell(fault), (row.why, outcome)
    assert outcome.tries == row.tries(fault), outcome


def _seen(outcome: Outcome, cell: Cell) -> Cell:
    """The outcome as a cell. Waits that are within what the cell says are what it says."""
    waited = NEVER[0] if outcome.waited is None else outcome.waited.total_seconds()
    within = cell.waits is None or cell.waits[0] <= waited <= cell.waits[1]
    return Cell(
        states=outcome.states,
        refused=outcome.refused,
        delivered=outcome.delivered,
        failed_looks=outcome.failed_looks,
        sent=outcome.sent,
        effects=outcome.effects,
        waits=cell.waits if within else (waited, waited),
        left=outcome.left,
    )
