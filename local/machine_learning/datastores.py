"""Data in and out of the lake: where a URI points, downloads of files and folders, uploads of results."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from azure.core.credentials import AccessToken, AccessTokenInfo, TokenRequestOptions
from azure.core.exceptions import AzureError
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import BlobServiceClient, ContainerClient, ExponentialRetry

from local.identity import COMPUTE_CLIENT, LIFETIME_SECONDS, mint
from local.service import now

# 200 small blobs take about a second each way, with one thread as with sixteen: both ends share the processor.
TRANSFERS = 4

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_DATASTORE = re.compile(
    r"azureml://(subscriptions/[^/]+/resource[gG]roups/[^/]+/(providers/[^/]+/)?workspaces/[^/]+/)?"
    r"datastores/(?P<name>[^/]+)/paths/(?P<path>.+)"
)


class DataError(RuntimeError):
    """Data could not be read or written; names its URI."""


class TransferStopped(RuntimeError):
    """The job was cancelled in the middle of a transfer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a URI points: a container and a path in it, without a slash at either end."""

    uri: str
    container_url: str
    path: str

    def __str__(self) -> str:
        return self.uri


class ComputeIdentity:
    """The managed identity of the compute as a credential; its tokens come from the local cloud's own mint."""

    def get_token(self, *scopes: str, **_kwargs: object) -> AccessToken:
        return AccessToken(mint(_resource(scopes), client=COMPUTE_CLIENT), _expiry())

    def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        return AccessTokenInfo(mint(_resource(scopes), client=COMPUTE_CLIENT), _expiry())

    def close(self) -> None:
        pass


def _resource(scopes: tuple[str, ...]) -> str:
    return scopes[0].removesuffix("/.default")


def _expiry() -> int:
    return int(now().timestamp()) + LIFETIME_SECONDS


