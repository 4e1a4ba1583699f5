"""The rules as values: which events, grouped how, under what limits, lead to which action."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import ClassVar, Final

from shared.events import DriftDetected, Event, FileLanded, FileOverdue, ModelRegistered
from shared.rules.patterns import Exclusion, NamePattern, PathPattern, Template
from shared.rules.schedules import Cron

BUILT_INS: Final = frozenset({"manifest", "reaction_id", "count"})
"""Placeholders of `with` that are known only when a reaction starts."""

STAMPS: Final = frozenset({"reaction_id", "attempt"})
"""Parameters Relearn sends itself with every start."""

DEFAULT_TIMEOUT: Final = timedelta(hours=24)
DEFAULT_ROLLOUT_TIMEOUT: Final = timedelta(hours=1)
DEFAULT_KEEP_PREVIOUS: Final = timedelta(minutes=1)
DEFAULT_GIVE_UP_AFTER: Final = timedelta(hours=24)
"""Without it the files of a batch that never gets complete would have no end."""
MAX_WAIT_PER_QUIET: Final = 10


class WhileRunning(StrEnum):
    """What happens to events that arrive while their lane's reaction is still running."""

    COALESCE = "coalesce"
    """They become one next reaction."""
    QUEUE = "queue"
    """Each batch waits in its turn, unmerged."""
    SKIP = "skip"
    """They are recorded and dropped."""
    REPLACE = "replace"
    """The running one is cancelled; the next one has its events as well."""


class DuringCooldown(StrEnum):
    """What happens to events that arrive while their lane rests after a reaction."""

    COLLECT = "collect"
    SKIP = "skip"


class Mode(StrEnum):
    ACT = "act"
    OBSERVE = "observe"
    """Decide and record, and start nothing."""


class Priority(IntEnum):
    """Who is first where reactions wait for the same permit."""

    HIGH = 1
    NORMAL = 2
    LOW = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """So many within a time; that many may also come at once."""

    count: int
    per: timedelta

    def __str__(self) -> str:
        return f"{self.count} in {self.per}"


