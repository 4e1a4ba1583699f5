"""Asks the online endpoint as its users do: again and again through every change, or once with a look at the answer."""

from __future__ import annotations

import ssl
import threading
import time
from collections import Counter
from typing import Any, Final

import httpx

from local.demo.expectations import DemoFailed
from local.workspace_client import Scoring

DEPLOYMENT: Final = "azureml-model-deployment"
PAUSE_SECONDS: Final = 0.1
TIMEOUT_SECONDS: Final = 20.0
FAILURES_KEPT: Final = 20

Json = dict[str, Any]


class Calls:
    """A client that never stops asking, in a thread of its own, from `start` to `stop`."""

    def __init__(self, scoring: Scoring, request: Json, trust: ssl.SSLContext) -> None:
        self._uri = scoring.uri
        self._request = request
        headers = {"Authorization": f"Bearer {scoring.key}"}
        self._http = httpx.Client(verify=trust, trust_env=False, timeout=TIMEOUT_SECONDS, headers=headers)
        self._answered: Counter[str] = Counter()
        self._failures: list[str] = []
        self._slowest = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask_again_and_again, name="calls", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Safe to call twice."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._http.close()

    def facts(self) -> Json:
        answered = dict(self._answered)
        return {
            "sent": sum(answered.values()) + len(self._failures),
            "failed": len(self._failures),
            "failures": self._failures[:FAILURES_KEPT],
            "answered_by": answered,
            "slowest_seconds": round(self._slowest, 3),
        }

    def ask(self, request: Json) -> Json:
        """One request and its answer, with the headers.

        Raises:
            DemoFailed: it was not answered well.
        """
        answer = self._http.post(self._uri, json=request)
        problem = _problem(answer, request)
        if problem:
            raise DemoFailed(f"the endpoint: {problem}")
        return {
            "request": request,
            "response": answer.json(),
            "deployment": answer.headers[DEPLOYMENT],
            "headers": dict(answer.headers),
        }

    def _ask_again_and_again(self) -> None:
        while not self._stop.wait(PAUSE_SECONDS):
            began = time.monotonic()
            try:
                answer = self._http.post(self._uri, json=self._request)
                problem = _problem(answer, self._request)
            except httpx.HTTPError as error:
                problem = f"{type(error).__name__}: {error}"
            self._slowest = max(self._slowest, time.monotonic() - began)
            if problem:
                self._failures.append(problem)
            else:
                self._answered[answer.headers[DEPLOYMENT]] += 1


def _problem(answer: httpx.Response, request: Json) -> str:
    """Why an answer counts as a failure; empty if it does not."""
    if answer.status_code != 200:
        return f"answered {answer.status_code}: {answer.text[:500]}"
    try:
        results = answer.json()["result"]
    except (ValueError, KeyError, TypeError):
        results = None
    if not isinstance(results, list) or len(results) != len(request["data"]):
        return f"{len(request['data'])} results were expected: {answer.text[:500]}"
    return "" if answer.headers.get(DEPLOYMENT) else "the answer does not say which deployment gave it"
