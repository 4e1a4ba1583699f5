"""A reaction: one decision to act, its states, and the one table of what may follow what."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Self

from shared.errors import RelearnError
from shared.models import ModelRef
from shared.quality import Requirement
from shared.rules import Gate, Priority, Rate, Serving


class State(StrEnum):
    PENDING = "pending"
    STARTING = "starting"
    AWAITING_APPROVAL = "awaiting-approval"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed-out"
    REFUSED = "refused"
    SUPERSEDED = "superseded"
    ROLLED_BACK = "rolled-back"
    OBSERVED = "observed"
    """Decided and recorded only: its rule's mode is `observe`."""


MODEL_REGISTERED: Final = "model-registered"
"""In a history: a model that the reaction's run registered; the line's run is the model's address."""

_ADDRESS: Final = re.compile(r"(?P<lane>[0-9a-f]{24})-(?P<seq>[1-9][0-9]{0,7})")
_ENDS_EARLY: Final = frozenset({State.FAILED, State.CANCELLED, State.REFUSED, State.SUPERSEDED})

TRANSITIONS: Final[Mapping[State, frozenset[State]]] = {
    # pending -> pending: the wait for a permit, a busy target or a back-off was prolonged.
    # pending -> succeeded: what is only told needs no run.
    State.PENDING: frozenset({State.PENDING, State.STARTING, State.SUCCEEDED, State.OBSERVED}) | _ENDS_EARLY,
    # starting -> starting: in doubt, asked again; or posted again under the same stamp.
    # starting -> pending: the target said clearly that it did not start anything (429).
    State.STARTING: frozenset({State.STARTING, State.PENDING, State.AWAITING_APPROVAL, State.RUNNING}) | _ENDS_EARLY,
    State.AWAITING_APPROVAL: frozenset({State.RUNNING}) | _ENDS_EARLY,
    # running -> running: a second run was found; running -> pending: the run failed and another attempt is due.
    State.RUNNING: frozenset({State.RUNNING, State.PENDING, State.SUCCEEDED, State.TIMED_OUT, State.ROLLED_BACK})
    | _ENDS_EARLY,
    State.SUCCEEDED: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELLED: frozenset(),
    State.TIMED_OUT: frozenset(),
    State.REFUSED: frozenset(),
    State.SUPERSEDED: frozenset(),
    State.ROLLED_BACK: frozenset(),
    State.OBSERVED: frozenset(),
}


class IllegalTransition(RelearnError):
    """A reaction was to move to a state that may not follow its own: a fault in Relearn, never in its input."""

    code = "illegal-transition"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartLimits:
    """What a start of a rule has to keep to, fixed when the reaction is made.

    Attributes:
        concurrency: of the whole rule; None is no limit.
        resources: of each of these a permit is held, of so many there are.
        rate: of the rule's starts; None is no limit.
    """

    concurrency: int | None = None
    resources: Mapping[str, int] = field(default_factory=dict)
    rate: Rate | None = None
    priority: Priority = Priority.NORMAL


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedAction:
    """What a rule's templates gave for the batch, fixed when the reaction is made: no rule change touches it later.

    Attributes:
        parameters: of the pipeline, inputs of the job, or the one text that is told.
    """

    parameters: Mapping[str, str]
    timeout: timedelta
    attempts: int
    backoff: timedelta
    needs_manifest: bool
    limits: StartLimits = StartLimits()

    @property
    def live_endpoints(self) -> tuple[str, ...]:
        """Endpoints whose live model a parameter is still to name: that is settled when the first attempt starts."""
        found = (_LIVE_MARK.findall(value) for value in self.parameters.values())
        return tuple(dict.fromkeys(endpoint for endpoints in found for endpoint in endpoints))

    def with_live(self, models: Mapping[str, str]) -> Self:
        """The action with the live model's address, by endpoint, in place of each mark."""
        settled = {k: _LIVE_MARK.sub(lambda found: models[found[1]], v) for k, v in self.parameters.items()}
        return replace(self, parameters=settled)


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineAction(RenderedAction):
    """The rendered `run-pipeline` of a rule."""

    pipeline: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobAction(RenderedAction):
    """The rendered `run-job` of a rule; its parameters are the inputs of the component."""

    component: str
    compute: str | None
    experiment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyAction(RenderedAction):
    """The rendered `notify` of a rule."""

    @property
    def text(self) -> str:
        return self.parameters[TEXT]


TEXT: Final = "text"
"""The one parameter of a `notify`."""


def live_mark(endpoint: str) -> str:
    """Stands in a parameter for the model that will be live on the endpoint when the reaction starts."""
    return f"\ue000live:{endpoint}\ue000"


_LIVE_MARK: Final = re.compile("\ue000live:([^\ue000]+)\ue000")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployAction:
    """The `deploy-model` of a rule with the version it is about, fixed when the reaction is made.

    Attributes:
        model_created: AML's time of the registration, by which a newer version is known.
        deployment: the name of the deployment to make.
        smoke_test: the text of the request.
    """

    endpoint: str
    model: ModelRef
    model_created: datetime
    deployment: str
    smoke_test: str
    serving: Serving
    gate: Gate | None
    keep_previous: timedelta
    timeout: timedelta
    attempts: int
    backoff: timedelta
    limits: StartLimits = StartLimits()


Action = PipelineAction | JobAction | DeployAction | NotifyAction


