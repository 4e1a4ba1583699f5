"""The soak: files land in bursts while processes die and storage fails; in the end everything has been done once."""

from __future__ import annotations

import os
import platform
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from azure.core.credentials import TokenCredential
from azure.storage.blob import BlobServiceClient

from local.cloud import WEBHOOK, LocalCloud
from local.event_grid import load_subscriptions
from local.progress import AfterPolls
from local.service import storage_account_id
from tests.processes.evidence import FINAL, Evidence
from tests.processes.fleet import LAKE, Fleet, Ground
from tests.processes.front import Front
from tests.processes.waiting import wait_until
from tests.soak.account import Account, draw_up
from tests.soak.disorder import Faulty, Killer, Outage, Repeater, Sweeper, Ticking
from tests.soak.plan import Plan, pipelines

WRITERS: Final = 8
BACKLOG: Final = 0.2
"""The next burst comes when so much of the last one is still undelivered."""
LOOK_AGAIN: Final = 2.0
"""Seconds between two looks at what is left."""

Say = Callable[[str], None]


class SoakFailed(AssertionError):
    """What was promised is not so. `result` is all that is known of the soak."""

    def __init__(self, problems: list[str], result: dict[str, Any]) -> None:
        super().__init__("the soak failed: " + "; ".join(problems))
        self.problems = problems
        self.result = result


@dataclass(frozen=True, kw_only=True)
class Actors:
    """Who takes part in one soak."""

    ground: Ground
    fleet: Fleet
    front: Front
    evidence: Evidence
    topic: str
    killer: Killer
    repeater: Repeater

    def undelivered(self) -> int:
        state: dict[str, int] = self.ground.cloud.event_grid.state()["undelivered"]
        return state.get(self.topic.lower(), 0)


def soak(plan: Plan, cloud: LocalCloud, credential: TokenCredential, folder: Path, say: Say) -> dict[str, Any]:
    """Plays it, and gives what is to be told of it.

    Raises:
        SoakFailed: something was lost, done twice or not done in time.
    """
    began = time.monotonic()
    say(f"soak: {plan.files} files, {plan.processes} processes, seed {plan.seed}")
    with _actors(plan, cloud, credential, folder) as actors:
        written = 0

        def progress() -> None:
            say(_line(time.monotonic() - began, written, actors))

        with _ticking({"progress": (plan.say_every, progress)}) as check:
            with _disorder(plan, actors) as check_disorder:
                for burst in plan.paths(random.Random(plan.seed)):
                    _write(actors, burst)
                    written += len(burst)
                    left = BACKLOG * len(burst)
                    _wait(plan, began, lambda left=left: actors.undelivered() <= left, check_disorder)
                    actors.repeater.the_late_ones()
                _wait(plan, began, lambda: len(actors.killer.pids) >= plan.kills, check_disorder)
                actors.repeater.the_late_ones()
                _wait(plan, began, lambda: actors.undelivered() == 0, check_disorder)
            fired = _calm(actors)
            with _ticking(
                {"sweep": (plan.sweep_every, Sweeper(actors.fleet, actors.evidence, plan.seed))}
            ) as check_sweep:
                _wait(plan, began, lambda: _settled(actors), lambda: (check(), check_sweep()))
        account = draw_up(actors.evidence)
        return _judged(plan, actors, account, fired, time.monotonic() - began)


# --- the stage --------------------------------------------------------------------------------------------------------


@contextmanager
def _actors(plan: Plan, cloud: LocalCloud, credential: TokenCredential, folder: Path) -> Iterator[Actors]:
    ground = Ground(cloud=cloud, credential=credential, folder=folder, rules=plan.rules, pipelines=pipelines())
    ground.factory.progress.set(AfterPolls(0))
    grid, topic = cloud.event_grid, storage_account_id(ground.lake.name)
    program = ("tests.processes.app_process", str(plan.speed), str(time.time()), str(plan.head_start))
    with ExitStack() as stack:
        evidence = ground.evidence()
        stack.callback(evidence.close)
        fleet = stack.enter_context(Fleet(ground, plan.processes, program))
        front = Front([host.port for host in fleet.hosts], loses=plan.lost_answers, seed=plan.seed)
        stack.callback(front.close)
        for subscription in load_subscriptions():
            if subscription.source == "lake":
                url = f"{front.url}{WEBHOOK}{subscription.function}"
                grid.subscribe(subscription, url, topic=topic, dead_letter_account=ground.account.name)
        stack.callback(grid.reorder, None)
        stack.callback(grid.unsubscribe, topic)
        grid.reorder(plan.seed)
        yield Actors(
            ground=ground,
            fleet=fleet,
            front=front,
            evidence=evidence,
            topic=topic,
            killer=Killer(fleet, plan.seed, plan.kills_at_most),
            repeater=Repeater(grid, topic, plan.duplicates, plan.seed),
        )


