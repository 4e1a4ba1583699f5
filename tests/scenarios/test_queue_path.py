"""Events over the queue: the same subscriptions, the same door, and nothing lost on the way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from local.event_grid.envelopes import Schema, parse_published
from local.faults import Status
from local.host.client import FunctionHost
from local.service import workspace_id
from shared import wiring
from tests.scenarios.queued import Queued
from tests.scenarios.serving import BETTER, Serving
from tests.scenarios.serving import RULES as ROLLOUT_RULES
from tests.scenarios.stage import Stage, wait_for

pytestmark = pytest.mark.cloud
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def queued_with(stage_with: Callable[..., Stage]) -> Iterator[Callable[..., Queued]]:
    made: list[Queued] = []

    def make(**options: object) -> Queued:
        made.append(Queued(stage_with(**options)))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def queued(queued_with: Callable[..., Queued]) -> Queued:
    return queued_with()


@pytest.fixture
def misconfigured(queued: Queued, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A deployment whose settings are wrong; `stage.restart` is the next one, in which they are right."""

    def deploy() -> None:
        for name, value in queued.stage.settings.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("RELEARN_DATA_FACTORY_ID", "not-an-id")
        wiring.use(None)

    return deploy


@pytest.mark.parametrize("copies", [1, 2], ids=["once", "delivered_twice"])
def test_a_file_that_lands_becomes_one_reaction(queued: Queued, copies: int) -> None:
    stage = queued.stage
    queued.land("in/b1/a.csv")
    for _ in range(copies - 1):
        queued.deliver_again()
    assert queued.lives() == [timedelta(days=7)] * copies
    queued.trigger()
    stage.settle(stage.all_final)
    queued.deliver_again()
    queued.trigger()
    stage.settle()
    assert stage.states() == ["succeeded"]
    assert len(stage.starts()) == 1
    assert (queued.waiting(), queued.poisoned()) == (0, 0)


def test_what_comes_both_ways_is_one_event(queued: Queued) -> None:
    """While one way replaces the other, an event may come over both."""
    stage = queued.stage
    stage.deliver(stage.land("in/b1/a.csv"))
    queued.wait()
    queued.trigger()
    stage.settle(stage.all_final)
    assert stage.states() == ["succeeded"]
    assert len(stage.starts()) == 1


def test_a_model_that_is_registered_goes_live(queued_with: Callable[..., Queued]) -> None:
    settings = {"ENDPOINT": "ep-over-the-queue", "MODEL": "clf-over-the-queue"}
    queued = queued_with(rules=ROLLOUT_RULES, extra_settings=settings)
    serving = Serving(queued.stage, endpoint=settings["ENDPOINT"], model=settings["MODEL"])
    serving.already_live("1")
    registered = parse_published(workspace_id(), json.loads(serving.register("2", BETTER)))
    for _ in range(2):
        queued.grid.publish(workspace_id(), registered.event)
    queued.wait()
    assert queued.waiting() == 2
    queued.trigger()
    serving.settle()
    assert serving.standing() == (["2"], {"2": 100})
    assert (serving.made("2"), queued.stage.states()) == (1, ["succeeded"])
    queued.stage.cloud.machine_learning.reset()


@pytest.mark.parametrize("schema", ["EventGridSchema", "CloudEventSchemaV1_0"])
@pytest.mark.parametrize("in_array", [False, True], ids=["an object", "an array"])
def test_either_envelope_alone_or_in_an_array_is_taken(queued: Queued, schema: Schema, in_array: bool) -> None:
    stage = queued.stage
    queued.unsubscribe()
    events = [json.loads(stage.land(f"in/b{number}/a.csv")) for number in (1, 2)]
    shaped = [parse_published(event["topic"], event).envelope(schema) for event in events]
    for text in [json.dumps(shaped)] if in_array else [json.dumps(each) for each in shaped]:
        queued.put(text)
    queued.trigger()
    stage.settle(stage.all_final)
    assert sorted((r["key"], r["state"]) for r in stage.reactions()) == [("b1", "succeeded"), ("b2", "succeeded")]
    assert queued.poisoned() == 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"id": "1"}', '"a text"'])
def test_what_is_no_event_is_recorded_and_not_tried_again(queued: Queued, text: str) -> None:
    queued.put(text)
    queued.trigger()
    assert queued.stage.refused() == {"malformed": 1}
    assert (queued.waiting(), queued.poisoned()) == (0, 0)


