"""Names of blobs that come from outside: an address leads to the blob of that name, or to none."""

from __future__ import annotations

import pytest
from azure.storage.blob import ContainerClient

from shared.cloud.dead_letter_blobs import DeadLetterBlobs
from shared.cloud.lake import LakeFiles
from shared.cloud.storage import addressable

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
