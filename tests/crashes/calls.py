"""Outgoing calls, counted where they leave a process, in the words by which the other side counts them.

Whatever SDK makes a call, an adapter of `requests` sends it: there every call is seen, whoever adds it and wherever.
That none goes past it is not taken on trust: the dry run of each story compares what was counted here with what the
gateway and the servers behind the ARM address were asked (`Asked`).
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import HTTPAdapter

from local.accesses import Access
from local.gateway import STORAGE_SERVICES
from local.gateway.calls import call_of, parse_target
from tests.scenarios.stage import Stage

DIED: Final = 42
"""The exit code of a process that ended at the moment it was told."""


def origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def kind_of(request: requests.PreparedRequest, settings: Mapping[str, str]) -> str | None:
    """What a call is, as the other side names it; None for a question for a token.

    Those are not counted: nothing outside is changed by one and nothing is kept of it, so that to die before or after
    it is to die before the call it is for.
    """
    url = str(request.url)
    parts, origin = urlsplit(url), origin_of(url)
    if origin == origin_of(os.environ["IDENTITY_ENDPOINT"]):
        return None
    for service in STORAGE_SERVICES:
        if origin == origin_of(settings[f"RelearnStorage__{service}ServiceUri"]):
            target = url.removeprefix(origin)
            conditional = "If-Match" in request.headers
            return call_of(parse_target(service, str(request.method), target, conditional=conditional)).kind
    return f"{request.method} {unquote(parts.path)}"


def count_and_die(settings: Mapping[str, str], moment: int | None, tell: Callable[[str], None]) -> None:
    """From now on each call of this process is told of, and at one moment it ends: no handler, no clean-up, no flush.

    Args:
        moment: 2n - 1: when the n-th call is about to be sent; 2n: its answer has arrived, and nobody has seen it.
            None: never.
    """
    send: Callable[..., Any] = HTTPAdapter.send
    lock, made = threading.Lock(), 0

    def counted(adapter: HTTPAdapter, request: requests.PreparedRequest, **options: Any) -> Any:
        nonlocal made
        kind = kind_of(request, settings)
        if kind is None:
            return send(adapter, request, **options)
        with lock:
            made += 1
            number = made
            if moment == 2 * number - 1:
                os._exit(DIED)
            tell(kind)
        answer = send(adapter, request, **options)
        if moment == 2 * number:
            os._exit(DIED)
        return answer

    HTTPAdapter.send = counted  # type: ignore[method-assign]


class Asked:
    """What the other side was asked since this was made: by each service's own record of its requests."""

    def __init__(self, stage: Stage, factory: str) -> None:
        self._stage, self._cloud = stage, stage.cloud
        self._factory = f"/factories/{factory}/"
        self._storage = self._stored()
        self._factory_before = len(self._cloud.data_factory.requests.entries)
        self._cloud.machine_learning.requests.clear()
        self._at_arm: Counter[str] = Counter()
        self._hear_no_more = self._cloud.accesses.on(self._heard)

    def _heard(self, access: Access) -> None:
        if access.service == "arm":
            self._at_arm[f"{access.method} {access.path}"] += 1

    def _stored(self) -> Counter[str]:
        accounts = (self._stage.account.name, self._stage.lake.name)
        return sum((Counter(self._cloud.storage.calls.kinds(name)) for name in accounts), Counter())

    def counts(self) -> Counter[str]:
        """By kind. What came in at the ARM address is in the record of a service, or was sent to a topic."""
        self._hear_no_more()
        asked = self._cloud.data_factory.requests.entries[self._factory_before :]
        factory = Counter(f"{e['method']} {e['path']}" for e in asked)
        workspace = Counter(f"{call.method} {call.path}" for call in self._cloud.machine_learning.requests.calls)
        topics = Counter({what: count for what, count in self._at_arm.items() if " /topics/" in what})
        assert factory + workspace + topics == self._at_arm, "a request at the ARM address is in nobody's record"
        return (self._stored() - self._storage) + factory + workspace + topics
