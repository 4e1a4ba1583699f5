"""Long-running operations: what was begun, how it is asked about, and what happens when it ends."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from local.progress import Clock, Immediately, Interpret, Outcome, Policy

_REMEMBERED: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an operation ended. `code` is AML's word for the error."""

    outcome: Outcome
    message: str = ""
    code: str = "InternalServerError"


Finish = Callable[[Ending], None]


@dataclass(slots=True, kw_only=True)
class Operation:
    """One of them. `id` starts with oe: for endpoints, od: for deployments; `finish` is called once, at the end."""

    id: str
    working: str
    started: datetime
    policy: Policy
    finish: Finish
    polls: int = 0
    ending: Ending | None = None
    ended: datetime | None = None


class Operations:
    """All operations of a workspace; whoever calls holds the lock on what they change."""

    def __init__(self, workspace_guid: str, clock: Clock) -> None:
        self._guid = workspace_guid
        self._clock = clock
        self._known: OrderedDict[str, Operation] = OrderedDict()

    def new_id(self, kind: str) -> str:
        return f"{kind}:{self._guid}:{uuid.uuid4()}"

    def begin(self, operation_id: str, working: str, policy: Policy, finish: Finish) -> Operation:
        """An operation that is on its way; with the policy Immediately it is over when this returns."""
        operation = Operation(id=operation_id, working=working, started=self._clock.now(), policy=policy, finish=finish)
        self._keep(operation)
        self.settle(operation)
        return operation

    def remember(self, operation_id: str, ending: Ending, at: datetime) -> None:
        """One that ended in an earlier run of the local cloud."""
        operation = Operation(
            id=operation_id,
            working="",
            started=at,
            policy=Immediately(),
            finish=lambda _: None,
            ending=ending,
            ended=at,
        )
        self._keep(operation)

    def _keep(self, operation: Operation) -> None:
        self._known[operation.id.lower()] = operation
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def get(self, operation_id: str) -> Operation | None:
        return self._known.get(operation_id.lower())

    def settle(self, operation: Operation, *, polled: bool = False) -> None:
        """Let the policy decide whether it is over; `polled`: because somebody asked."""
        if operation.ending is not None or isinstance(operation.policy, Interpret):
            return
        operation.polls += polled
        elapsed = (self._clock.now() - operation.started).total_seconds()
        outcome = operation.policy.verdict(polls=operation.polls, elapsed=elapsed)
        if outcome is not None:
            self.end(operation, Ending(outcome=outcome, message=operation.policy.message))

    def end(self, operation: Operation, ending: Ending) -> None:
        """Over, once: a second ending changes nothing."""
        if operation.ending is None:
            operation.ending = ending
            operation.ended = self._clock.now()
            operation.finish(ending)

    def clear(self) -> None:
        self._known.clear()