def test_what_is_not_base64_the_host_moves_unread_and_the_sweep_takes_in(queued: Queued) -> None:
    stage = queued.stage
    queued.unsubscribe()
    queued.put(stage.land("in/b1/a.csv"), plain=True)
    queued.put("not even JSON", plain=True)
    queued.trigger()
    assert (queued.waiting(), queued.poisoned()) == (0, 2)
    assert stage.reactions() == []
    stage.sweep()
    stage.settle(stage.all_final)
    assert (stage.states(), stage.refused()) == (["succeeded"], {"malformed": 1})
    assert queued.poisoned() == 0


def test_events_outlive_a_wrong_configuration(queued: Queued, misconfigured: Callable[[], None]) -> None:
    stage = queued.stage
    misconfigured()
    for number in (1, 2):
        queued.land(f"in/b{number}/a.csv")
    queued.trigger()
    assert (queued.waiting(), queued.poisoned()) == (0, 2)
    with pytest.raises(wiring.ConfigurationError):
        stage.sweep()
    assert queued.poisoned() == 2, "nothing is decided or removed with wrong settings"

    stage.restart()  # the corrected deployment
    stage.sweep()
    stage.settle(stage.all_final)
    assert sorted((r["key"], r["state"]) for r in stage.reactions()) == [("b1", "succeeded"), ("b2", "succeeded")]
    assert len(stage.starts()) == 2
    assert queued.poisoned() == 0


def test_an_event_stays_while_storage_is_out(queued: Queued) -> None:
    stage = queued.stage
    queued.land("in/b1/a.csv")
    stage.cloud.storage.faults.add(path=f"/table/{stage.account.name}/lanes*", action=Status(503), times=None)
    try:
        queued.trigger()
        assert (queued.waiting(), queued.poisoned()) == (0, 1)
        stage.sweep()
        assert queued.poisoned() == 1, "it could not be taken, so it stays"
    finally:
        stage.cloud.storage.faults.clear()


def test_a_sweep_with_nothing_to_do_makes_three_calls(stage: Stage) -> None:
    """What is due, and one look into either poison queue: 864 calls a day. A process's first one begins the chores."""
    stage.sweep()
    stage.settle()
    before = stage.cloud.storage.calls.kinds(stage.account.name)
    stage.sweep()
    after = stage.cloud.storage.calls.kinds(stage.account.name)
    made = {kind: n - before.get(kind, 0) for kind, n in after.items() if n != before.get(kind)}
    assert made == {"table query": 1, "queue get": 2}


# --- the running host -------------------------------------------------------------------------------------------------


@pytest.fixture
def environment(queued: Queued) -> dict[str, str]:
    stage = queued.stage
    return {
        **stage.cloud.child_environment(),
        **stage.settings,
        "RELEARN_RULES": str(stage.folder / "reactions.yaml"),
        "AzureFunctionsJobHost__extensions__queues__maxPollingInterval": "00:00:00.2",
    }


def test_the_hosts_trigger_polls_the_queue(queued: Queued, environment: dict[str, str], tmp_path: Path) -> None:
    with FunctionHost(ROOT, environment, folder=tmp_path / "host"):
        event = json.loads(queued.stage.land("in/b1/a.csv"))
        wait_for(lambda: len(queued.stage.starts()) == 1)
        # What a QueueMessage could not be made of, and is no reason not to take an event.
        subject = event["subject"].replace("b1", "b2")
        queued.put(json.dumps({**event, "subject": subject, "dequeueCount": "two", "insertionTime": "never"}))
        wait_for(lambda: len(queued.stage.starts()) == 2)
        wait_for(lambda: queued.waiting() == 0)
    assert queued.poisoned() == 0


def test_a_trigger_that_is_off_leaves_the_queue_alone(
    queued: Queued, environment: dict[str, str], tmp_path: Path
) -> None:
    """As in webhook mode: the host does not poll it, which would cost calls all day."""
    off = {**environment, "AzureWebJobs.receive_queued_event.Disabled": "true"}
    queued.land("in/b1/a.csv")
    queued.wake("lane:0123456789abcdef01234567")
    with FunctionHost(ROOT, off, folder=tmp_path / "host") as host:
        functions = httpx.get(f"{host.url}/admin/functions", trust_env=False, timeout=10).json()
        wait_for(lambda: queued.wake_ups() == 0)  # the other queue's trigger has polled
    assert [f["name"] for f in functions if f["isDisabled"]] == ["receive_queued_event"]
    assert queued.tries() == [0]
