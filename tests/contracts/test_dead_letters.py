"""Dead letters: listed page by page, read as Event Grid wrote them, marked once, removed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from azure.storage.blob import ContainerClient

from shared.cloud import storage
from shared.cloud.dead_letter_blobs import MARK, DeadLetterBlobs
from shared.errors import StorageUnavailable
from shared.ports import DeadLetters
from shared.settings import DEAD_LETTER_CONTAINER, from_environment
from tests.fakes import FakeDeadLetters

pytestmark = pytest.mark.cloud

CONTENT = json.dumps([{"id": "1", "subject": "Zürich\n"}], ensure_ascii=False)


class Fake:
    def __init__(self) -> None:
        self.fake = FakeDeadLetters()
        self.letters: DeadLetters = self.fake

    def put(self, name: str, content: str = CONTENT) -> None:
        self.fake.put(name, content)

    def left(self) -> list[str]:
        return sorted(self.fake.blobs)


class Real:
    def __init__(self, cloud: Any, account: Any, credential: Any) -> None:
        settings = from_environment(cloud.app_settings(account.name)).storage
        self.service = storage.blobs(settings, credential)
        self.container: ContainerClient = self.service.get_container_client(DEAD_LETTER_CONTAINER)
        self.letters: DeadLetters = DeadLetterBlobs(self.container)

    def put(self, name: str, content: str = CONTENT) -> None:
        self.container.upload_blob(name, content.encode(), overwrite=True)

    def left(self) -> list[str]:
        return sorted(str(name) for name in self.container.list_blob_names())

    def close(self) -> None:
        self.service.close()


@pytest.fixture
def real(cloud: Any, app_account: Any, credential: Any) -> Iterator[Real]:
    made = Real(cloud, app_account, credential)
    yield made
    made.close()


@pytest.fixture(params=["fake", "real"])
def bench(request: pytest.FixtureRequest) -> Any:
    return Fake() if request.param == "fake" else request.getfixturevalue("real")


def test_they_are_listed_by_name_in_pages(bench: Any) -> None:
    assert bench.letters.list().letters == ()
    for name in ("B/2.json", "A/1.json", "C/3.json"):
        bench.put(name)
    first = bench.letters.list(top=2)
    assert [letter.name for letter in first.letters] == ["A/1.json", "B/2.json"]
    assert first.continuation is not None
    second = bench.letters.list(top=2, continuation=first.continuation)
    assert [letter.name for letter in second.letters] == ["C/3.json"]
    assert second.continuation is None


def test_one_is_read_as_it_was_written(bench: Any) -> None:
    bench.put("A/1.json")
    [letter] = bench.letters.list().letters
    assert bench.letters.read(letter.name) == CONTENT
    assert (letter.size, letter.refused) == (len(CONTENT.encode()), None)
    assert bench.letters.read("A/2.json") is None


def test_a_mark_is_listed_and_changes_nothing_else(bench: Any) -> None:
    bench.put("A/1.json")
    [letter] = bench.letters.list().letters
    assert bench.letters.mark(letter, "malformed: not JSON")
    [marked] = bench.letters.list().letters
    assert marked.refused == "malformed: not JSON"
    assert bench.letters.read("A/1.json") == CONTENT


def test_what_was_changed_since_it_was_listed_is_not_marked(bench: Any) -> None:
    bench.put("A/1.json")
    [letter] = bench.letters.list().letters
    assert bench.letters.mark(letter, "first")
    assert not bench.letters.mark(letter, "second")
    assert bench.letters.list().letters[0].refused == "first"
    assert not bench.letters.mark(replace(letter, name="A/2.json"), "gone")


def test_one_that_is_removed_is_gone_and_removing_it_again_is_no_error(bench: Any) -> None:
    bench.put("A/1.json")
    bench.put("A/2.json")
    bench.letters.remove("A/1.json")
    bench.letters.remove("A/1.json")
    assert bench.left() == ["A/2.json"]


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        ("malformed: 'Zürich\n'", "malformed: 'Z\\xfcrich '"),
        ("", "refused"),
        ("x" * 3000, "x" * 1000),
    ],
)
def test_any_reason_fits_into_a_mark(real: Real, reason: str, kept: str) -> None:
    real.put("A/1.json")
    [letter] = real.letters.list().letters
    assert real.letters.mark(letter, reason)
    assert real.letters.list().letters[0].refused == kept
    assert dict(real.container.get_blob_client("A/1.json").get_blob_properties().metadata) == {MARK: kept}


def test_without_the_container_nothing_is_taken_for_empty(real: Real) -> None:
    missing = DeadLetterBlobs(real.service.get_container_client("nowhere"))
    with pytest.raises(StorageUnavailable, match="list of the dead letters"):
        missing.list()
