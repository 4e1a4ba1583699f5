"""The composition root: settings and rules in, the running parts out. The only importer of shared.cloud."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from azure.identity import DefaultAzureCredential

from shared import dead_letters, sources, telemetry
from shared.acts import Acts
from shared.backfill import Backfill
from shared.cancelling import Cancelling
from shared.cloud import storage
from shared.cloud.archive_table import ArchiveTable
from shared.cloud.control_rows import ControlRows
from shared.cloud.data_factory import DataFactoryClient
from shared.cloud.dead_letter_blobs import DeadLetterBlobs
from shared.cloud.due_table import DueTable
from shared.cloud.lake import LakeFiles
from shared.cloud.lane_table import LaneTable
from shared.cloud.machine_learning import WorkspaceClient
from shared.cloud.manifest_blobs import ManifestBlobs
from shared.cloud.notifications import TopicNotifier
from shared.cloud.patience import PATIENCE, Patience
from shared.cloud.permit_table import PermitTable
from shared.cloud.poisoned_events import PoisonedEventQueue
from shared.cloud.recent_table import RecentTable
from shared.cloud.wake_up_queue import WakeUpQueue
from shared.engine import Engine
from shared.errors import ConfigurationError, Problem
from shared.explaining import Explaining
from shared.intake import Intake
from shared.looks import InlineLooks, Scheduler
from shared.memory import Remembered
from shared.poisoned import PoisonedDeliveries
from shared.ports import Clock, Controls, DeadLetters
from shared.queries import Queries
from shared.replays import Replays
from shared.retention import Retention
from shared.rules import Rules
from shared.rules import file as rules_file
from shared.settings import (
    DEAD_LETTER_CONTAINER,
    EVENT_POISON_QUEUE,
    MANIFEST_CONTAINER,
    POISON_QUEUE,
    WAKE_UP_QUEUE,
    Settings,
    from_environment,
    process_environment,
    rules_path,
)
from shared.undelivered import Undelivered
from shared.upkeep import Upkeep

logger = logging.getLogger(__name__)
ROOT: Final = Path(__file__).resolve().parent.parent


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """The parts the functions call."""

    intake: Intake
    engine: Engine
    scheduler: Scheduler
    upkeep: Upkeep
    controls: Controls
    poisoned: PoisonedDeliveries
    dead_letters: DeadLetters
    backfill: Backfill
    queries: Queries
    explaining: Explaining
    undelivered: Undelivered
    acts: Acts
    cancelling: Cancelling
    replays: Replays
    rules: Rules
    clock: Clock
    platform_authenticates: bool
    close: Callable[[], None]
    """Closes every connection. A process that serves until it is stopped has no need to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cloud:
    """All that talks to Azure."""

    lanes: LaneTable
    permits: PermitTable
    controls: ControlRows
    recent: RecentTable
    archive: ArchiveTable
    due: DueTable
    wake_ups: WakeUpQueue
    poisoned_events: PoisonedEventQueue
    manifests: ManifestBlobs
    dead_letters: DeadLetterBlobs
    lake: LakeFiles
    factory: DataFactoryClient
    workspace: WorkspaceClient
    notifier: TopicNotifier | None
    close: Callable[[], None]