DEFAULT_START_RATE: Final = Rate(count=60, per=timedelta(hours=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """Which rules a worker decides by: the hash of their text and used settings, and the file's age."""

    hash: str
    modified: datetime

    def older_than(self, other: Revision) -> bool:
        return self.hash != other.hash and self.modified < other.modified

    def to_text(self) -> str:
        return f"{self.hash}@{self.modified.astimezone(UTC).isoformat()}"

    @classmethod
    def from_text(cls, text: str) -> Revision:
        digest, _, modified = text.partition("@")
        return cls(hash=digest, modified=datetime.fromisoformat(modified))


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """How an event fits a rule: the lane's key, and what the pattern captured."""

    key: str
    captures: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLandedTrigger:
    """Files of one container whose path fits the pattern, except those excluded."""

    kind: ClassVar[str] = FileLanded.kind
    gives: ClassVar[frozenset[str]] = frozenset()
    """Names that the event itself gives a value, beside what the pattern captures."""

    path: PathPattern
    exclude: tuple[Exclusion, ...] = ()

    def captures(self, event: Event) -> dict[str, str] | None:
        """What the pattern captured, or None where the event is not this trigger's."""
        if not isinstance(event, FileLanded):
            return None
        captured = self.path.match(event.container, event.path)
        if captured is None or any(exclusion.match(event.path) for exclusion in self.exclude):
            return None
        return captured


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftDetectedTrigger:
    """Breaches of monitors whose name fits. `times` of them `within` a time; without `signals`, whatever the signal."""

    kind: ClassVar[str] = DriftDetected.kind
    gives: ClassVar[frozenset[str]] = frozenset({"monitor", "signal", "run_id"})

    monitor: NamePattern
    signals: tuple[str, ...] = ()
    times: int = 1
    within: timedelta | None = None

    def captures(self, event: Event) -> dict[str, str] | None:
        """What the pattern captured, and {monitor}, {signal} and {run_id}; None where the event is not this one's."""
        if not isinstance(event, DriftDetected) or event.monitor is None:
            return None
        captured = self.monitor.match(event.monitor)
        if captured is None or (self.signals and event.signal not in self.signals):
            return None
        return {**captured, "monitor": event.monitor, "signal": event.signal or "", "run_id": event.run_id}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRegisteredTrigger:
    """Versions of models whose name fits, registered with all of these tags."""

    kind: ClassVar[str] = ModelRegistered.kind
    gives: ClassVar[frozenset[str]] = frozenset({"model", "version"})

    model: NamePattern
    tags: Mapping[str, str] = field(default_factory=dict)

    def captures(self, event: Event) -> dict[str, str] | None:
        """What the pattern captured, and {model} and {version}; None where the event is not this trigger's."""
        if not isinstance(event, ModelRegistered) or not self.tags.items() <= event.tags.items():
            return None
        captured = self.model.match(event.name)
        return None if captured is None else {**captured, "model": event.name, "version": event.version}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOverdueTrigger:
    """No file that fits has landed for `every`, counted from the last one. Files that land are this rule's events, too:
    each begins the time anew."""

    kind: ClassVar[str] = FileOverdue.kind
    gives: ClassVar[frozenset[str]] = frozenset({"last", "due"})

    path: PathPattern
    every: timedelta
    exclude: tuple[Exclusion, ...] = ()

    def captures(self, event: Event) -> dict[str, str] | None:
        """What the pattern captured, with {last} and {due} of an overdue file; None where it is not this one's."""
        if isinstance(event, FileOverdue):
            if event.pattern != self.path.text:
                return None
            last = event.last.isoformat() if event.last is not None else "never"
            return {**event.captures, "last": last, "due": event.due.isoformat()}
        return FileLandedTrigger(path=self.path, exclude=self.exclude).captures(event)


Trigger = FileLandedTrigger | DriftDetectedTrigger | ModelRegisteredTrigger | FileOverdueTrigger


@dataclass(frozen=True, slots=True, kw_only=True)
class Collect:
    """How events become a batch. Without `by` the rule has one lane; without the others nothing waits.

    Attributes:
        until: a batch closes at the first of these times after its first event.
    """

    by: Template | None = None
    all_of: tuple[str, ...] = ()
    give_up_after: timedelta | None = None
    quiet: timedelta | None = None
    max_wait: timedelta | None = None
    max_events: int | None = None
    until: Cron | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPipeline:
    """Start an ADF pipeline; `with_` holds its parameters, without the stamps Relearn adds."""

    kind: ClassVar[str] = "run-pipeline"

    pipeline: str
    with_: Mapping[str, Template] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunJob:
    """Start a job of a registered component in the workspace; `with_` holds its inputs."""

    kind: ClassVar[str] = "run-job"

    component: str
    compute: str | None = None
    experiment: str | None = None
    with_: Mapping[str, Template] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify:
    """Tell whoever subscribes to the app's topic."""

    kind: ClassVar[str] = "notify"

    text: Template


@dataclass(frozen=True, slots=True, kw_only=True)
class Require:
    """What the data must be like before a model is trained on them, by the drift report.

    Attributes:
        report: path of the report in the lake, the container first.
        min_rows: fewer new rows are too few.
        max_missing: the largest share of missing values, from 0 to 1.
    """

    report: Template
    min_rows: int | None = None
    max_missing: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A candidate passes if its `metric` beats the live model's, on the same data, by `by` or more (0: by anything)."""

    metric: str
    by: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What a deployment runs with: registered code and environment (`azureml:NAME:VERSION` or an ARM id), machines."""

    code: str
    environment: str
    script: str = "score.py"
    instance_type: str = "Standard_DS3_v2"
    instances: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployModel:
    """Deploy the registered model on an online endpoint, beside the live one, which it replaces if all is well.

    Attributes:
        smoke_test: the text of the request, a JSON object with the list `data`, that must be answered first.
        gate: None lets every model pass.
        keep_previous: how long the deployment that was live before stays without traffic.
    """

    kind: ClassVar[str] = "deploy-model"

    endpoint: str
    serving: Serving
    smoke_test: str
    gate: Gate | None = None
    keep_previous: timedelta = DEFAULT_KEEP_PREVIOUS


Action = RunPipeline | RunJob | DeployModel | Notify


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How often and how many at a time.

    Attributes:
        concurrency: of the whole rule; None is no limit (a lane never runs two).
        resources: names, of each of which a running reaction holds one permit.
        start_rate: None is no limit.
    """

    concurrency: int | None = None
    resources: tuple[str, ...] = ()
    start_rate: Rate | None = DEFAULT_START_RATE
    priority: Priority = Priority.NORMAL
    cooldown: timedelta = timedelta(0)
    during_cooldown: DuringCooldown = DuringCooldown.COLLECT
    while_running: WhileRunning = WhileRunning.COALESCE


@dataclass(frozen=True, slots=True, kw_only=True)
class FactoryLimits:
    """What all rules together may ask of the data factory: runs at a time, and starts."""

    concurrency: int | None = None
    start_rate: Rate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often a start or a failed run is tried in all, and the first wait, which doubles."""

    attempts: int = 1
    backoff: timedelta = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    name: str
    trigger: Trigger
    action: Action
    collect: Collect = Collect()
    limits: Limits = Limits()
    retry: Retry = Retry()
    timeout: timedelta = DEFAULT_TIMEOUT
    mode: Mode = Mode.ACT
    require: Require | None = None
    writes: tuple[Template, ...] = ()
    """Where its runs write: no path of these may be one that the rule itself waits for."""

    def match(self, event: Event) -> Match | None:
        captures = self.trigger.captures(event)
        if captures is None or not self._grouped(captures):
            return None
        return Match(key=self._key(captures), captures=captures)

    def _grouped(self, captures: Mapping[str, str]) -> bool:
        """Whether the event has what the lane is told by: one that Relearn made by earlier rules may not have it."""
        return self.collect.by is None or captures.keys() >= set(self.collect.by.placeholders)

    def _key(self, captures: Mapping[str, str]) -> str:
        if isinstance(self.action, DeployModel):
            return self.action.endpoint  # whatever the model: an endpoint has one rollout at a time
        return self.collect.by.render(captures) if self.collect.by else ""

    def relative_name(self, event: Event) -> str:
        """A matching file's name within the pattern's folder, which is what `all_of` names; else an empty text."""
        if isinstance(self.trigger, FileLandedTrigger) and isinstance(event, FileLanded):
            return self.trigger.path.relative_name(event.path)
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    revision: Revision
    rules: Mapping[str, Rule]
    mode: Mode = Mode.ACT
    factory: FactoryLimits = FactoryLimits()
    resources: Mapping[str, int] = field(default_factory=dict)

    def match(self, event: Event) -> list[tuple[Rule, Match]]:
        pairs: Iterable[tuple[Rule, Match | None]] = ((rule, rule.match(event)) for rule in self.rules.values())
        return [(rule, match) for rule, match in pairs if match is not None]
