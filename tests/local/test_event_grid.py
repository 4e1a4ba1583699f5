"""The imitated Event Grid: handshakes, deliveries in both envelopes, retries, dead letters, publishing."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from azure.core.credentials import AzureKeyCredential, TokenCredential
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.core.messaging import CloudEvent
from azure.eventgrid import EventGridEvent, EventGridPublisherClient
from azure.storage.blob import ContainerClient

from local.accounts import Account
from local.background import Background
from local.cloud import LocalCloud
from local.event_grid import EventGrid, HandshakeRefused, Subscription, load_subscriptions, topic_id
from local.event_grid.envelopes import Schema
from local.event_grid.schedule import SOCKET_ERROR, WAITS, Outcome, outcome_of
from local.event_grid.subscriptions import RetryPolicy
from local.service import Event, storage_account_id
from tests.local.waiting import eventually

TOPIC = storage_account_id("lake999")
BOTH: list[Schema] = ["EventGridSchema", "CloudEventSchemaV1_0"]
PATIENCE = 20.0


@dataclass(frozen=True)
class Received:
    method: str
    headers: Mapping[str, str]
    body: Any

    @property
    def ids(self) -> list[str]:
        items = self.body if isinstance(self.body, list) else [self.body]
        return [item["id"] for item in items]


class Destination:
    """A web server that answers as it is told, in order, and 202 when it is told nothing more."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.validates = True
        self.keeps_connections = True
        self.received: list[Received] = []
        self.release = threading.Event()
        self.release.set()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def notifications(self) -> list[Received]:
        with self._lock:
            return [one for one in self.received if one.headers.get("aeg-event-type") == "Notification"]

    def _answer(self, received: Received) -> tuple[int, dict[str, str], bytes]:
        with self._lock:
            self.received.append(received)
            if received.method == "OPTIONS":
                origin = {"WebHook-Allowed-Origin": "eventgrid.azure.net"} if self.validates else {}
                return 200, origin, b""
            if received.headers["aeg-event-type"] == "SubscriptionValidation":
                code = received.body[0]["data"]["validationCode"]
                answer = {"validationResponse": code if self.validates else "no"}
                return 200, {"Content-Type": "application/json"}, json.dumps(answer).encode()
            status = self.statuses.pop(0) if self.statuses else 202
        self.release.wait(PATIENCE)
        return status, {}, b""

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        destination = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = json.loads(content) if content else None
                status, more, answer = destination._answer(Received(self.command, headers, body))
                self.send_response(status)
                more = {**more, "Content-Length": str(len(answer))}
                if not destination.keeps_connections:
                    more["Connection"] = "close"
                for name, value in more.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)

            do_OPTIONS = do_POST

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler


class Letters:
    """Dead letters in memory; `refuse` stands for a container that is not there."""

    def __init__(self) -> None:
        self.written: dict[str, Any] = {}
        self.refuse = False

    async def write(self, account: str, container: str, name: str, content: bytes) -> None:
        if self.refuse:
            raise OSError("404 ContainerNotFound")
        self.written[f"{account}/{container}/{name}"] = json.loads(content)

    async def close(self) -> None:
        pass


