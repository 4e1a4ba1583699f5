"""What a process has loaded after its work: azure-ai-ml, the heaviest part, only where a rollout changes something."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scenarios.serving import BETTER, RULES, WORSE, Serving
from tests.scenarios.stage import RULES as FILE_RULES
from tests.scenarios.stage import Stage

pytestmark = pytest.mark.cloud
ROOT = Path(__file__).resolve().parents[2]
WORK = """\
import sys
import function_app
from functions import intake

with open(sys.argv[1]) as event:
    intake.receive_event(event.read())  # it looks at the lane at once, and goes as far as it can
print(*sorted(sys.modules))
"""


def loaded_after(stage: Stage, event: str) -> set[str]:
    file = stage.folder / "event.json"
    file.write_text(event)
    environment = {
        **stage.cloud.child_environment(),
        **stage.settings,
        "RELEARN_RULES": str(stage.folder / "reactions.yaml"),
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WORK, str(file)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_a_reaction_of_the_factory_loads_no_azure_ai_ml(stage_with: Callable[..., Stage]) -> None:
    stage = stage_with(rules=FILE_RULES)
    loaded = loaded_after(stage, stage.land("in/b1/a.csv"))
    assert len(stage.starts()) == 1
    assert not {name for name in loaded if name.startswith("azure.ai")}


@pytest.mark.parametrize(("properties", "needs_it"), [(WORSE, False), (BETTER, True)], ids=["refused", "deployed"])
def test_only_a_rollout_that_changes_something_loads_it(
    stage_with: Callable[..., Stage], properties: dict[str, str], needs_it: bool
) -> None:
    names = {"ENDPOINT": f"ep-imports-{needs_it}".lower(), "MODEL": f"clf-imports-{needs_it}".lower()}
    stage = stage_with(rules=RULES, extra_settings=names)
    serving = Serving(stage, endpoint=names["ENDPOINT"], model=names["MODEL"])
    serving.already_live("1")
    loaded = loaded_after(stage, serving.register("2", properties))
    assert bool({name for name in loaded if name.startswith("azure.ai.ml")}) is needs_it
    assert stage.states() == (["running"] if needs_it else ["refused"])
    stage.cloud.machine_learning.reset()
