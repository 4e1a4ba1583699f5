"""Bad input through the real entry points, and what it gets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest
from azure.functions.timer import TimerRequest

from functions import intake, operations, progress
from local.faults import Drop, Status, Truncate
from shared import wiring
from shared.errors import ConfigurationError, StorageUnavailable
from tests.scenarios.stage import Stage

pytestmark = pytest.mark.cloud


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"eventType": "Contoso.Coffee.Ready"}, "unknown-type", id="unknown type"),
        pytest.param({"topic": "/subscriptions/s/resourceGroups/g/providers/X/y/z"}, "foreign-source", id="topic"),
        pytest.param(
            {"data": {"api": "CreateFile", "eTag": "0x1", "contentLength": 0}}, "not-complete", id="CreateFile"
        ),
        pytest.param({"data": {"api": "PutBlob", "eTag": "0x1", "contentLength": 0}}, "empty-file", id="zero bytes"),
        pytest.param(
            {"subject": "/blobServices/default/containers/lake/blobs/elsewhere/a.csv"}, "unmatched", id="no rule"
        ),
        pytest.param({"subject": None}, "malformed", id="no subject"),
    ],
)
def test_it_is_counted_with_its_reason_acknowledged_and_starts_nothing(
    stage: Stage, change: dict[str, Any], reason: str
) -> None:
    event = json.loads(stage.land("in/b1/a.csv")) | change
    stage.deliver(json.dumps(event), json.dumps(event))
    assert stage.refused() == {reason: 2}
    assert stage.reactions() == []
    assert stage.starts() == []


def test_a_foreign_account_is_told_from_ours(stage: Stage) -> None:
    event = json.loads(stage.land("in/b1/a.csv"))
    event["topic"] = event["topic"].replace(stage.lake.name, "lake199")
    stage.deliver(json.dumps(event))
    assert stage.refused() == {"foreign-source": 1}


@pytest.mark.parametrize("action", [Status(503), Status(403), Status(500), Drop(), Truncate()], ids=str)
def test_unreachable_storage_is_no_acknowledgement(stage: Stage, action: Any) -> None:
    event = stage.land("in/b1/a.csv")
    stage.cloud.storage.faults.add(path=f"/table/{stage.account.name}/*", action=action, times=None)
    try:
        with pytest.raises(StorageUnavailable):
            stage.deliver(event)
    finally:
        stage.cloud.storage.faults.clear()
    stage.deliver(event)  # Event Grid comes again
    stage.settle(stage.all_final)
    assert stage.states() == ["succeeded"]


# --- configuration ----------------------------------------------------------------------------------------------------


@pytest.fixture
def misconfigured(stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    def with_rules(rules: str) -> None:
        file = tmp_path / "broken.yaml"
        file.write_text(rules)
        for name, value in stage.settings.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("RELEARN_RULES", str(file))
        monkeypatch.setenv("RELEARN_DATA_FACTORY_ID", "not-an-id")
        monkeypatch.delenv("RelearnStorage__tableServiceUri")
        wiring.use(None)

    return with_rules


def test_with_a_wrong_configuration_every_function_raises_and_health_names_every_problem(
    misconfigured: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    misconfigured("version: 1\nreactions:\n  a-rule:\n    wehn: {}\n    run-pipeline: x\n    limits: {concurency: 4}\n")
    request = func.HttpRequest(method="GET", url="/api/x", body=b"", route_params={"id": "x"}, params={}, headers={})
    for call in (
        lambda: intake.receive_event("{}"),
        lambda: progress.look(func.QueueMessage(id="1", body=b'{"look": "lane:x"}', pop_receipt="p")),
        lambda: progress.sweep(TimerRequest()),
        lambda: operations.list_reactions(request),
        lambda: operations.show_reaction(request),
    ):
        with pytest.raises(ConfigurationError, match="problems in the configuration"):
            call()
    answer = operations.health(request)
    assert answer.status_code == 503
    problems = json.loads(answer.get_body())["problems"]
    places = [(p["where"], p["line"]) for p in problems]
    assert ("setting RelearnStorage__tableServiceUri", None) in places
    assert ("setting RELEARN_DATA_FACTORY_ID", None) in places
    assert ("broken.yaml", 4) in places
    assert ("broken.yaml", 6) in places
    assert sum("configuration_wrong" in r.message for r in caplog.records) == 1


def test_a_right_configuration_is_healthy(stage: Stage) -> None:
    status, body = stage.get("health")
    assert (status, body["status"], body["rules"]) == (200, "ok", ["score"])


def test_a_reaction_that_is_not_there_is_a_404(stage: Stage) -> None:
    assert stage.get("reactions/0123456789abcdef01234567-9")[0] == 404
    assert stage.get("reactions/' or 1 eq 1")[0] == 404


@pytest.mark.parametrize(
    "params", [{"top": "0"}, {"days": "x"}, {"days": "31"}, {"top": "1001"}, {"top": "9" * 5000}, {"state": "done"}]
)
def test_a_wrong_parameter_is_a_400_that_says_so(stage: Stage, params: dict[str, str]) -> None:
    status, body = stage.get("reactions", **params)
    assert status == 400
    [name] = params
    assert body["error"].startswith(f"{name} must be ")


def test_reactions_are_listed_by_rule_and_state(stage: Stage) -> None:
    stage.deliver(stage.land("in/b1/a.csv"))
    stage.settle(stage.all_final)
    for params, count in (
        ({"state": "succeeded"}, 1),
        ({"state": "failed"}, 0),
        ({"rule": "score"}, 1),
        ({"rule": "x"}, 0),
    ):
        assert len(stage.get("reactions", **params)[1]["reactions"]) == count