class Queues:
    """Queues in memory, which answer as they are told, in order, and 201 when they are told nothing more."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.messages: list[tuple[str, str]] = []

    async def put(self, account: str, queue: str, text: str) -> Outcome:
        status = self.statuses.pop(0) if self.statuses else 201
        if status == 201:
            self.messages.append((f"{account}/{queue}", text))
        return outcome_of(status)

    async def close(self) -> None:
        pass

    def events(self) -> list[Any]:
        return [json.loads(base64.b64decode(text, validate=True)) for _, text in self.messages]


@pytest.fixture
def queues() -> Queues:
    return Queues()


@pytest.fixture
def destination() -> Iterator[Destination]:
    destination = Destination()
    yield destination
    destination.close()


@pytest.fixture
def letters() -> Letters:
    return Letters()


MakeGrid = Callable[[float], EventGrid]


@pytest.fixture
def make_grid(letters: Letters, queues: Queues) -> Iterator[MakeGrid]:
    """Grids by how long they wait for an answer. Retries come after a thousandth of the real waits."""
    background = Background()
    made: list[EventGrid] = []

    def make(answer_seconds: float) -> EventGrid:
        made.append(EventGrid(background.loop, letters, queues, time_scale=0.001, answer_seconds=answer_seconds))
        return made[-1]

    yield make
    for grid in made:
        background.call(grid.close())
    background.stop()


@pytest.fixture
def grid(make_grid: MakeGrid) -> EventGrid:
    return make_grid(PATIENCE)


def subscription(schema: Schema = "EventGridSchema", **changes: Any) -> Subscription:
    plain = Subscription(name="files", source="lake", schema=schema, dead_letter_container="dead-letters")
    return replace(plain, **changes)


def subscribe(grid: EventGrid, destination: Destination, wanted: Subscription | None = None) -> None:
    grid.subscribe(wanted or subscription(), destination.url, topic=TOPIC, dead_letter_account="app999")


def landed(number: int = 1) -> Event:
    return Event(
        type="Microsoft.Storage.BlobCreated",
        subject=f"/blobServices/default/containers/lake/blobs/{number}.csv",
        data={"api": "PutBlob", "contentLength": number},
    )


# Handshakes


@pytest.mark.parametrize("schema", BOTH)
def test_nothing_is_delivered_before_the_handshake(grid: EventGrid, destination: Destination, schema: Schema) -> None:
    grid.publish(TOPIC, landed())
    subscribe(grid, destination, subscription(schema))
    assert grid.subscriptions == ((TOPIC, "files"),)
    grid.publish(TOPIC, landed())
    grid.wait_idle(PATIENCE)
    first, *rest = destination.received
    if schema == "EventGridSchema":
        assert first.headers["aeg-event-type"] == "SubscriptionValidation"
        assert first.body[0]["eventType"] == "Microsoft.EventGrid.SubscriptionValidationEvent"
    else:
        assert (first.method, first.headers["webhook-request-origin"]) == ("OPTIONS", "eventgrid.azure.net")
    assert len(rest) == 1


@pytest.mark.parametrize("schema", BOTH)
def test_a_refused_handshake_leaves_the_subscription_inactive(
    grid: EventGrid, destination: Destination, schema: Schema
) -> None:
    destination.validates = False
    with pytest.raises(HandshakeRefused):
        subscribe(grid, destination, subscription(schema))
    assert grid.subscriptions == ()
    grid.publish(TOPIC, landed())
    grid.wait_idle(PATIENCE)
    assert destination.notifications() == []


def test_a_handshake_nobody_answers_says_so(grid: EventGrid, destination: Destination) -> None:
    destination.close()
    with pytest.raises(HandshakeRefused, match="is the host running"):
        subscribe(grid, destination)


@pytest.mark.parametrize(
    "endpoint", ["https://127.0.0.1:1/x", "http://example.com/x", "http://10.0.0.1/x", "http://127.0.0.1.evil/x"]
)
def test_only_this_machine_is_delivered_to(grid: EventGrid, endpoint: str) -> None:
    with pytest.raises(ValueError, match=r"127\.0\.0\.1"):
        grid.subscribe(subscription(), endpoint, topic=TOPIC)


# Envelopes


def test_the_event_grid_envelope(grid: EventGrid, destination: Destination) -> None:
    subscribe(grid, destination)
    event = replace(landed(), data_version="2")
    grid.publish(TOPIC, event)
    grid.wait_idle(PATIENCE)
    (received,) = destination.notifications()
    assert received.body == [
        {
            "topic": TOPIC,
            "subject": event.subject,
            "eventType": event.type,
            "eventTime": event.time.strftime("%Y-%m-%dT%H:%M:%S.%f0Z"),
            "id": event.id,
            "data": dict(event.data),
            "dataVersion": "2",
            "metadataVersion": "1",
        }
    ]
    assert received.headers["content-type"] == "application/json; charset=utf-8"
    assert received.headers["aeg-subscription-name"] == "FILES"
    assert received.headers["aeg-delivery-count"] == "0"
    assert received.headers["aeg-data-version"] == "2"
    assert received.headers["aeg-metadata-version"] == "1"


def test_the_cloud_events_envelope(grid: EventGrid, destination: Destination) -> None:
    subscribe(grid, destination, subscription("CloudEventSchemaV1_0"))
    event = landed()
    grid.publish(TOPIC, event)
    grid.wait_idle(PATIENCE)
    (received,) = destination.notifications()
    assert received.body == {
        "specversion": "1.0",
        "id": event.id,
        "source": TOPIC,
        "subject": event.subject,
        "type": event.type,
        "time": event.time.strftime("%Y-%m-%dT%H:%M:%S.%f0Z"),
        "data": dict(event.data),
    }
    assert received.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert "aeg-data-version" not in received.headers


@pytest.mark.parametrize("schema", BOTH)
def test_a_batch_is_one_request_and_one_answer_for_all(
    grid: EventGrid, destination: Destination, schema: Schema
) -> None:
    subscribe(grid, destination, subscription(schema, max_events_per_batch=3))
    destination.statuses = [500]
    grid.pause()
    events = [landed(number) for number in range(3)]
    for event in events:
        grid.publish(TOPIC, event)
    grid.resume()
    grid.wait_idle(PATIENCE)
    received = destination.notifications()
    assert sorted(received[0].ids) == sorted(event.id for event in events)
    assert sorted(id for one in received[1:] for id in one.ids) == sorted(event.id for event in events)
    if schema == "CloudEventSchemaV1_0":
        assert received[0].headers["content-type"] == "application/cloudevents-batch+json; charset=utf-8"


def test_a_batch_stays_below_its_preferred_size_but_never_empty(grid: EventGrid, destination: Destination) -> None:
    subscribe(grid, destination, subscription(max_events_per_batch=10, preferred_batch_kilobytes=2))
    grid.pause()
    for number in range(4):
        grid.publish(TOPIC, replace(landed(number), data={"text": "x" * (2000 if number == 0 else 300)}))
    grid.resume()
    grid.wait_idle(PATIENCE)
    assert sorted(len(one.body) for one in destination.notifications()) == [1, 1, 2]


# Retries


def test_a_500_is_followed_by_the_same_event_again(grid: EventGrid, destination: Destination) -> None:
    subscribe(grid, destination)
    destination.statuses = [500]
    event = landed()
    grid.publish(TOPIC, event)
    grid.wait_idle(PATIENCE)
    first, second = destination.notifications()
    assert first.body == second.body
    assert first.ids == [event.id]
    assert [one.headers["aeg-delivery-count"] for one in (first, second)] == ["0", "1"]
    assert [(one.event_id, one.subscription, one.number, one.status) for one in grid.deliveries] == [
        (event.id, "files", 1, 500),
        (event.id, "files", 2, 202),
    ]
    assert grid.dead_letters == ()


@pytest.mark.parametrize("status", [301, 408, 404, 429, 503])
def test_other_failures_are_tried_again_too(grid: EventGrid, destination: Destination, status: int) -> None:
    subscribe(grid, destination)
    destination.statuses = [status]
    grid.publish(TOPIC, landed())
    grid.wait_idle(PATIENCE)
    assert [one.status for one in grid.deliveries] == [status, 202]


def test_a_slow_answer_counts_as_none(make_grid: MakeGrid, destination: Destination) -> None:
    grid = make_grid(0.2)
    subscribe(grid, destination, subscription(retry=RetryPolicy(max_attempts=1)))
    destination.release.clear()
    grid.publish(TOPIC, landed())
    grid.wait_idle(PATIENCE)
    assert [(one.status, one.outcome) for one in grid.deliveries] == [(None, "TimedOut")]


def test_a_destination_that_went_away_is_tried_until_it_is_back(grid: EventGrid, destination: Destination) -> None:
    destination.keeps_connections = False
    subscribe(grid, destination, subscription(retry=RetryPolicy(max_attempts=2)))
    destination.close()
    grid.publish(TOPIC, landed())
    grid.wait_idle(PATIENCE)
    assert [(one.status, one.outcome) for one in grid.deliveries] == [(None, "SocketError")] * 2


def test_the_waits_are_the_services() -> None:
    assert [outcome_of(500).wait(attempts) for attempts in (1, 2, 3, 4, 11, 29)] == [10, 30, 60, 300, 43200, 43200]
    assert WAITS[:9] == (10, 30, 60, 300, 600, 1800, 3600, 10800, 21600)
    assert [outcome_of(status).wait(1) for status in (401, 404, 408, 503, 429)] == [300, 300, 120, 30, 10]
    assert SOCKET_ERROR.wait(1) == 10


@pytest.mark.parametrize(
    ("status", "resource", "final"),
    [
        (400, True, True),
        (413, True, True),
        (403, True, True),
        (401, True, False),
        (401, False, True),
        (404, False, False),
    ],
)
def test_which_answers_are_final(status: int, resource: bool, final: bool) -> None:
    assert outcome_of(status).final(resource=resource) is final


# Dead letters


def test_a_400_is_dead_lettered_at_once(grid: EventGrid, destination: Destination, letters: Letters) -> None:
    subscribe(grid, destination)
    destination.statuses = [400]
    event = landed()
    grid.publish(TOPIC, event)
    grid.wait_idle(PATIENCE)
    assert len(destination.notifications()) == 1
    ((name, content),) = letters.written.items()
    assert name.startswith("app999/dead-letters/LAKE999/FILES/")
    assert content[0]["id"] == event.id
    assert content[0]["lastDeliveryOutcome"] == "BadRequest"
    assert content[0]["deliveryAttempts"] == 1


def test_exhausted_attempts_are_dead_lettered_with_their_history(
    grid: EventGrid, destination: Destination, letters: Letters
) -> None:
    subscribe(grid, destination, subscription(retry=RetryPolicy(max_attempts=3)))
    destination.statuses = [500, 503, 500]
    event = landed()
    grid.publish(TOPIC, event)
    grid.wait_idle(PATIENCE)
    (content,) = letters.written.values()
    (letter,) = content
    assert letter.pop("publishTime") <= letter.pop("lastDeliveryAttemptTime")
    assert letter == {
        **destination.notifications()[0].body[0],
        "deadLetterReason": "MaxDeliveryAttemptsExceeded",
        "deliveryAttempts": 3,
        "lastDeliveryOutcome": "Aborted",
    }
    (dead,) = grid.dead_letters
    assert (dead.event_id, dead.reason) == (event.id, "MaxDeliveryAttemptsExceeded")


def test_dead_cloud_events_have_their_keys_in_lower_case(
    grid: EventGrid, destination: Destination, letters: Letters
) -> None:
    subscribe(grid, destination, subscription("CloudEventSchemaV1_0"))
    destination.statuses = [413]
    grid.publish(TOPIC, landed())
    grid.wait_idle(PATIENCE)
    ((letter,),) = letters.written.values()
    assert letter["specversion"] == "1.0"
    assert letter["lastdeliveryoutcome"] == "PayloadTooLarge"
    assert {"deadletterreason", "deliveryattempts", "publishtime", "lastdeliveryattempttime"} <= set(letter)


def test_an_event_too_old_for_its_next_attempt_is_dead_lettered(
    grid: EventGrid, destination: Destination, letters: Letters
) -> None:
    subscribe(grid, destination, subscription(retry=RetryPolicy(time_to_live_minutes=1)))  # 60 ms here
    destination.statuses = [404]  # the next attempt comes after 300 ms
    grid.publish(TOPIC, landed())
    grid.wait_idle(PATIENCE)
    assert len(destination.notifications()) == 1
    assert [letter.reason for letter in grid.dead_letters] == ["TimeToLiveExceeded"]


def test_an_event_whose_dead_letter_is_refused_is_dropped_and_remembered(
    grid: EventGrid, destination: Destination, letters: Letters
) -> None:
    letters.refuse = True
    subscribe(grid, destination)
    destination.statuses = [400]
    grid.publish(TOPIC, landed())
    grid.wait_idle(PATIENCE)
    assert [letter.blob for letter in grid.dead_letters] == [None]


# What tests and the demo do to it


def test_redelivering_sends_the_same_event_once_more(grid: EventGrid, destination: Destination) -> None:
    subscribe(grid, destination)
    event = landed()
    grid.publish(TOPIC, event)
    grid.wait_idle(PATIENCE)
    assert grid.redeliver(event.id) == 1
    grid.wait_idle(PATIENCE)
    first, second = destination.notifications()
    assert first.body == second.body
    with pytest.raises(KeyError):
        grid.redeliver("unknown")


def test_every_event_can_be_delivered_several_times(grid: EventGrid, destination: Destination) -> None:
    subscribe(grid, destination)
    grid.copies = 3
    event = landed()
    grid.publish(TOPIC, event)
    grid.wait_idle(PATIENCE)
    assert [one.ids for one in destination.notifications()] == [[event.id]] * 3


def test_paused_events_wait_and_may_come_in_another_order(grid: EventGrid, destination: Destination) -> None:
    subscribe(grid, destination, subscription(max_events_per_batch=50))
    events = [landed(number) for number in range(50)]
    grid.pause()
    for event in events:
        grid.publish(TOPIC, event)
    with pytest.raises(TimeoutError, match=r"'.*lake999': 50"):
        grid.wait_idle(0.05)
    assert destination.notifications() == []
    grid.reorder(seed=4)
    grid.resume()
    grid.wait_idle(PATIENCE)
    ids = [id for one in destination.notifications() for id in one.ids]
    assert ids != [event.id for event in events]
    assert sorted(ids) == sorted(event.id for event in events)


def test_at_most_16_deliveries_run_at_once(grid: EventGrid, destination: Destination) -> None:
    subscribe(grid, destination)
    destination.release.clear()
    for number in range(40):
        grid.publish(TOPIC, landed(number))
    eventually(lambda: len(destination.notifications()) >= 16)
    with pytest.raises(TimeoutError):
        grid.wait_idle(0.1)
    assert len(destination.notifications()) == 16
    destination.release.set()
    grid.wait_idle(PATIENCE)
    assert len(destination.notifications()) == 40


def test_an_ended_subscription_gets_nothing_more_not_even_a_retry(grid: EventGrid, destination: Destination) -> None:
    subscribe(grid, destination)
    destination.statuses = [404]
    event = landed()
    grid.publish(TOPIC, event)
    eventually(lambda: bool(grid.deliveries))
    grid.unsubscribe(TOPIC)
    grid.publish(TOPIC, landed())
    assert grid.redeliver(event.id) == 0
    grid.wait_idle(PATIENCE)
    assert len(destination.notifications()) == 1


def test_a_delivery_in_flight_when_its_subscription_ends_is_its_last(grid: EventGrid, destination: Destination) -> None:
    subscribe(grid, destination)
    destination.statuses = [500]
    destination.release.clear()
    grid.publish(TOPIC, landed())
    eventually(destination.notifications)
    grid.unsubscribe(TOPIC)
    destination.release.set()
    grid.wait_idle(PATIENCE)
    assert [one.status for one in grid.deliveries] == [500]


def test_topics_are_waited_for_apart(grid: EventGrid, destination: Destination) -> None:
    subscribe(grid, destination)
    grid.pause()
    grid.publish(TOPIC, landed())
    grid.wait_idle(0.1, topic=storage_account_id("lake998"))
    with pytest.raises(TimeoutError):
        grid.wait_idle(0.1, topic=TOPIC.upper())


# Queues


@pytest.mark.parametrize("schema", BOTH)
def test_a_queue_gets_one_event_a_message_as_a_webhook_would_get_it(
    grid: EventGrid, destination: Destination, queues: Queues, schema: Schema
) -> None:
    wanted = subscription(schema, queue="events", max_events_per_batch=5)
    grid.pause()
    grid.subscribe_queue(replace(wanted, name="queued"), "app999", topic=TOPIC)
    subscribe(grid, destination, replace(wanted, max_events_per_batch=1))
    for number in (1, 2):
        grid.publish(TOPIC, landed(number))
    grid.resume()
    grid.wait_idle(PATIENCE)
    assert {place for place, _ in queues.messages} == {"app999/events"}
    bodies = [one.body for one in destination.notifications()]
    told = [body[0] if isinstance(body, list) else body for body in bodies]
    assert sorted(queues.events(), key=str) == sorted(told, key=str)  # neither way keeps an order
    assert {attempt.status for attempt in grid.deliveries if attempt.subscription == "queued"} == {201}


def test_a_queue_needs_no_handshake_and_a_name(grid: EventGrid) -> None:
    with pytest.raises(ValueError, match="files: names no queue"):
        grid.subscribe_queue(subscription(), "app999", topic=TOPIC)
    grid.subscribe_queue(subscription(queue="events"), "app999", topic=TOPIC)
    assert grid.subscriptions == ((TOPIC, "files"),)


def test_the_same_subscription_is_delivered_one_way(grid: EventGrid, destination: Destination, queues: Queues) -> None:
    """What was delivered to a webhook is delivered to a queue from now on, not to both."""
    subscribe(grid, destination)
    grid.subscribe_queue(subscription(queue="events"), "app999", topic=TOPIC)
    grid.publish(TOPIC, landed())
    grid.wait_idle(PATIENCE)
    assert (destination.notifications(), len(queues.messages)) == ([], 1)


def test_a_queue_that_is_missing_is_tried_again_and_then_the_event_is_a_dead_letter(
    grid: EventGrid, queues: Queues, letters: Letters
) -> None:
    wanted = subscription(queue="events", retry=RetryPolicy(max_attempts=2))
    grid.subscribe_queue(wanted, "app999", topic=TOPIC, dead_letter_account="app999")
    queues.statuses = [401, 404, 404, 404]
    grid.publish(TOPIC, landed(1))
    grid.wait_idle(PATIENCE)
    grid.publish(TOPIC, landed(2))
    grid.wait_idle(PATIENCE)
    grid.publish(TOPIC, landed(3))
    grid.wait_idle(PATIENCE)
    assert [(letter.attempts, letter.last_outcome) for letter in grid.dead_letters] == [(2, "NotFound")] * 2
    assert [event["data"]["contentLength"] for event in queues.events()] == [3]
    assert len(letters.written) == 2


def test_a_topic_that_may_not_write_to_the_queue_does_not_try_again(grid: EventGrid, queues: Queues) -> None:
    grid.subscribe_queue(subscription(queue="events"), "app999", topic=TOPIC)
    queues.statuses = [403]
    grid.publish(TOPIC, landed())
    grid.wait_idle(PATIENCE)
    assert [(letter.attempts, letter.reason) for letter in grid.dead_letters] == [(1, "UndeliverableDueToClientError")]


# In the whole cloud


@pytest.mark.cloud
def test_a_file_in_the_lake_is_delivered_by_the_subscription_file(
    cloud: LocalCloud, lake_account: Account, credential: TokenCredential, destination: Destination
) -> None:
    topic = storage_account_id(lake_account.name)
    (wanted,) = (one for one in load_subscriptions() if one.source == "lake")
    cloud.event_grid.subscribe(wanted, destination.url, topic=topic)
    with ContainerClient(lake_account.blob, "lake", credential=credential) as lake:
        blob = lake.upload_blob("0-raw/diabetes/b1/stage/patient-age.csv", b"id,age\n1,50\n")
        etag = blob.get_blob_properties().etag
        lake.delete_blob("0-raw/diabetes/b1/stage/patient-age.csv")
    cloud.event_grid.wait_idle(PATIENCE, topic)
    (received,) = destination.notifications()
    (event,) = received.body
    assert event["topic"] == topic
    assert event["eventType"] == "Microsoft.Storage.BlobCreated"
    assert event["subject"] == "/blobServices/default/containers/lake/blobs/0-raw/diabetes/b1/stage/patient-age.csv"
    assert event["data"]["api"] == "PutBlob"
    assert event["data"]["eTag"] == etag
    assert event["data"]["contentLength"] == 12
    cloud.event_grid.unsubscribe(topic)


@pytest.mark.cloud
def test_a_dead_letter_is_a_blob_of_the_app_and_not_counted(
    cloud: LocalCloud, app_account: Account, credential: TokenCredential, destination: Destination
) -> None:
    topic = storage_account_id(f"of-{app_account.name}")
    cloud.event_grid.subscribe(subscription(), destination.url, topic=topic, dead_letter_account=app_account.name)
    destination.statuses = [400]
    event = landed()
    cloud.event_grid.publish(topic, event)
    cloud.event_grid.wait_idle(PATIENCE, topic)
    assert cloud.storage.calls.total(app_account.name) == 0
    with ContainerClient(app_account.blob, "dead-letters", credential=credential) as container:
        (name,) = container.list_blob_names()
        (letter,) = json.loads(container.download_blob(name).readall())
    assert letter["id"] == event.id
    cloud.event_grid.unsubscribe(topic)


@pytest.mark.cloud
@pytest.mark.parametrize("with_key", [True, False], ids=["key", "identity"])
def test_the_sdk_publishes_both_kinds_of_events(
    cloud: LocalCloud, credential: TokenCredential, destination: Destination, with_key: bool
) -> None:
    name = f"Alerts-{with_key}"
    topic = topic_id(name)
    cloud.event_grid.subscribe(subscription("CloudEventSchemaV1_0"), destination.url, topic=topic)
    key = AzureKeyCredential(cloud.event_grid.topic_key) if with_key else credential
    with EventGridPublisherClient(f"{cloud.arm_url}/topics/{name}/api/events", key) as client:
        client.send([EventGridEvent("a/b", "Relearn.Alert", {"n": 1}, "1.0")])
        client.send([CloudEvent(source="/relearn", type="Relearn.Alert", data={"n": 2}, extensions={"tenant": "t"})])
    cloud.event_grid.wait_idle(PATIENCE, topic)
    by_number = {one.body["data"]["n"]: one.body for one in destination.notifications()}
    assert (by_number[1]["source"], by_number[1]["subject"]) == (topic, "a/b")
    assert (by_number[2]["source"], by_number[2]["tenant"]) == ("/relearn", "t")
    cloud.event_grid.unsubscribe(topic)


@pytest.mark.cloud
def test_a_cloud_event_is_not_delivered_in_the_event_grid_schema(cloud: LocalCloud, destination: Destination) -> None:
    topic = topic_id("mixed")
    cloud.event_grid.subscribe(subscription(), destination.url, topic=topic)
    key = AzureKeyCredential(cloud.event_grid.topic_key)
    with EventGridPublisherClient(f"{cloud.arm_url}/topics/mixed/api/events", key) as client:
        client.send([CloudEvent(source="/relearn", type="Relearn.Alert", data={})])
        client.send([EventGridEvent("a/b", "Relearn.Alert", {}, "1.0")])
    cloud.event_grid.wait_idle(PATIENCE, topic)
    assert [one.body[0]["subject"] for one in destination.notifications()] == ["a/b"]
    cloud.event_grid.unsubscribe(topic)


@pytest.mark.cloud
def test_what_a_custom_topic_took_is_known_without_a_subscriber(cloud: LocalCloud, credential: TokenCredential) -> None:
    with EventGridPublisherClient(f"{cloud.arm_url}/topics/Nobodys/api/events", credential) as client:
        client.send([EventGridEvent("a/b", "Relearn.Alert", {"n": 1}, "1.0")])
        client.send([EventGridEvent("a/c", "Relearn.Alert", {"n": 2}, "1.0")])
    cloud.event_grid.publish(storage_account_id("lake998"), Event(type="Of.A.SystemTopic", subject="s", data={}))
    taken = cloud.event_grid.published(topic_id("nobodys"))
    assert [(one.event.type, one.event.subject, one.event.data) for one in taken] == [
        ("Relearn.Alert", "a/b", {"n": 1}),
        ("Relearn.Alert", "a/c", {"n": 2}),
    ]
    assert cloud.event_grid.published(topic_id("another")) == ()


@pytest.mark.cloud
def test_publishing_with_a_wrong_key_is_refused(cloud: LocalCloud) -> None:
    endpoint = f"{cloud.arm_url}/topics/alerts/api/events"
    client = EventGridPublisherClient(endpoint, AzureKeyCredential("wrong"))
    with client, pytest.raises(ClientAuthenticationError):
        client.send([EventGridEvent("a/b", "Relearn.Alert", {}, "1.0")])


@pytest.mark.cloud
def test_publishing_too_much_is_refused(cloud: LocalCloud) -> None:
    endpoint = f"{cloud.arm_url}/topics/alerts/api/events"
    client = EventGridPublisherClient(endpoint, AzureKeyCredential(cloud.event_grid.topic_key))
    with client, pytest.raises(HttpResponseError) as caught:
        client.send([EventGridEvent("a/b", "Relearn.Alert", {"text": "x" * 1_100_000}, "1.0")])
    assert caught.value.status_code == 413


@pytest.mark.cloud
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[1]",
        b'[{"id": "1", "subject": "s", "eventTime": "2026-01-01T00:00:00Z", "data": {}}]',
        b'[{"id": "1", "subject": "s", "eventType": "t", "eventTime": "yesterday", "data": {}}]',
        b'[{"specversion": "1.0", "id": "1", "type": "t"}]',
    ],
)
def test_publishing_nonsense_is_refused(cloud: LocalCloud, body: bytes) -> None:
    with httpx.Client(verify=cloud.certificates.client_context(), trust_env=False) as client:
        answer = client.post(
            f"{cloud.arm_url}/topics/alerts/api/events",
            content=body,
            headers={"aeg-sas-key": cloud.event_grid.topic_key},
        )
    assert answer.status_code == 400


@pytest.mark.cloud
def test_a_queue_that_was_never_made_is_a_dead_letter_in_the_end(
    cloud: LocalCloud, app_account: Account, lake_account: Account
) -> None:
    (wanted,) = (one for one in load_subscriptions() if one.source == "lake")
    topic, wanted = storage_account_id(lake_account.name), replace(wanted, retry=RetryPolicy(max_attempts=1))
    event = replace(landed(), subject="/blobServices/default/containers/lake/blobs/a.csv")
    for queue in ("events", "never-made"):
        to = replace(wanted, name=queue, queue=queue)
        cloud.event_grid.subscribe_queue(to, app_account.name, topic=topic, dead_letter_account=app_account.name)
    cloud.event_grid.publish(topic, event)
    cloud.event_grid.wait_idle(PATIENCE, topic=topic)
    statuses = {one.subscription: one.status for one in cloud.event_grid.deliveries if one.event_id == event.id}
    assert statuses == {"events": 201, "never-made": 404}
    (letter,) = (one for one in cloud.event_grid.dead_letters if one.event_id == event.id)
    assert (letter.subscription, letter.last_outcome) == ("never-made", "NotFound")
    assert letter.blob is not None
    cloud.event_grid.unsubscribe(topic)
