"""The smoke test: one request that a new deployment must answer well before it gets any traffic."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from shared.rollouts.gate import Verdict

TRIES: Final = 3
"""How often a test without a clear answer is made: a first request may be slow."""
_PASSING_TROUBLE: Final = frozenset({408, 429, 502, 503, 504})
"""Not 424: that is how AML passes on what the model itself answered, when it was no success."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a scoring request got: its status, the deployment that says it served it, the body, how long it took."""

    status: int
    deployment: str | None
    body: str
    seconds: float


def unclear(answer: Answer) -> bool:
    """Whether asking again may help: nobody was there to answer, or not in time."""
    return answer.status in _PASSING_TROUBLE


def judge(request: str, deployment: str, answer: Answer) -> Verdict:
    """Whether the answer is one of a model that works: one result for every row, from the deployment asked."""
    problem = _problem(request, deployment, answer)
    if problem is not None:
        return Verdict(passed=False, reason=problem)
    return Verdict(passed=True, reason=f"{_rows(request)} result(s) in {answer.seconds * 1000:.0f} ms")


def _problem(request: str, deployment: str, answer: Answer) -> str | None:
    if answer.status != 200:
        return f"answered {answer.status}: {answer.body[:500].strip() or 'nothing'}"
    if (answer.deployment or "").lower() != deployment.lower():
        return f"was answered by deployment {answer.deployment}, not by {deployment}"
    try:
        results = json.loads(answer.body)["result"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return f'the answer is not {{"result": […]}}: {answer.body[:200]}'
    if not isinstance(results, list) or len(results) != _rows(request):
        return f"{_rows(request)} result(s) were expected: {answer.body[:200]}"
    if any(result is None for result in results):
        return f"a result is null: {answer.body[:200]}"
    return None


def _rows(request: str) -> int:
    return len(json.loads(request)["data"])
