"""What Relearn is measured against: an orchestration for each event, by the durabletask package.

A process of its own, in an environment of its own (requirements.txt beside this file): it takes deliveries at a port
that it tells on standard output, and ends with its standard input. The backend is the package's in-memory one: nothing
survives the process, and it calls no storage, so only starts can be compared.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import sys
import threading
import urllib.request
from collections.abc import Generator, Mapping
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from durabletask import client, task, worker
from durabletask.testing import create_test_backend

RETRIES = task.RetryPolicy(first_retry_interval=timedelta(milliseconds=500), max_number_of_attempts=5)
TOKENS: dict[str, str] = {}


def started(context: task.OrchestrationContext, event: Mapping[str, Any]) -> Generator[Any, Any, str]:
    """The orchestration: one activity, tried again where it fails."""
    run: str = yield context.call_activity(create_run, input=event, retry_policy=RETRIES)
    return run


def create_run(_context: task.ActivityContext, event: Mapping[str, Any]) -> str:
    arm = os.environ["RELEARN_ARM_ENDPOINT"]
    parameters = {
        "reaction_id": event["id"],
        "attempt": "1",
        "batch": event["subject"].split("/")[-2],
        "files": event["data"]["url"],
    }
    url = f"{arm}{os.environ['RELEARN_DATA_FACTORY_ID']}/pipelines/score/createRun?api-version=2018-06-01"
    headers = {"Authorization": f"Bearer {token(arm)}", "Content-Type": "application/json"}
    asked = urllib.request.Request(url, data=json.dumps(parameters).encode(), headers=headers)
    return str(answer(asked)["runId"])


def token(resource: str) -> str:
    """From the managed identity's endpoint; kept, as every SDK does."""
    if resource not in TOKENS:
        url = f"{os.environ['IDENTITY_ENDPOINT']}?resource={resource}&api-version=2019-08-01"
        asked = urllib.request.Request(url, headers={"X-IDENTITY-HEADER": os.environ["IDENTITY_HEADER"]})
        TOKENS[resource] = str(answer(asked)["access_token"])
    return TOKENS[resource]


def answer(request: urllib.request.Request) -> dict[str, Any]:
    trust = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust))
    with direct.open(request, timeout=10) as got:
        found: dict[str, Any] = json.load(got)
    return found


class Door(BaseHTTPRequestHandler):
    """Takes deliveries. The orchestration has the event's id, so that it is there once."""

    protocol_version = "HTTP/1.1"
    hub: client.TaskHubGrpcClient

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        for event in json.loads(content):
            try:
                self.hub.schedule_new_orchestration(started, input=event, instance_id=event["id"])
            except grpc.RpcError as error:
                if "already exists" not in str(error):
                    raise
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
    backend = create_test_backend(port=port)
    address = f"localhost:{port}"
    with worker.TaskHubGrpcWorker(host_address=address) as working:
        working.add_orchestrator(started)
        working.add_activity(create_run)
        working.start()
        Door.hub = client.TaskHubGrpcClient(host_address=address)
        server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(server.server_address[1], flush=True)
        sys.stdin.read()
        server.shutdown()
    backend.stop()


if __name__ == "__main__":
    main()
