"""The lake as Relearn needs it: the present state of a file, and lists that agree with the events of landings."""

from __future__ import annotations

from typing import Any

import pytest
from azure.storage.blob import BlobServiceClient, BlobType

from local.gateway import BlobChange
from shared.cloud.lake import LakeFiles
from shared.ports import Lake
from tests.fakes import FakeLake

pytestmark = pytest.mark.cloud


class Fake:
    account = "acc"

    def __init__(self) -> None:
        self.fake = FakeLake()
        self.lake: Lake = self.fake

    def put(self, path: str, content: bytes = b"1") -> None:
        self.fake.put(path, size=len(content))
        self.fake.contents[self.account, "lake", path] = content


class Real:
    def __init__(self, account: Any, credential: Any) -> None:
        self.account = account.name
        self.address = account.blob
        self.credential = credential
        self.lake: Lake = LakeFiles({account.name: account.blob}, credential)

    def put(self, path: str, content: bytes = b"1") -> None:
        with BlobServiceClient(self.address, credential=self.credential) as service:
            service.get_blob_client("lake", path).upload_blob(content, overwrite=True)


@pytest.fixture
def real(lake_account: Any, credential: Any) -> Real:
    return Real(lake_account, credential)


@pytest.fixture(params=["fake", "real"])
def bench(request: pytest.FixtureRequest) -> Any:
    return Fake() if request.param == "fake" else request.getfixturevalue("real")


def paths(bench: Any, prefix: str, top: int = 100, continuation: str | None = None) -> tuple[list[str], str | None]:
    page = bench.lake.files(bench.account, "lake", prefix, top=top, continuation=continuation)
    return [file.path for file in page.files], page.continuation


def test_files_are_listed_by_path_in_pages(bench: Any) -> None:
    for name in ("in/b/2.csv", "in/a/1.csv", "in/b/3.csv", "other/4.csv"):
        bench.put(name)
    first, following = paths(bench, "in/", top=2)
    assert first == ["in/a/1.csv", "in/b/2.csv"]
    assert following is not None
    assert paths(bench, "in/", top=2, continuation=following) == (["in/b/3.csv"], None)
    assert paths(bench, "in/b/") == (["in/b/2.csv", "in/b/3.csv"], None)
    assert paths(bench, "nothing/") == ([], None)


def test_a_list_and_a_head_tell_the_same(bench: Any) -> None:
    bench.put("in/ä b.csv", b"12345")
    [file] = bench.lake.files(bench.account, "lake", "in/", top=10, continuation=None).files
    found = bench.lake.properties(bench.account, "lake", "in/ä b.csv")
    assert found is not None
    assert (file.etag, file.size) == (found.etag, found.size)
    assert bench.lake.properties(bench.account, "lake", "in/gone.csv") is None
    assert bench.lake.accounts == (bench.account,)


def test_a_small_file_is_read_up_to_the_limit(bench: Any) -> None:
    bench.put("in/ä b.json", b"12345")
    bench.put("in/empty.json", b"")
    assert bench.lake.read(bench.account, "lake", "in/ä b.json", 100) == b"12345"
    assert bench.lake.read(bench.account, "lake", "in/ä b.json", 5) == b"12345"
    assert bench.lake.read(bench.account, "lake", "in/ä b.json", 4) == b"1234"
    assert bench.lake.read(bench.account, "lake", "in/empty.json", 100) == b""
    assert bench.lake.read(bench.account, "lake", "in/gone.json", 100) is None
    assert bench.lake.read(bench.account, "elsewhere", "in/empty.json", 100) is None


def test_a_list_agrees_with_the_event_of_the_landing(real: Real, cloud: Any) -> None:
    seen: list[BlobChange] = []
    cloud.storage.on_blob(lambda change: seen.append(change) if change.account == real.account else None)
    real.put("in/ä b.csv", b"12345")
    [file] = real.lake.files(real.account, "lake", "in/", top=10, continuation=None).files
    [change] = seen
    assert file.etag == change.etag.strip('"')
    assert (file.path, file.size, file.url) == (change.path, change.content_length, change.url)


def test_a_container_that_is_not_there_has_no_files(real: Real) -> None:
    page = real.lake.files(real.account, "nowhere", "", top=10, continuation=None)
    assert (page.files, page.continuation) == ((), None)


def test_what_raises_no_event_is_not_listed(real: Real) -> None:
    real.put("in/a.csv")
    with BlobServiceClient(real.address, credential=real.credential) as service:
        service.get_blob_client("lake", "in/log.csv").upload_blob(b"1", blob_type=BlobType.APPENDBLOB)
    assert paths(real, "in/") == (["in/a.csv"], None)
