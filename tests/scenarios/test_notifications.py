"""What became of models is told on the topic that the settings name: each fact once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from local.cloud import LocalCloud
from local.event_grid import topic_id
from tests.scenarios.serving import BETTER, RULES, WORSE, Serving
from tests.scenarios.stage import Stage

pytestmark = pytest.mark.cloud
TOPIC = "lifecycle-notify"


def test_the_app_publishes_what_became_of_models(stage_with: Callable[..., Stage], cloud: LocalCloud) -> None:
    names = {"ENDPOINT": "ep-notify", "MODEL": "clf-notify"}
    topic = {"RELEARN_EVENTS_TOPIC_ENDPOINT": f"{cloud.arm_url}/topics/{TOPIC}/api/events"}
    stage = stage_with(rules=RULES, extra_settings={**names, **topic})
    serving = Serving(stage, endpoint=names["ENDPOINT"], model=names["MODEL"])
    serving.first_goes_live()
    serving.stage.deliver(serving.register("2", BETTER))
    serving.settle()
    serving.stage.deliver(serving.register("3", {**WORSE, "live.version": "2"}))
    serving.settle()
    serving.online.scoring = lambda *_: (200, {"result": []}, 0.1)
    serving.stage.deliver(serving.register("4", {**BETTER, "live.version": "2"}))
    serving.settle()
    told = cloud.event_grid.published(topic_id(TOPIC))
    assert [t.event.type for t in told] == [
        "Relearn.ModelPromoted",
        "Relearn.ModelPromoted",
        "Relearn.ReactionRefused",
        "Relearn.ModelRolledBack",
    ]
    assert [t.event.data["version"] for t in told] == ["1", "2", "3", "4"]
    assert len({t.event.id for t in told}) == 4
    stage.cloud.machine_learning.reset()
