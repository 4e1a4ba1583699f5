"""The process really dies before and after every call by which a rollout changes something; then another comes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.dying_rollouts import EXIT_CODE
from tests.scenarios.serving import BETTER, RULES, Serving
from tests.scenarios.stage import Stage

pytestmark = [pytest.mark.cloud, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[2]
_KEYS = re.compile(r"\(.*\)|-[0-9a-f]{4}$")  # rows and deployments of their own
BROKEN = {"result": "no list"}


class Nursery:
    """The warm process. Its children are the processes that die."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.scenarios.dying_rollouts"],
            env=environment,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, case: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(case) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the warm process has ended"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


@pytest.fixture
def nursery(cloud: Any) -> Iterator[Nursery]:
    made = Nursery({**cloud.child_environment(), "PYTHONPATH": str(ROOT)})
    yield made
    made.close()


@pytest.fixture
def stage(stage_with: Callable[..., Stage]) -> Iterator[Stage]:
    made = stage_with(rules=RULES, extra_settings={"ENDPOINT": "ep-kill-none", "MODEL": "clf-kill-none"})
    yield made
    made.cloud.machine_learning.reset()


def test_death_at_every_change_of_a_rollout(stage: Stage, nursery: Nursery, capsys: pytest.CaptureFixture[str]) -> None:
    live = play(stage, nursery, "live", "0", dies_at=None)
    deaths = telling(live, 1)
    for number in deaths:
        play(stage, nursery, "live", str(number), dies_at=number)
    back = play(stage, nursery, "back", "0", dies_at=None)
    same = next(n for n, (one, other) in enumerate(zip(live, back, strict=False)) if one != other)
    assert any(call.endswith("/score") for call in back[:same]), "the stories part after the smoke test"
    more = telling(back, same + 1)
    for number in more:
        play(stage, nursery, "back", str(number), dies_at=number)
    with capsys.disabled():
        died = len(deaths) + len(more)
        print(f"\na rollout makes {len(live)} calls, one that goes back {len(back)}; processes that died: {died}")


def telling(calls: list[str], first: int) -> list[int]:
    """The calls before which a death leaves something else behind than before the call that precedes it.

    What only reads leaves nothing: to die after it is to die before it.
    """
    return [n for n in range(first, len(calls) + 1) if n == first or not calls[n - 2].startswith("GET ")]


def play(stage: Stage, nursery: Nursery, ends: str, unique: str, *, dies_at: int | None) -> list[str]:
    """One rollout on an endpoint of its own; gives the calls that the first process made."""
    names = {"ENDPOINT": f"ep-kill-{ends}-{unique}", "MODEL": f"clf-kill-{ends}-{unique}"}
    serving = Serving(stage, endpoint=names["ENDPOINT"], model=names["MODEL"])
    serving.already_live("1")
    good = lambda *_: (200, {"result": [0, 1, 0]}, 0.01)  # noqa: E731
    serving.online.scoring = good if ends == "live" else lambda *_: (200, BROKEN, 0.01)
    case = {
        "event": serving.register("2", BETTER),
        "now": stage.clock.now().isoformat(),
        "folder": str(stage.folder),
        "settings": {**stage.settings, **names, "RELEARN_RULES": str(stage.folder / "reactions.yaml")},
        "dies_at": dies_at,
    }
    first = nursery.run(case)
    assert first["exit"] == (0 if dies_at is None else EXIT_CODE), (unique, first)
    if dies_at is not None:
        assert len(first["calls"]) == dies_at - 1
        # It was never acknowledged, so it comes again, to another process.
        second = nursery.run({**case, "dies_at": None})
        assert (second["exit"], second["pid"] != first["pid"]) == (0, True), unique
    expected = (["2"], {"2": 100}) if ends == "live" else (["1"], {"1": 100})
    assert serving.standing() == expected, unique
    states = {r["key"]: r["state"] for r in stage.reactions()}
    assert states[names["ENDPOINT"]] == ("succeeded" if ends == "live" else "rolled-back"), unique
    return [_KEYS.sub("", call).replace(f"-{ends}-{unique}", "") for call in first["calls"]]
