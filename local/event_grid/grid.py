"""The face of the imitated Event Grid: what happened, who wants to know, what was delivered."""

from __future__ import annotations

import asyncio
import random
import secrets
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict, replace
from typing import Any, Final, TypeVar

from starlette.routing import BaseRoute

from local.event_grid.dead_letters import DeadLetter, DeadLetterStore
from local.event_grid.delivery import CONCURRENCY, Active, Attempt, Delivery, Pending, Reports
from local.event_grid.destinations import Destination, Messages, Queue, Webhook
from local.event_grid.endpoints import ANSWER_SECONDS, Courier, check_endpoint
from local.event_grid.envelopes import Published
from local.event_grid.subscriptions import Subscription
from local.event_grid.topics import TopicEndpoint
from local.faults import Faults
from local.service import Event

_REMEMBERED: Final = 100_000
_CALL_SECONDS: Final = 60.0
Result = TypeVar("Result")


class EventGrid:
    """Every method may be called from any thread but the cloud's own, `publish` from that one too.

    Attributes:
        copies: how often each event is delivered to a subscription that wants it.
        topic_key: the aeg-sas-key of every custom topic.
        faults: of what is published on custom topics.
    """

    name = "event-grid"

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        store: DeadLetterStore,
        messages: Messages,
        *,
        time_scale: float = 1.0,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self.copies = 1
        self.topic_key = secrets.token_urlsafe(32)
        self.faults = Faults("topic")
        self._loop = loop
        self._changed = threading.Condition()
        self._active: list[Active] = []
        self._unsettled: Counter[str] = Counter()
        self._attempts: deque[Attempt] = deque(maxlen=_REMEMBERED)
        self._dead: deque[DeadLetter] = deque(maxlen=_REMEMBERED)
        self._taken: deque[Published] = deque(maxlen=_REMEMBERED)
        self._known: OrderedDict[str, tuple[Published, list[Active]]] = OrderedDict()
        reports = Reports(attempted=self._attempted, buried=self._buried, settled=self._settled)
        self._courier = Courier(connections=CONCURRENCY, answer_seconds=answer_seconds)
        self._messages = messages
        self._delivery = Delivery(store, reports, time_scale=time_scale)

    def routes(self) -> Sequence[BaseRoute]:
        return [TopicEndpoint(self.topic_key, self._take, self.faults).route()]

    # What happened

    def publish(self, topic: str, event: Event) -> None:
        """Deliver `event` to every subscription of `topic` that wants it. Never blocks."""
        self._accept(Published(topic=topic, event=event))

    def published(self, topic: str) -> tuple[Published, ...]:
        """What a custom topic has taken, whether somebody subscribes to it or not, in that order."""
        with self._changed:
            return tuple(taken for taken in self._taken if taken.topic.lower() == topic.lower())

    @property
    def deliveries(self) -> tuple[Attempt, ...]:
        """Every attempt, in the order they ended."""
        with self._changed:
            return tuple(self._attempts)

    @property
    def dead_letters(self) -> tuple[DeadLetter, ...]:
        with self._changed:
            return tuple(self._dead)

    def redeliver(self, event_id: str) -> int:
        """Deliver an event again, same id, same body, to whoever wanted it; how many deliveries that makes.

        Raises:
            KeyError: no subscription ever wanted an event with this id.
        """
        with self._changed:
            published, wanted_by = self._known[event_id]
            return self._enqueue(published, [active for active in wanted_by if not active.ended])

    def wait_idle(self, deadline: float, topic: str | None = None) -> None:
        """Wait until every event (of `topic`) is delivered, dead-lettered or dropped.

        Raises:
            TimeoutError: some were not after `deadline` seconds; says how many, by topic.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: not self._open(topic), deadline):
                raise TimeoutError(f"not delivered after {deadline} s: {self._open(topic)}")

    # Who wants to know

    def subscribe(
        self,
        subscription: Subscription,
        endpoint: str,
        *,
        topic: str,
        dead_letter_account: str | None = None,
    ) -> None:
        """Shake hands with `endpoint`, then deliver what `subscription` wants of `topic` to it.

        A subscription of the same name and topic is replaced.

        Raises:
            HandshakeRefused: the endpoint did not answer as it must; nothing is subscribed.
            ValueError: the endpoint is not on this machine.
        """
        check_endpoint(endpoint)
        self._call(self._courier.shake_hands(subscription.schema, endpoint, subscription.name))
        destination = Webhook(courier=self._courier, url=endpoint)
        self._activate(subscription, destination, topic=topic, dead_letter_account=dead_letter_account)

    def subscribe_queue(
        self,
        subscription: Subscription,
        account: str,
        *,
        topic: str,
        dead_letter_account: str | None = None,
    ) -> None:
        """Put what `subscription` wants of `topic` into its queue of that account, one event a message.

        A subscription of the same name and topic is replaced. A queue that is missing is found out by delivering.

        Raises:
            ValueError: the subscription names no queue.
        """
        if subscription.queue is None:
            raise ValueError(f"{subscription.name}: names no queue to deliver to")
        destination = Queue(messages=self._messages, account=account, name=subscription.queue)
        single = replace(subscription, max_events_per_batch=1)
        self._activate(single, destination, topic=topic, dead_letter_account=dead_letter_account)

    def _activate(
        self, subscription: Subscription, destination: Destination, *, topic: str, dead_letter_account: str | None
    ) -> None:
        self.unsubscribe(topic, subscription.name)
        active = Active(
            subscription=subscription,
            topic=topic,
            destination=destination,
            dead_letter_account=dead_letter_account,
        )
        with self._changed:
            self._active.append(active)

    def unsubscribe(self, topic: str, name: str | None = None) -> None:
        """End the subscriptions of a topic, or the one of that name; what they still had to get is dropped."""

        def concerned(active: Active) -> bool:
            return active.topic.lower() == topic.lower() and name in (None, active.subscription.name)

        with self._changed:
            for active in filter(concerned, self._active):
                active.ended = True
            self._active = [active for active in self._active if not active.ended]
        self._call(self._on_loop(lambda: self._delivery.drop(concerned)))

    @property
    def subscriptions(self) -> tuple[tuple[str, str], ...]:
        """(topic, name) of every active subscription."""
        with self._changed:
            return tuple((active.topic, active.subscription.name) for active in self._active)

    # Bad days

    def pause(self) -> None:
        """Hold deliveries back; what is in flight goes on."""
        self._delivery.paused = True

    def resume(self) -> None:
        self._loop.call_soon_threadsafe(self._delivery.resume)  # after what was published before

    def reorder(self, seed: int | None) -> None:
        """Deliver in a random order (of what is waiting at the time); None: in the order of arrival."""
        self._delivery.shuffle = None if seed is None else random.Random(seed)

    # The listener's inspection

    def state(self) -> dict[str, Any]:
        with self._changed:
            return {
                "subscriptions": [f"{active.topic} {active.subscription.name}" for active in self._active],
                "undelivered": self._open(None),
                "attempts": len(self._attempts),
                "deadLetters": [asdict(letter) for letter in self._dead],
            }

    def reset(self) -> None:
        """Forget what was and what is still to be delivered. Subscriptions stay. Called on the cloud's loop."""
        self._delivery.drop(lambda active: True)
        with self._changed:
            self._attempts.clear()
            self._dead.clear()
            self._taken.clear()
            self._known.clear()

    async def close(self) -> None:
        await self._delivery.close()
        await self._courier.close()
        await self._messages.close()

    def _take(self, published: Published) -> None:
        with self._changed:
            self._taken.append(published)
        self._accept(published)

    def _accept(self, published: Published) -> None:
        with self._changed:
            wanted_by = [
                active
                for active in self._active
                if active.topic.lower() == published.topic.lower() and active.subscription.wants(published)
            ]
            if not wanted_by:
                return
            self._known[published.event.id] = (published, wanted_by)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
            for _ in range(self.copies):
                self._enqueue(published, wanted_by)

    def _enqueue(self, published: Published, wanted_by: Sequence[Active]) -> int:
        """Counted here and now, so that whoever published and then waits does not miss it."""
        pendings = [Pending(published=published, active=active) for active in wanted_by]
        for active in wanted_by:
            self._unsettled[active.topic.lower()] += 1
        self._loop.call_soon_threadsafe(self._delivery.enqueue, pendings)
        return len(pendings)

    def _attempted(self, attempt: Attempt) -> None:
        with self._changed:
            self._attempts.append(attempt)
            self._changed.notify_all()

    def _buried(self, letter: DeadLetter) -> None:
        with self._changed:
            self._dead.append(letter)

    def _settled(self, pending: Pending) -> None:
        with self._changed:
            self._unsettled[pending.active.topic.lower()] -= 1
            self._changed.notify_all()

    def _open(self, topic: str | None) -> dict[str, int]:
        wanted = topic.lower() if topic is not None else None
        return {name: n for name, n in self._unsettled.items() if n and wanted in (None, name)}

    async def _on_loop(self, action: Callable[[], None]) -> None:
        action()

    def _call(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_CALL_SECONDS)
