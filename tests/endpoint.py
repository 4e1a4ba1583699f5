"""An endpoint on the fakes: with a model that is live, candidates that are registered, and how it is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from shared.models import ModelRef, deployment_name
from shared.rollouts.smoke import Answer
from tests.fakes import registered
from tests.world import World

ENDPOINT = "ep1"

RULES = """\
version: 1
reactions:
  deploy:
    when: {model-registered: {model: clf, tags: {stage: candidate}}}
    deploy-model:
      endpoint: ep1
      gate: {metric: Accuracy, better-than: live, by: 0.002}
      smoke-test: ml/samples/diabetes-request.json
      serving: {code: "azureml:serving:1", environment: "azureml:env:1"}
      keep-previous: 10s
"""

V1, V2, V3 = (ModelRef(name="clf", version=str(n)) for n in (1, 2, 3))

D1, D2, D3 = (deployment_name(ref) for ref in (V1, V2, V3))

MINUTE = timedelta(minutes=1)

GOOD = {"Accuracy": "0.80", "live__Accuracy": "0.78", "live__version": "1", "live__name": "clf"}


def world(rules: str = RULES) -> World:
    made = World(rules=rules)
    made.workspace.endpoints[ENDPOINT] = {}
    return made


def with_live(rules: str = RULES) -> World:
    """A world in which version 1 went live through its own rollout."""
    made = world(rules)
    made.workspace.register("clf", "1", Accuracy="0.78")
    made.deliver(registered("clf", "1"))
    made.settle()
    assert made.states() == ["succeeded"]
    made.workspace.writes.clear()
    made.notifier.published.clear()
    return made


def candidate(made: World, version: str = "2", **properties: str) -> None:
    made.clock.advance(MINUTE)
    made.workspace.register("clf", version, **(properties or GOOD))
    made.deliver(registered("clf", version, time=made.clock.now()))


def standing(made: World) -> tuple[list[str], dict[str, int]]:
    """Which deployments there are, and the traffic."""
    made.workspace.endpoint(ENDPOINT)
    return sorted(made.workspace.endpoints[ENDPOINT]), made.workspace.traffic.get(ENDPOINT, {})


def skipped(made: World) -> list[str]:
    return [str(t.skipped) for p in made.lanes.partitions.values() for t in p.taken.values() if t.skipped]


def answer(status: int = 200, body: str = '{"result": [0, 1, 0]}', deployment: str | None = None) -> Answer:
    return Answer(status=status, deployment=deployment, body=body, seconds=0.1)


def failing(times: int, error: Exception) -> Callable[[], None]:
    left = [times]

    def fail() -> None:
        if left[0]:
            left[0] -= 1
            raise error

    return fail


TWO_RULES = RULES + RULES.split("reactions:\n", 1)[1].replace("  deploy:", "  deploy-other:").replace(
    "model: clf", "model: other"
).replace("      gate: {metric: Accuracy, better-than: live, by: 0.002}\n", "")


def in_phase(made: World, phase: str) -> bool:
    rollout = made.reactions()[-1].rollout
    return rollout is not None and rollout.phase == phase
