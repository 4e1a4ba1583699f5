"""What answers a scoring request: an inference server, one that still comes up, or a canned answer of a test's."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


class TookTooLong(RuntimeError):
    """The deployment's request timeout passed before there was an answer."""


class NotAnswering(RuntimeError):
    """The server behind the deployment is gone, or broke off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A scoring request on its way to a deployment."""

    endpoint: str
    deployment: str
    body: bytes
    headers: Mapping[str, str]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the model's server said."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Answering(Protocol):
    def answer(self, question: Question) -> Answer:
        """Raises TookTooLong or NotAnswering. Called in a thread that may wait."""

    def stop(self) -> None:
        """Called when no request is left."""


Scoring = Callable[[str, str, Any], tuple[int, Any, float]]
"""scoring(endpoint, deployment, body as JSON) -> (status, body, seconds it takes). It may raise, as a model may."""


def zeros(endpoint: str, deployment: str, body: object) -> tuple[int, Any, float]:
    """What a deployment that is not really served answers unless a test says otherwise."""
    data = body.get("data") if isinstance(body, Mapping) else None
    if not isinstance(data, list):
        raise TypeError('the body must be {"data": [...]}')
    return 200, {"result": [0] * len(data)}, 0.0


@dataclass(slots=True)
class Script:
    """The canned answers of a workspace; a test may change them at any time."""

    scoring: Scoring = zeros


class Canned:
    """Stands in for an inference server, with its headers."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def answer(self, question: Question) -> Answer:
        began = time.perf_counter()
        try:
            content = json.loads(question.body)
        except ValueError:
            content = None
        try:
            status, body, seconds = self._script.scoring(question.endpoint, question.deployment, content)
        except Exception:  # noqa: BLE001  # a test's own: the model it plays may raise anything
            return self._said(question, 500, {"message": _FAILED}, failed=True, seconds=time.perf_counter() - began)
        if seconds > question.seconds:  # nobody need wait for a timeout that is certain
            raise TookTooLong
        time.sleep(max(0.0, seconds - (time.perf_counter() - began)))
        return self._said(question, status, body, failed=False, seconds=time.perf_counter() - began)

    def stop(self) -> None:
        pass

    def _said(self, question: Question, status: int, body: object, *, failed: bool, seconds: float) -> Answer:
        asked = {name.lower(): value for name, value in question.headers.items()}
        request_id = asked.get("x-request-id", str(uuid.uuid4()))
        headers = {
            "content-type": "application/json",
            "x-ms-run-function-failed": str(failed),
            "x-ms-run-fn-exec-ms": f"{seconds * 1000:.3f}",
            "x-ms-server-version": "azmlinfsrv/canned",
            "x-request-id": request_id,
            "x-ms-request-id": asked.get("x-ms-client-request-id", request_id),
        }
        return Answer(status=status, body=json.dumps(body).encode(), headers=headers)


_FAILED = "An unexpected error occurred in scoring script. Check the logs for more info."


class Awaited:
    """A server that is being started again; requests wait for it as long as their timeout allows."""

    def __init__(self, coming: concurrent.futures.Future[Answering]) -> None:
        self._coming = coming

    def answer(self, question: Question) -> Answer:
        try:
            return self._coming.result(question.seconds).answer(question)
        except concurrent.futures.TimeoutError as problem:
            raise TookTooLong from problem

    def stop(self) -> None:
        with contextlib.suppress(NotAnswering):  # it never came
            self._coming.result().stop()
