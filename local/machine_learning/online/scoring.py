"""The scoring front: checks who asks, chooses a deployment, passes the request on, answers as AML's front does."""

from __future__ import annotations

import hmac
import json
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from local.identity import LIFETIME_SECONDS, mint
from local.machine_learning.answers import Answers, Refused
from local.machine_learning.bearer import objection
from local.machine_learning.doors import AUDIENCES, Doors
from local.machine_learning.online.answering import Answer, NotAnswering, Question, TookTooLong
from local.machine_learning.online.directory import Chosen, Directory
from local.machine_learning.online.values import AuthMode, Endpoint
from local.progress import Clock
from local.service import now

DEPLOYMENT_HEADER: Final = "azureml-model-deployment"
_REMEMBERED: Final = 10_000
_NOT_FOR_THE_MODEL: Final = frozenset({"authorization", DEPLOYMENT_HEADER})


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One scoring request and what its caller saw; `deployment` is None where none was chosen."""

    at: datetime
    endpoint: str
    deployment: str | None
    asked_for: str | None
    status: int


class Front:
    """Answers POST /online/{endpoint}/score. Statuses as Microsoft's guide to online endpoints lists them.

    Its 429 for more requests than twice what the instances take at once, and its 413, are not imitated.
    """

    def __init__(self, directory: Directory, answers: Answers, doors: Doors, clock: Clock) -> None:
        self._directory = directory
        self._answers = answers
        self._doors = doors
        self._clock = clock
        self._lock = threading.Lock()
        self._scored: deque[Scored] = deque(maxlen=_REMEMBERED)

    def routes(self) -> Sequence[BaseRoute]:
        return [self._doors.open("POST", "/online/{endpoint}/score", self._score)]

    @property
    def scored(self) -> list[Scored]:
        """The newest requests, oldest first."""
        with self._lock:
            return list(self._scored)

    def clear(self) -> None:
        with self._lock:
            self._scored.clear()

    def uri(self, endpoint: str) -> str:
        # In Azure https://<endpoint>.<region>.inference.ml.azure.com/score; on loopback there is one host name.
        return f"{self._answers.url}/online/{endpoint}/score"

    def token(self, endpoint: Endpoint) -> dict[str, object]:
        """What an endpoint with AMLToken hands out."""
        at = int(now().timestamp())  # the clock its time is later judged by
        return {
            "accessToken": mint(self.uri(endpoint.name), at=at),
            "tokenType": "Bearer",
            "expiryTimeUtc": at + LIFETIME_SECONDS,
            "refreshAfterTimeUtc": at + LIFETIME_SECONDS // 2,
        }

    async def _score(self, request: Request) -> Response:
        asked_for = request.headers.get(DEPLOYMENT_HEADER)
        name = request.path_params["endpoint"]
        chosen: Chosen | None = None
        try:
            with self._directory.lock:
                endpoint = self._directory.require(name).value
            self._admit(request, endpoint)
            body = await request.body()
            chosen = self._directory.choose(name, asked_for)
            answer = await run_in_threadpool(_ask, chosen, request, body)
            response = Response(answer.body, answer.status, headers=dict(answer.headers))
            response.headers[DEPLOYMENT_HEADER] = chosen.deployment.name
        except Refused as refused:
            response = refused.answer()
        finally:
            if chosen is not None:
                chosen.instance.release()
        self._remember(name, chosen, asked_for, response.status_code)
        return response

    def _admit(self, request: Request, endpoint: Endpoint) -> None:
        authorization = request.headers.get("authorization")
        if endpoint.auth_mode is AuthMode.AAD_TOKEN:
            problem = objection(authorization, AUDIENCES)
        elif endpoint.auth_mode is AuthMode.AML_TOKEN:
            problem = objection(authorization, {self.uri(endpoint.name)})
        else:
            problem = _no_key(authorization, endpoint)
        if problem:
            raise Refused(401, "Unauthorized", f"Authentication failed: {problem}.")

    def _remember(self, name: str, chosen: Chosen | None, asked_for: str | None, status: int) -> None:
        scored = Scored(
            at=self._clock.now(),
            endpoint=chosen.endpoint.name if chosen else name,
            deployment=chosen.deployment.name if chosen else None,
            asked_for=asked_for,
            status=status,
        )
        with self._lock:
            self._scored.append(scored)


def _no_key(authorization: str | None, endpoint: Endpoint) -> str | None:
    _, _, given = (authorization or "").partition(" ")
    keys = (endpoint.keys.primary, endpoint.keys.secondary)
    return None if any(hmac.compare_digest(given.strip(), key) for key in keys) else "this is no key of the endpoint"


def _ask(chosen: Chosen, request: Request, body: bytes) -> Answer:
    """In a thread that may wait."""
    question = Question(
        endpoint=chosen.endpoint.name,
        deployment=chosen.deployment.name,
        body=body,
        headers={name: value for name, value in request.headers.items() if name not in _NOT_FOR_THE_MODEL},
        seconds=chosen.deployment.timeout_seconds,
    )
    try:
        answer = chosen.instance.answering.answer(question)
    except TookTooLong:
        return _failure(408, f"The model took longer than its request timeout of {question.seconds:g} s.")
    except NotAnswering as problem:  # what the front says while Azure restarts a container is not known
        return _failure(503, f"The server of deployment {chosen.deployment.name!r} does not answer: {problem}")
    if answer.status == 200:
        return answer
    # Whatever the model's server says but 200 is a model error to the caller, with the server's own status beside it.
    said = {"ms-azureml-model-error-statuscode": str(answer.status), "ms-azureml-model-error-reason": "model_error"}
    return Answer(status=424, body=answer.body, headers={**answer.headers, **said})


def _failure(status: int, message: str) -> Answer:
    body = json.dumps(
        {"error": {"code": "RequestTimeout" if status == 408 else "ServiceUnavailable", "message": message}}
    )
    return Answer(status=status, body=body.encode(), headers={"content-type": "application/json"})