class Phase(StrEnum):
    """How far a running rollout is. Up to `smoke-test` production has not been touched."""

    CREATING = "creating"
    SMOKE_TEST = "smoke-test"
    TRAFFIC = "traffic"
    RETIRING = "retiring"
    """All traffic goes to the new deployment; the one before is kept for a while, then removed."""
    REMOVING = "removing"
    """It was not to be: the new deployment is removed, and then the reaction ends as `ends`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """What a rollout has to remember between looks.

    Attributes:
        previous: the deployment that was live when the gate decided, and what it serves; None where nothing was live.
        tries: smoke tests without a clear answer; later, looks at what is being removed.
        promoted: since when all traffic goes to the new deployment.
        ends: where `removing` leads, and why.
    """

    phase: Phase
    previous: str | None = None
    previous_model: ModelRef | None = None
    tries: int = 0
    promoted: datetime | None = None
    ends: State | None = None
    why: str = ""

    @property
    def replaceable(self) -> bool:
        """Whether a newer version may still take this one's place without production noticing."""
        return self.phase in {Phase.CREATING, Phase.SMOKE_TEST}


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """The saved will to start: nobody else acts on it before `deadline`.

    Attributes:
        posted: how often the start has been sent under this stamp, this one included.
        doubt_since: since when it is unclear whether the target started anything; None while the call may be out.
        queries: how many looks for a run with our stamp have found none since then.
        probe: whether this start tries out a target that has been too busy.
    """

    since: datetime
    deadline: datetime
    posted: int = 1
    doubt_since: datetime | None = None
    queries: int = 0
    probe: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job that a run started outside the factory, for people to find: nothing is decided by it.

    Attributes:
        run_id: the run that started it; of a job that the reaction itself started, its own name.
        name: None where the factory could not be asked which jobs the run started.
        url: the address the run last called for the job, without its query.
        status: as the run last saw it; the job itself may have gone on.
    """

    run_id: str
    name: str | None = None
    url: str | None = None
    status: str = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """One reaction as saved. `etag` is what the ledger last gave for it; None before it is first saved."""

    id: str
    rule: str
    key: str
    revision: str
    state: State
    reason: str
    action: Action
    created: datetime
    changed: datetime
    events: int
    attempt: int = 1
    next_look: datetime | None = None
    intent: Intent | None = None
    run_id: str | None = None
    accepted: datetime | None = None
    """When the current attempt's start was accepted: `timeout` counts from here."""
    ended: datetime | None = None
    manifest_url: str | None = None
    manifest_written: bool = False
    jobs: tuple[Job, ...] = ()
    """Of every attempt that has ended."""
    rollout: Rollout | None = None
    observe: bool = False
    """Its rule's mode when it was made: it is decided and recorded only."""
    replaces: int | None = None
    """The number of the superseded reaction whose events are this one's as well."""
    cancel: str | None = None
    """Who wants its end, and why."""
    objection: str | None = None
    """Why it must not be started: its run would start its own rule again."""
    queues: tuple[str, ...] = ()
    """The resources for which it waits its turn: it may be looked at before `next_look`, when one of them is free."""
    require: Requirement | None = None
    """What its data must be like; None once they have been judged."""
    gives_way: bool = False
    """Its end is wanted so that others take its place: however it ends then, unless well, its events are theirs too."""
    etag: str | None = field(default=None, compare=False)

    @property
    def lane(self) -> str:
        return self.id.rpartition("-")[0]

    @property
    def seq(self) -> int:
        return int(self.id.rpartition("-")[2])

    @property
    def own_look(self) -> datetime | None:
        """When its lane has to be looked at for its sake.

        Not for a pipeline's run that goes on as it should: who looks at the factory sees its end, or that its time is
        over.
        """
        follows = self.state is State.RUNNING and isinstance(self.action, PipelineAction)
        if follows and self.accepted is not None and self.next_look == self.accepted + self.action.timeout:
            return None
        return self.next_look

    @property
    def phase(self) -> Phase | None:
        """How far its rollout is, if it is one that runs."""
        return self.rollout.phase if self.rollout is not None else None

    @property
    def final(self) -> bool:
        return not TRANSITIONS[self.state]

    def moved_to(self, state: State, reason: str, at: datetime, **changes: object) -> Reaction:
        """The reaction in its next state, with the reason why.

        Raises:
            IllegalTransition: if `state` may not follow the present one.
        """
        if state not in TRANSITIONS[self.state]:
            raise IllegalTransition(f"reaction {self.id} is {self.state} and cannot become {state} ({reason})")
        moved = replace(self, state=state, reason=reason, changed=at, **changes)  # type: ignore[arg-type]
        return replace(moved, ended=at, next_look=None) if moved.final else moved

    def waits(self, now: datetime) -> bool:
        """Whether it is pending and its time has not come."""
        return self.state is State.PENDING and self.next_look is not None and now < self.next_look

    def log_context(self) -> dict[str, object]:
        return {
            "reaction": self.id,
            "rule": self.rule,
            "key": self.key,
            "state": str(self.state),
            "attempt": self.attempt,
            "run": self.run_id,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One line of a reaction's history: what it became, or what was noticed about it, and why.

    `key`: of a line that may be added more than once and is to be there once.
    """

    at: datetime
    what: str
    reason: str
    attempt: int
    run_id: str | None = None
    key: str | None = field(default=None, compare=False)


def reaction_id(lane: str, seq: int) -> str:
    """A reaction's id is its address: the lane's partition and its number there."""
    return f"{lane}-{seq}"


def address(reaction_id: str) -> tuple[str, int] | None:
    """Lane and number of a reaction id that may have come from outside; None if it cannot be one."""
    found = _ADDRESS.fullmatch(reaction_id)
    return (found["lane"], int(found["seq"])) if found is not None else None


def entry_of(reaction: Reaction) -> HistoryEntry:
    """The history line that says how the reaction came into its present state."""
    return HistoryEntry(
        at=reaction.changed,
        what=str(reaction.state),
        reason=reaction.reason,
        attempt=reaction.attempt,
        run_id=reaction.run_id,
    )