def _cloud(settings: Settings, patience: Patience) -> _Cloud:
    # Its own patience of five seconds is needed: after the last repeat msal asks for no token for a minute.
    credential = DefaultAzureCredential(managed_identity_client_id=settings.client_id)
    tables = storage.tables(settings.storage, credential, patience)
    blobs = storage.blobs(settings.storage, credential, patience)
    wake_ups = WakeUpQueue(
        storage.queue(settings.storage, WAKE_UP_QUEUE, credential, patience),
        storage.queue(settings.storage, POISON_QUEUE, credential, patience, encoded=False),
    )
    poisoned_events = PoisonedEventQueue(
        storage.queue(settings.storage, EVENT_POISON_QUEUE, credential, patience, encoded=False),
    )
    factory = DataFactoryClient(settings.factory, settings.arm_endpoint, credential, patience)
    workspace = WorkspaceClient(settings.workspace, settings.arm_endpoint, credential, patience)
    topic = settings.topic_endpoint
    notifier = TopicNotifier(topic, credential, patience) if topic is not None else None

    def close() -> None:
        for part in (factory, workspace, notifier, tables, wake_ups, poisoned_events, blobs, credential):
            if part is not None:
                part.close()

    lanes, permits = tables.get_table_client("lanes"), tables.get_table_client("permits")
    return _Cloud(
        lanes=LaneTable(lanes),
        permits=PermitTable(permits),
        controls=ControlRows(permits),
        recent=RecentTable(tables.get_table_client("recent")),
        archive=ArchiveTable(lanes, permits),
        due=DueTable(tables.get_table_client("due")),
        wake_ups=wake_ups,
        poisoned_events=poisoned_events,
        manifests=ManifestBlobs(blobs.get_container_client(MANIFEST_CONTAINER)),
        dead_letters=DeadLetterBlobs(blobs.get_container_client(DEAD_LETTER_CONTAINER)),
        lake=LakeFiles(settings.lake_accounts, credential, patience),
        factory=factory,
        workspace=workspace,
        notifier=notifier,
        close=close,
    )


def build(settings: Settings, rules: Rules, clock: Clock, patience: Patience = PATIENCE) -> App:
    """Puts the product together. Makes no request."""
    cloud = _cloud(settings, patience)
    scheduler = Scheduler(cloud.due, cloud.wake_ups, clock)
    upkeep = Upkeep(scheduler=scheduler, clock=clock)
    remembered = Remembered(archive=cloud.archive, clock=clock, retention=settings.retention)
    engine = Engine(
        rules=rules,
        lanes=cloud.lanes,
        permits=cloud.permits,
        recent=cloud.recent,
        manifests=cloud.manifests,
        factory=cloud.factory,
        workspace=cloud.workspace,
        lake=cloud.lake,
        notifier=cloud.notifier,
        clock=clock,
        scheduler=scheduler,
        upkeep=upkeep,
        controls=cloud.controls,
        remembered=remembered,
    )
    inline = InlineLooks(engine.look_at_lane)
    intake = Intake(
        rules=rules,
        accounts=frozenset(settings.lake_accounts),
        workspace_id=settings.workspace.resource_id,
        lanes=cloud.lanes,
        recent=cloud.recent,
        lake=cloud.lake,
        clock=clock,
        scheduler=scheduler,
        look_now=inline,
    )
    _add_chores(upkeep, settings, rules, clock, cloud, intake, engine.look_soon)

    def close() -> None:
        inline.close()
        cloud.close()

    return App(
        intake=intake,
        engine=engine,
        scheduler=scheduler,
        upkeep=upkeep,
        controls=cloud.controls,
        poisoned=PoisonedDeliveries(messages=cloud.poisoned_events, receive=intake.receive_queued, clock=clock),
        dead_letters=cloud.dead_letters,
        backfill=Backfill(rules=rules, lake=cloud.lake, lanes=cloud.lanes, intake=intake, remembered=remembered),
        queries=Queries(
            lanes=cloud.lanes,
            recent=cloud.recent,
            workspace=cloud.workspace,
            rules=rules,
            factory_id=settings.factory.resource_id,
            workspace_id=settings.workspace.resource_id,
        ),
        undelivered=Undelivered(letters=cloud.dead_letters, intake=intake),
        explaining=Explaining(
            rules=rules,
            lanes=cloud.lanes,
            controls=cloud.controls,
            workspace=cloud.workspace,
            lake=cloud.lake,
            accounts=frozenset(settings.lake_accounts),
            workspace_id=settings.workspace.resource_id,
            clock=clock,
            remembered=remembered,
        ),
        acts=Acts(recent=cloud.recent, clock=clock),
        cancelling=Cancelling(lanes=cloud.lanes, scheduler=scheduler, clock=clock),
        replays=Replays(rules=rules, lanes=cloud.lanes, recent=cloud.recent, scheduler=scheduler, clock=clock),
        rules=rules,
        clock=clock,
        platform_authenticates=settings.platform_authenticates,
        close=close,
    )