class Datastores:
    """The workspace's datastores, read and written through the storage gateway like anybody's data.

    Args:
        storage_url: the gateway; only it is ever called, whatever a URI says.
        containers: datastore name to the URL of its container.
        ca_file: the authority that vouches for the gateway.
    """

    def __init__(self, *, storage_url: str, containers: Mapping[str, str], ca_file: Path) -> None:
        self._storage_url = storage_url.rstrip("/") + "/"
        self._containers = {name: url.rstrip("/") for name, url in containers.items()}
        self._ca_file = ca_file
        self._lock = threading.Lock()
        self._clients: dict[str, BlobServiceClient] = {}

    def add(self, name: str, container_url: str) -> None:
        """Make a datastore of this container, in place of one of the same name."""
        with self._lock:
            self._containers[name] = container_url.rstrip("/")

    def is_ours(self, uri: str) -> bool:
        """Whether it is an address in this cloud's storage, which alone is ever called."""
        return uri.startswith(self._storage_url)

    def make_container(self, url: str) -> None:
        """A new container.

        Raises:
            DataError: the storage does not make it.
        """
        place = Place(uri=url, container_url=url, path="")
        _attempt(place, self._container(place).create_container)

    def locate(self, uri: str) -> Place:
        """Where this URI points.

        Raises:
            DataError: it is no URI of a datastore or of this cloud's storage.
        """
        if match := _DATASTORE.fullmatch(uri):
            with self._lock:
                container = self._containers.get(match["name"])
            if container is None:
                raise DataError(f"{uri}: there is no datastore {match['name']!r} in the workspace")
            return Place(uri=uri, container_url=container, path=match["path"].strip("/"))
        if not self.is_ours(uri):
            raise DataError(f"{uri}: is neither azureml://datastores/… nor an address in the storage of this cloud")
        account, _, rest = unquote(urlsplit(uri).path).strip("/").partition("/")
        container, _, path = rest.partition("/")
        if not path:
            raise DataError(f"{uri}: names no path in a container")
        return Place(uri=uri, container_url=f"{self._storage_url}{account}/{container}", path=path)

    def download_file(self, uri: str, folder: Path, stop: threading.Event) -> Path:
        """One blob, as a file of the same name in `folder`."""
        place = self.locate(uri)
        target = _inside(folder, PurePosixPath(place.path).name, place)
        container = self._container(place)
        _each([place.path], lambda path: _download(container, path, target), place, stop)
        return target

    def download_folder(self, uri: str, folder: Path, stop: threading.Event) -> Path:
        """All blobs below the path, with the folders between."""
        place = self.locate(uri)
        prefix = place.path + "/"
        container = self._container(place)
        names = _attempt(place, lambda: list(container.list_blob_names(name_starts_with=prefix)))
        if not names:
            raise DataError(f"{place}: there is no file below this path")
        targets = {name: _inside(folder, name.removeprefix(prefix), place) for name in names}
        _each(names, lambda name: _download(container, name, targets[name]), place, stop)
        return folder

    def download(self, uri: str, target: Path, stop: threading.Event) -> int:
        """The blob as this file, or all blobs below the path in this folder; says how many."""
        place = self.locate(uri)
        container = self._container(place)
        names = _attempt(place, lambda: list(container.list_blob_names(name_starts_with=place.path)))
        if place.path in names:
            _each([place.path], lambda path: _download(container, path, target), place, stop)
            return 1
        self.download_folder(uri, target, stop)
        return sum(name.startswith(place.path + "/") for name in names)

    def require_free(self, uri: str) -> None:
        """Results are never mixed with what is there: AML wants an output path that does not exist yet."""
        place = self.locate(uri)
        container = self._container(place)
        found = _attempt(place, lambda: _first_below(container, place.path))
        if found is not None:
            raise DataError(f"{place}: already holds {found!r}; an output path must not exist yet")

    def upload(self, source: Path, uri: str, stop: threading.Event) -> int:
        """A file to this very path, or a folder's files below it; says how many blobs that made."""
        place = self.locate(uri)
        files = (
            {
                path: f"{place.path}/{path.relative_to(source).as_posix()}"
                for path in source.rglob("*")
                if path.is_file()
            }
            if source.is_dir()
            else {source: place.path}
        )
        container = self._container(place)
        _each(files, lambda path: _upload(container, path, files[path]), place, stop)
        return len(files)

    def close(self) -> None:
        with self._lock:
            clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            client.close()

    def _container(self, place: Place) -> ContainerClient:
        account_url, _, container = place.container_url.rpartition("/")
        with self._lock:
            if account_url not in self._clients:
                self._clients[account_url] = self._client(account_url)
            return self._clients[account_url].get_container_client(container)

    def _client(self, account_url: str) -> BlobServiceClient:
        return BlobServiceClient(
            account_url,
            credential=ComputeIdentity(),
            # The developer's proxies and CA bundles are not asked: this is loopback, with our own authority.
            transport=RequestsTransport(use_env_settings=False, connection_verify=str(self._ca_file)),
            retry_policy=ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=3),
        )


def _inside(folder: Path, relative: str, place: Place) -> Path:
    parts = PurePosixPath(relative).parts
    if not parts or parts[0] == "/" or ".." in parts:
        raise DataError(f"{place}: the blob name {relative!r} is no path inside a folder")
    return folder.joinpath(*parts)


def _first_below(container: ContainerClient, path: str) -> str | None:
    for name in container.list_blob_names(name_starts_with=path, results_per_page=10):
        if name == path or name.startswith(path + "/"):
            return str(name)
    return None


def _download(container: ContainerClient, name: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        container.download_blob(name).readinto(file)


def _upload(container: ContainerClient, source: Path, name: str) -> None:
    with source.open("rb") as file:
        container.upload_blob(name, file, overwrite=False)


def _each(items: Iterable[_Item], work: Callable[[_Item], object], place: Place, stop: threading.Event) -> None:
    def one(item: _Item) -> None:
        if stop.is_set():
            raise TransferStopped
        _attempt(place, lambda: work(item))

    with ThreadPoolExecutor(TRANSFERS, thread_name_prefix="transfer") as pool:
        for _ in pool.map(one, items):  # raises the first failure; what has not begun is then dropped
            pass


def _attempt(place: Place, work: Callable[[], _Result]) -> _Result:
    try:
        return work()
    except AzureError as problem:
        raise DataError(f"{place}: {_reason(problem)}") from problem


def _reason(problem: AzureError) -> str:
    first, *_ = str(problem.message).splitlines() or [type(problem).__name__]
    status = getattr(problem, "status_code", None)
    return first if status is None else f"{first} (HTTP {status})"
