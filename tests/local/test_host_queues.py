"""The queue trigger against real queues: runs, retries, poison, encodings, leases, connections."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueClient, QueueServiceClient

from local.host.app import Function
from local.host.client import FunctionHost
from local.host.invoker import Invoker
from local.host.messages import MessageProcessor
from local.host.settings import QueueOptions
from tests.local.waiting import eventually

pytestmark = pytest.mark.cloud

APPS = Path(__file__).parent / "apps"
SECONDS = 20.0


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@dataclass(kw_only=True)
class Bench:
    """A storage account of its own, and the hosts that listen to its queues."""

    cloud: Any
    account: Any
    folder: Path
    service: QueueServiceClient
    hosts: list[FunctionHost] = field(default_factory=list)

    def queue(self, name: str, *, create: bool = True) -> QueueClient:
        queue = self.service.get_queue_client(name)
        if create:
            queue.create_queue()
        return queue

    def host(self, **settings: str) -> FunctionHost:
        environment = {
            **self.cloud.child_environment(),
            "RECORD_FILE": str(self.folder / "records.jsonl"),
            "WORK_QUEUE": "Work",
            "TICK": "0 0 3 * * *",
            "AppStorage": self.account.connection_string,
            **settings,
        }
        host = FunctionHost(
            APPS / "triggers",
            {name: value for name, value in environment.items() if value},
            folder=self.folder / f"host{len(self.hosts)}",
        )
        self.hosts.append(host)
        host.start()
        return host

    def records(self, function: str) -> list[dict[str, Any]]:
        file = self.folder / "records.jsonl"
        lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [line for line in lines if line["function"] == function]


@pytest.fixture
def bench(cloud, tmp_path) -> Iterator[Bench]:
    account = cloud.new_app_account()
    service = QueueServiceClient(
        account.queue,
        credential={"account_name": account.name, "account_key": account.key},
        connection_verify=str(cloud.certificates.ca_file),
    )
    bench = Bench(cloud=cloud, account=account, folder=tmp_path, service=service)
    yield bench
    for host in bench.hosts:
        host.stop()
    service.close()


def is_gone(queue: QueueClient) -> bool:
    """Whether no message is left, visible or leased."""
    return queue.get_queue_properties().approximate_message_count == 0


def bodies(queue: QueueClient) -> list[str]:
    try:
        return [message.content for message in queue.peek_messages(32)]
    except ResourceNotFoundError:
        return []


def test_a_message_runs_once_and_is_deleted(bench):
    queue = bench.queue("work")
    sent = queue.send_message(encoded("hello"))
    bench.host()
    (record,) = eventually(lambda: bench.records("work"))
    assert (record["body"], record["id"], record["dequeue_count"]) == ("hello", sent.id, 1)
    assert record["pop_receipt"]
    assert record["inserted"].startswith(sent.inserted_on.isoformat()[:16])
    eventually(lambda: is_gone(queue))
    assert len(bench.records("work")) == 1


def test_as_many_messages_as_allowed_run_at_the_same_time(bench):
    """Batch size and threshold together: while two are in work, a batch of one is fetched on top."""
    queue = bench.queue("work")
    for _ in range(3):
        queue.send_message(encoded("meet"))
    host = bench.host(
        AzureFunctionsJobHost__extensions__queues__batchSize="1",
        AzureFunctionsJobHost__extensions__queues__newBatchThreshold="2",
    )
    eventually(lambda: is_gone(queue))
    assert [record["dequeue_count"] for record in bench.records("work")] == [1, 1, 1], host.log()


def test_no_more_messages_than_allowed_run_at_the_same_time(bench):
    queue = bench.queue("work")
    for _ in range(3):
        queue.send_message(encoded("alone?"))
    bench.host(
        AzureFunctionsJobHost__extensions__queues__batchSize="1",
        AzureFunctionsJobHost__extensions__queues__newBatchThreshold="0",
    )
    eventually(lambda: is_gone(queue))
    assert [record["company"] for record in bench.records("work")] == [False, False, False]


def test_what_always_fails_runs_max_dequeue_count_times_and_then_is_poison(bench):
    queue = bench.queue("failing")
    queue.send_message(encoded("bad"))
    bench.host(AzureFunctionsJobHost__extensions__queues__visibilityTimeout="00:00:00")
    poison = bench.queue("failing-poison", create=False)
    assert eventually(lambda: bodies(poison)) == [encoded("bad")]
    eventually(lambda: is_gone(queue))
    assert [record["body"] for record in bench.records("fail")] == ["bad"] * 5


def test_the_last_failure_makes_it_poison_without_a_further_wait(bench):
    bench.queue("failing").send_message(encoded("bad"))
    bench.host(
        AzureFunctionsJobHost__extensions__queues__maxDequeueCount="1",
        AzureFunctionsJobHost__extensions__queues__visibilityTimeout="00:10:00",
    )
    eventually(lambda: bodies(bench.queue("failing-poison", create=False)))
    assert len(bench.records("fail")) == 1


def test_what_failed_waits_for_the_visibility_timeout(bench):
    queue = bench.queue("failing")
    queue.send_message(encoded("bad"))
    host = bench.host(AzureFunctionsJobHost__extensions__queues__visibilityTimeout="00:10:00")
    eventually(lambda: "Executed 'Functions.fail' (Failed" in host.log())
    host.stop()
    assert len(bench.records("fail")) == 1
    assert not is_gone(queue)
    assert bodies(queue) == []


def test_a_message_that_was_taken_too_often_is_poison_before_it_runs(bench):
    queue = bench.queue("work")
    queue.send_message(encoded("crashed before"))
    for _ in range(5):
        (message,) = queue.receive_messages(visibility_timeout=1)
        queue.update_message(message, visibility_timeout=0)
    bench.host()
    assert eventually(lambda: bodies(bench.queue("work-poison", create=False))) == [encoded("crashed before")]
    assert bench.records("work") == []


def test_what_is_not_base64_is_poison_as_it_is(bench):
    queue = bench.queue("work")
    queue.send_message("plain text!")
    bench.host()
    assert eventually(lambda: bodies(bench.queue("work-poison", create=False))) == ["plain text!"]
    assert bench.records("work") == []


def test_without_encoding_the_text_is_taken_as_it_is(bench):
    queue = bench.queue("work")
    queue.send_message("plain text!")
    bench.host(AzureFunctionsJobHost__extensions__queues__messageEncoding="none")
    (record,) = eventually(lambda: bench.records("work"))
    assert record["body"] == "plain text!"
    eventually(lambda: is_gone(queue))


def test_members_of_a_json_body_replace_metadata_of_the_same_name(bench):
    """The real host's trap: a body with `id` hides the message's own, one with a bad `dequeueCount` never runs."""
    queue = bench.queue("work")
    queue.send_message(encoded('{"ID": "mine", "dequeuecount": 7, "insertionTime": ["left alone"]}'))
    queue.send_message(encoded('{"dequeueCount": "two"}'))
    bench.host(AzureFunctionsJobHost__extensions__queues__visibilityTimeout="00:00:00")
    (record,) = eventually(lambda: bench.records("work"))
    assert (record["id"], record["dequeue_count"]) == ("mine", 7)
    assert eventually(lambda: bodies(bench.queue("work-poison", create=False))) == [encoded('{"dequeueCount": "two"}')]
    assert len(bench.records("work")) == 1


def test_a_missing_queue_is_waited_for(bench):
    host = bench.host()
    eventually(lambda: "queue work cannot be read, backing off" in host.log())
    bench.queue("work").send_message(encoded("late"))
    eventually(lambda: bench.records("work"))
    assert host.log().count("queue work cannot be read") == 1


def test_queues_are_reached_with_identity(bench):
    bench.queue("work").send_message(encoded("by token"))
    bench.host(AppStorage="", AppStorage__queueServiceUri=bench.account.queue)
    (record,) = eventually(lambda: bench.records("work"))
    assert record["body"] == "by token"


def test_the_hosts_own_calls_are_not_in_the_apps_log(bench):
    bench.queue("work").send_message(encoded("hello"))
    host = bench.host()
    eventually(lambda: "Executed 'Functions.work'" in host.log())
    assert "Request URL" not in host.log()


def test_a_message_stays_leased_while_its_function_runs(bench):
    queue = bench.queue("work")
    queue.send_message(encoded("long"))
    (message,) = queue.receive_messages(visibility_timeout=2)
    release, taken = threading.Event(), []

    def work(text: str) -> None:
        assert release.wait(SECONDS)

    async def scenario() -> None:
        invoker = Invoker(threads=1, timeout=None)
        processor = MessageProcessor(
            _function(work), invoker, options=QueueOptions(), service=bench.service, queue="work",
            lease=timedelta(seconds=2),
        )  # fmt: skip
        processing = asyncio.create_task(processor.process(message))
        until = time.monotonic() + 4  # two leases
        while time.monotonic() < until:
            taken.extend(await asyncio.to_thread(lambda: list(queue.receive_messages(visibility_timeout=1))))
        release.set()
        await processing

    asyncio.run(scenario())
    assert taken == []
    assert is_gone(queue)


def test_a_message_somebody_else_took_is_left_to_them(bench):
    queue = bench.queue("work")
    queue.send_message(encoded("theirs"))
    (ours,) = queue.receive_messages(visibility_timeout=1)
    theirs = eventually(lambda: list(queue.receive_messages(visibility_timeout=60)))

    async def scenario() -> None:
        invoker = Invoker(threads=1, timeout=None)
        processor = MessageProcessor(
            _function(lambda text: None), invoker, options=QueueOptions(), service=bench.service, queue="work"
        )
        await processor.process(ours)

    asyncio.run(scenario())
    assert not is_gone(queue)
    queue.delete_message(theirs[0])


def _function(call: Any) -> Function:
    return Function(
        name="work",
        call=call,
        trigger="queueTrigger",
        parameter="text",
        annotation=str,
        options={},
        returns=False,
        wants_context=False,
        directory="",
        disabled=False,
    )