def _add_chores(
    upkeep: Upkeep,
    settings: Settings,
    rules: Rules,
    clock: Clock,
    cloud: _Cloud,
    intake: Intake,
    look_soon: Callable[[str], None],
) -> None:
    """What is done from time to time beside the engine's own: old rows go, and what nobody told of is found."""
    listed = sources.Sources(
        rules=rules,
        workspace=cloud.workspace,
        workspace_id=settings.workspace.resource_id,
        permits=cloud.permits,
        intake=intake,
        clock=clock,
    )
    retention = Retention(
        archive=cloud.archive,
        manifests=cloud.manifests,
        recent=cloud.recent,
        rules=rules,
        clock=clock,
        retention=settings.retention,
        look_soon=look_soon,
    )
    letters = dead_letters.DeadLetterChore(letters=cloud.dead_letters, intake=intake, clock=clock)
    upkeep.add("retention", retention)
    upkeep.add(sources.MODELS, listed.models)
    upkeep.add(sources.MONITORS, listed.monitors)
    upkeep.add(dead_letters.CHORE, letters.sweep)


def load_rules(file: Path, environment: Mapping[str, str]) -> Rules:
    """Reads the rules file; `environment` is what it may refer to.

    Raises:
        ConfigurationError: with every problem of the file and its line.
    """
    try:
        text = file.read_text(encoding="utf-8")
        modified = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    except (OSError, UnicodeDecodeError) as error:
        problem = Problem(where=file.name, message=f"cannot be read ({error}); RELEARN_RULES names the rules file")
        raise ConfigurationError([problem]) from error
    return rules_file.load(text, file=file.name, folder=ROOT, settings=environment, modified=modified)


def configuration(root: Path, environment: Mapping[str, str]) -> tuple[Settings, Rules]:
    """Settings and rules, or every problem of both at once.

    Raises:
        ConfigurationError: something is wrong with either.
    """
    problems: list[Problem] = []
    settings: Settings | None = None
    rules: Rules | None = None
    try:
        settings = from_environment(environment)
    except ConfigurationError as wrong:
        problems += wrong.problems
    try:
        rules = load_rules(rules_path(root, environment), environment)
    except ConfigurationError as wrong:
        problems += wrong.problems
    if settings is None or rules is None:
        raise ConfigurationError(problems)
    return settings, rules


class _Once:
    """Builds the app at the first call, in whichever thread that comes; a wrong configuration is kept, too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._app: App | None = None
        self._wrong: ConfigurationError | None = None

    def get(self) -> App:
        with self._lock:
            if self._app is None and self._wrong is None:
                self._build()
            if self._app is not None:
                return self._app
        raise ConfigurationError(self._wrong.problems if self._wrong is not None else ())

    def _build(self) -> None:
        telemetry.quiet_azure_clients()
        try:
            settings, rules = configuration(ROOT, process_environment())
        except ConfigurationError as wrong:
            # Said once: from now on every function raises it, and Event Grid keeps the events until it is mended.
            facts = {"problems": [str(problem) for problem in wrong.problems]}
            telemetry.record(logger, "configuration_wrong", facts, logging.ERROR)
            self._wrong = wrong
        else:
            self._app = build(settings, rules, SystemClock())

    def use(self, app: App | None) -> None:
        with self._lock:
            self._app, self._wrong = app, None


_once = _Once()


def app() -> App:
    """The app of this process.

    Raises:
        ConfigurationError: settings or rules are wrong; every call says so until a new process has better ones.
    """
    return _once.get()


def use(replacement: App | None) -> None:
    """Puts another app in place (one with an injected clock, say); None: build anew at the next call."""
    _once.use(replacement)
