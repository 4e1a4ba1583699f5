"""The process really dies around createRun; another one comes, and there is one run in the end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.scenarios.dying import EXIT_CODE
from tests.scenarios.stage import Stage

pytestmark = pytest.mark.cloud
ROOT = Path(__file__).resolve().parents[2]


def deliver_in_a_process(stage: Stage, moment: str, event: str, exit_code: int) -> int:
    """Delivers the event in a child process, which ends as told; gives its process id."""
    file = stage.folder / "event.json"
    file.write_text(event)
    environment = {
        **stage.cloud.child_environment(),
        **stage.settings,
        "RELEARN_RULES": str(stage.folder / "reactions.yaml"),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "tests.scenarios.dying", moment, str(file)]
    child = subprocess.Popen(
        command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    output, _ = child.communicate(timeout=60)
    assert child.returncode == exit_code, output
    return child.pid


@pytest.mark.parametrize("hidden_polls", [0, 2], ids=["", "hidden for 2 polls"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_death_at_create_run_leaves_one_run(stage: Stage, moment: str, hidden_polls: int) -> None:
    event = stage.land("in/b1/a.csv")
    if hidden_polls:
        stage.factory.hide(polls=hidden_polls)
    dead = deliver_in_a_process(stage, moment, event, EXIT_CODE)
    [reaction] = stage.reactions()
    assert (reaction["state"], reaction["run_id"]) == ("starting", None)
    assert len(stage.starts()) == (0 if moment == "before" else 1)

    # It was never acknowledged, so it comes again, to another process.
    assert deliver_in_a_process(stage, "never", event, 0) != dead
    stage.restart()
    stage.settle(stage.all_final)

    assert stage.states() == ["succeeded"]
    assert len(stage.starts()) == 1
    reasons = [e["reason"] for e in stage.get(f"reactions/{reaction['id']}")[1]["history"]]
    if moment == "after":
        assert any("adopted" in reason for reason in reasons)
    else:
        assert any("sending the start again" in reason for reason in reasons)
