"""Delivers: ready events to active subscriptions, a bounded number at once, again on schedule, or dead-lettered."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from local.event_grid.dead_letters import DeadLetter, DeadLetterStore, blob_name, content_of
from local.event_grid.destinations import Destination
from local.event_grid.envelopes import Published, body_of
from local.event_grid.schedule import NOT_RETRIED, TOO_MANY_ATTEMPTS, TOO_OLD, Outcome
from local.event_grid.subscriptions import Subscription
from local.service import now

logger = logging.getLogger(__name__)

CONCURRENCY = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One line of the delivery log; `status` is None where no answer came."""

    event_id: str
    subscription: str
    topic: str
    number: int
    status: int | None
    outcome: str
    at: datetime


@dataclass(slots=True, kw_only=True, eq=False)
class Active:
    """A subscription with a destination that wants its events. `ended`: it gets nothing any more."""

    subscription: Subscription
    topic: str
    destination: Destination
    dead_letter_account: str | None = None
    ended: bool = False
    ready: deque[Pending] = field(default_factory=deque)


@dataclass(slots=True, kw_only=True, eq=False)
class Pending:
    """One event on its way to one subscription."""

    published: Published
    active: Active
    since: float = field(default_factory=time.monotonic)
    published_at: datetime = field(default_factory=now)
    attempts: int = 0
    last_attempt_at: datetime = field(default_factory=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reports:
    """Whom delivery tells what it did; called on the cloud's thread."""

    attempted: Callable[[Attempt], None]
    buried: Callable[[DeadLetter], None]
    settled: Callable[[Pending], None]


class Delivery:
    """Runs on the cloud's loop; every method is called there."""

    def __init__(self, store: DeadLetterStore, reports: Reports, *, time_scale: float) -> None:
        self.paused = False
        self.shuffle: random.Random | None = None
        self._store = store
        self._reports = reports
        self._time_scale = time_scale
        self._waiting: deque[Active] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._scheduled: dict[int, tuple[Pending, asyncio.TimerHandle]] = {}

    def enqueue(self, pendings: Sequence[Pending]) -> None:
        for pending in pendings:
            pending.active.ready.append(pending)
            if len(pending.active.ready) == 1:
                self._waiting.append(pending.active)
        self.pump()

    def pump(self) -> None:
        """Start as many deliveries as may run, the subscriptions taking turns."""
        while self._waiting and not self.paused and len(self._running) < CONCURRENCY:
            active = self._waiting.popleft()
            batch = self._next_batch(active)
            if active.ready:
                self._waiting.append(active)
            task = asyncio.create_task(self._deliver(active, batch))
            self._running.add(task)
            task.add_done_callback(self._done)

    def resume(self) -> None:
        self.paused = False
        self.pump()

    def drop(self, concerns: Callable[[Active], bool]) -> None:
        """Forget what has not been delivered to these subscriptions and is not in flight."""
        for active in [active for active in self._waiting if concerns(active)]:
            self._waiting.remove(active)
            while active.ready:
                self._reports.settled(active.ready.popleft())
        for key, (pending, timer) in list(self._scheduled.items()):
            if concerns(pending.active):
                timer.cancel()
                del self._scheduled[key]
                self._reports.settled(pending)

    async def close(self) -> None:
        self.paused = True
        for _, timer in self._scheduled.values():
            timer.cancel()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._store.close()

    def _next_batch(self, active: Active) -> list[Pending]:
        if self.shuffle is not None:
            active.ready.rotate(self.shuffle.randrange(len(active.ready)))
        subscription = active.subscription
        batch = [active.ready.popleft()]
        room = subscription.preferred_batch_kilobytes * 1024 - _size(batch[0])
        while active.ready and len(batch) < subscription.max_events_per_batch:
            room -= _size(active.ready[0])
            if room < 0:
                break
            batch.append(active.ready.popleft())
        return batch

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self.pump()

    async def _deliver(self, active: Active, batch: list[Pending]) -> None:
        for pending in [pending for pending in batch if self._expired(pending)]:
            batch.remove(pending)
            await self._bury(pending, TOO_OLD, Outcome(name="Aborted"))
        if not batch:
            return
        outcome = await self._attempt(active, batch)
        for pending in batch:
            await self._settle(pending, outcome)

    async def _attempt(self, active: Active, batch: Sequence[Pending]) -> Outcome:
        """One request; one answer for the whole batch."""
        subscription = active.subscription
        for pending in batch:
            pending.attempts += 1
            pending.last_attempt_at = now()
        events = [pending.published for pending in batch]
        outcome = await active.destination.take(subscription, events, batch[0].attempts)
        at = now()
        for pending in batch:
            self._reports.attempted(
                Attempt(
                    event_id=pending.published.event.id,
                    subscription=subscription.name,
                    topic=active.topic,
                    number=pending.attempts,
                    status=outcome.status,
                    outcome=outcome.name,
                    at=at,
                )
            )
        return outcome

    async def _settle(self, pending: Pending, outcome: Outcome) -> None:
        subscription = pending.active.subscription
        if outcome.delivered or pending.active.ended:
            self._reports.settled(pending)
        elif outcome.final(resource=subscription.for_resource):
            await self._bury(pending, NOT_RETRIED, outcome)
        elif pending.attempts >= subscription.retry.max_attempts:
            await self._bury(pending, TOO_MANY_ATTEMPTS, outcome)
        else:
            self._later(pending, outcome.wait(pending.attempts) * self._time_scale)

    def _later(self, pending: Pending, seconds: float) -> None:
        def due() -> None:
            del self._scheduled[id(pending)]
            self.enqueue([pending])

        self._scheduled[id(pending)] = (pending, asyncio.get_running_loop().call_later(seconds, due))

    def _expired(self, pending: Pending) -> bool:
        """The time to live is looked at when an attempt is due, not before, and never before the first."""
        lifetime = pending.active.subscription.retry.time_to_live_minutes * 60 * self._time_scale
        return pending.attempts > 0 and time.monotonic() - pending.since > lifetime

    async def _bury(self, pending: Pending, reason: str, outcome: Outcome) -> None:
        active, published = pending.active, pending.published
        letter = DeadLetter(
            event_id=published.event.id,
            topic=active.topic,
            subscription=active.subscription.name,
            reason=reason,
            attempts=pending.attempts,
            last_outcome=outcome.name,
        )
        container = active.subscription.dead_letter_container
        if container is not None and active.dead_letter_account is not None:
            name = blob_name(letter, now())
            content = content_of(
                published,
                active.subscription.schema,
                letter,
                published_at=pending.published_at,
                last_attempt_at=pending.last_attempt_at,
            )
            try:
                await self._store.write(active.dead_letter_account, container, name, content)
                letter = replace(letter, blob=name)
            except OSError as problem:
                logger.warning("event %s is dropped, its dead letter was refused: %s", letter.event_id, problem)
        self._reports.buried(letter)
        self._reports.settled(pending)


def _size(pending: Pending) -> int:
    schema = pending.active.subscription.schema
    return len(body_of(schema, [pending.published], batched=False))
