"""Names of blobs that come from outside: an address leads to the blob of that name, or to none."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from azure.storage.blob import ContainerClient

from shared.cloud.dead_letter_blobs import DeadLetterBlobs
from shared.cloud.lake import LakeFiles
from shared.cloud.storage import addressable
from shared.errors import NotPossible, StorageUnavailable

NOBODY = "http://127.0.0.1:9/acc"
"""Nobody listens: a question would fail."""
ELSEWHERE = [
    "../azure-webjobs-secrets/func/host.json",
    "a/../../other/x.json",
    "./x.json",
    "a/..",
    "..",
    "a\x00b",
    "a\nb",
    "\ud800",
    "a" * 1025,
    "",
]


@pytest.mark.parametrize("name", ELSEWHERE)
def test_another_containers_blobs_are_not_asked_for(name: str) -> None:
    assert not addressable(name)
    assert DeadLetterBlobs(ContainerClient(NOBODY, "dead-letters")).read(name) is None
    lake = LakeFiles({"acc": NOBODY}, credential=None)  # type: ignore[arg-type]
    assert lake.properties("acc", "lake", name) is None
    assert lake.read("acc", "lake", name, 1) is None


@pytest.mark.parametrize(
    "name", ["t/s/2026/11/26/8/a.json", "a..b/.hidden/c...csv", "Zürich/%2e%2e/x y.csv", "a" * 1024]
)
def test_what_only_looks_like_it_is_a_name(name: str) -> None:
    assert addressable(name)


class Answers(BaseHTTPRequestHandler):
    """Azure's answer to a marker that is none."""

    def do_GET(self) -> None:
        self.send_response(400)
        self.send_header("x-ms-error-code", "InvalidQueryParameterValue")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_place_that_no_list_has_is_the_askers_mistake() -> None:
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with ContainerClient(f"http://127.0.0.1:{server.server_port}/acc", "dead-letters") as container:
            with pytest.raises(NotPossible, match="no such place"):
                DeadLetterBlobs(container).list(continuation="nonsense")
            with pytest.raises(StorageUnavailable):
                DeadLetterBlobs(container).list()
        server.shutdown()