@contextmanager
def _disorder(plan: Plan, actors: Actors) -> Iterator[Callable[[], None]]:
    outage = Outage(actors.ground, plan.outage)
    jobs: dict[str, tuple[float, Callable[[], object]]] = {
        "outages": (plan.outage_every, outage),
        "faults": (plan.fault_every, Faulty(actors.ground, actors.evidence, plan)),
        "kills": (plan.kill_every, actors.killer),
        "duplicates": (0.5, actors.repeater),
        "sweep": (plan.sweep_every, Sweeper(actors.fleet, actors.evidence, plan.seed)),
    }
    faults = actors.ground.cloud.storage.faults
    faults.follow(outage.script)
    try:
        with _ticking(jobs) as check:
            yield check
    finally:
        faults.follow(None)


@contextmanager
def _ticking(jobs: dict[str, tuple[float, Callable[[], object]]]) -> Iterator[Callable[[], None]]:
    """Does all of them beside the body; gives what raises the failure of one, if there is any."""
    running = [Ticking(name, seconds, call) for name, (seconds, call) in jobs.items()]

    def check() -> None:
        for each in running:
            if each.failure is not None:
                raise each.failure

    try:
        yield check
    finally:
        for each in running:
            each.stop()
    check()


def _write(actors: Actors, paths: list[str]) -> None:
    """One burst: all files are there before the first event is delivered."""
    grid, ground = actors.ground.cloud.event_grid, actors.ground
    grid.pause()
    with (
        BlobServiceClient(ground.lake.blob, credential=ground.credential) as service,
        service.get_container_client(LAKE) as lake,
        ThreadPoolExecutor(WRITERS) as pool,
    ):
        list(pool.map(lambda path: lake.upload_blob(path, b"a,b\n1,2\n"), paths))
    grid.resume()


def _calm(actors: Actors) -> Counter[str]:
    """No more faults; gives those that were played."""
    services = (actors.ground.cloud.storage, actors.ground.cloud.data_factory)
    fired = Counter(str(fault.action) for service in services for fault in service.faults.fired)
    for service in services:
        service.faults.clear()
    return fired


def _wait(plan: Plan, began: float, until: Callable[[], bool], check: Callable[[], object]) -> None:
    """Until it is so, or the soak's time is up: what is missing then is told by the account."""
    wait_until(until, began + plan.deadline, check, LOOK_AGAIN)


def _settled(actors: Actors) -> bool:
    evidence = actors.evidence
    if evidence.pending_events() or not all(run.is_final for run in evidence.runs()):
        return False
    return evidence.reactions().keys() <= FINAL


# --- what is told of it -----------------------------------------------------------------------------------------------


def _line(seconds: float, written: int, actors: Actors) -> str:
    runs = actors.evidence.runs()
    over = sum(run.is_final for run in runs)
    return (
        f"soak: {seconds:5.0f} s  {written} files written, {actors.undelivered()} deliveries to go, "
        f"{len(runs)} runs ({over} over), {len(actors.killer.pids)} kills"
    )


def _judged(plan: Plan, actors: Actors, account: Account, fired: Counter[str], seconds: float) -> dict[str, Any]:
    grid = actors.ground.cloud.event_grid
    ours = [each for each in grid.deliveries if each.topic.lower() == actors.topic.lower()]
    taken = Counter(each.event_id for each in ours if each.status == 202)
    letters = [letter for letter in grid.dead_letters if letter.topic.lower() == actors.topic.lower()]
    again = Counter(each.event_id for each in ours).total() - len({each.event_id for each in ours})
    result = {
        "events": len(actors.evidence.files()),
        "duplicates_delivered": taken.total() - len(taken),
        "kills": list(actors.killer.pids),
        **account.as_json(),
        "deliveries": len(ours),
        "deliveries_again": again,
        "answers_lost": actors.front.lost_answers,
        "dead_letters": len(letters),
        "faults_fired": fired.total(),
        "faults": dict(fired.most_common()),
        "storage_calls": actors.ground.cloud.storage.calls.total(actors.ground.account.name),
        "seed": plan.seed,
        "seconds": round(seconds, 1),
        "unfinished": actors.evidence.unfinished(),
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
    }
    problems = account.problems()
    problems += [f"{len(letters)} dead letters"] if letters else []
    problems += [f"only {len(actors.killer.pids)} kills"] if len(actors.killer.pids) < plan.kills else []
    if problems:
        raise SoakFailed(problems, result)
    return result
