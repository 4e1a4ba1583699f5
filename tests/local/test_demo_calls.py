"""The client that never stops asking: what it counts as a failure, and what it keeps of an answer."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from local.demo.calls import Calls
from local.demo.expectations import DemoFailed
from local.workspace_client import Scoring
from tests.local.waiting import eventually

REQUEST = {"data": [{"Age": 41.0}, {"Age": 42.0}]}
GOOD = (200, {"result": [0, 1]}, {"azureml-model-deployment": "blue"})


class Endpoint:
    """Answers in the given order, then as the last time; remembers what it was sent."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any, dict[str, str]]] = [GOOD]
        self.asked: list[tuple[str | None, Any]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.uri = f"http://127.0.0.1:{self._server.server_port}/score"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = json.loads(self.rfile.read(int(self.headers["content-length"])))
                endpoint.asked.append((self.headers["authorization"], sent))
                status, body, headers = endpoint.answers[0]
                if len(endpoint.answers) > 1:
                    del endpoint.answers[0]
                content = json.dumps(body).encode()
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    yield made
    made.close()


@pytest.fixture
def calls(endpoint: Endpoint) -> Iterator[Calls]:
    made = Calls(Scoring(uri=endpoint.uri, key="the-key"), REQUEST, ssl.create_default_context())
    yield made
    made.stop()


def test_it_asks_with_the_key_again_and_again_and_counts_who_answers(endpoint: Endpoint, calls: Calls) -> None:
    endpoint.answers = [GOOD, GOOD, (200, {"result": [1, 1]}, {"azureml-model-deployment": "green"})]
    calls.start()
    eventually(lambda: calls.facts()["answered_by"].get("green"))
    calls.stop()
    facts = calls.facts()
    assert facts["answered_by"]["blue"] == 2
    assert facts["sent"] == len(endpoint.asked) == sum(facts["answered_by"].values())
    assert (facts["failed"], facts["failures"]) == (0, [])
    assert endpoint.asked[0] == ("Bearer the-key", REQUEST)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((503, {"error": "gone"}, {}), 'answered 503: {"error": "gone"}'),
        ((200, {"result": [0]}, GOOD[2]), "2 results were expected"),
        ((200, {"error": "no"}, GOOD[2]), "2 results were expected"),
        ((200, [], GOOD[2]), "2 results were expected"),
        ((200, {"result": [0, 1]}, {}), "does not say which deployment"),
    ],
)
def test_an_answer_that_is_none_is_a_failure(endpoint: Endpoint, calls: Calls, answer: Any, why: str) -> None:
    endpoint.answers = [answer]
    with pytest.raises(DemoFailed, match="the endpoint: "):
        calls.ask(REQUEST)
    endpoint.answers = [answer, GOOD]
    calls.start()
    eventually(lambda: calls.facts()["answered_by"])
    calls.stop()
    facts = calls.facts()
    assert facts["failed"] == 1
    assert why in facts["failures"][0]


def test_nobody_there_is_a_failure_too(endpoint: Endpoint, calls: Calls) -> None:
    endpoint.close()
    calls.start()
    eventually(lambda: calls.facts()["failed"])
    calls.stop()
    assert "ConnectError" in calls.facts()["failures"][0]


def test_one_answer_is_kept_with_its_headers(calls: Calls) -> None:
    answer = calls.ask(REQUEST)
    assert (answer["request"], answer["response"], answer["deployment"]) == (REQUEST, {"result": [0, 1]}, "blue")
    assert answer["headers"]["azureml-model-deployment"] == "blue"
    assert "the-key" not in json.dumps(answer)
