"""One story with one fault in it, through the real entry points, in injected time; and what came of it.

An event that is not acknowledged is delivered again, as Event Grid does; a look that raises is made again, as the queue
does. The fault is real: what the client sees comes over the socket.
"""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from local.cloud import LocalCloud
from local.faults import Action, Asked
from local.identity import client_of
from shared.cloud.patience import Patience
from tests.faults.routes import route_of
from tests.scenarios.stage import Stage

HASTE = Patience(connect=2, read=2, scoring=2, briefly=2, backoff=0.01)
"""As patient as the product, in less time: the same number of repeats, with no wait before them."""
HANG_SECONDS = 0.4
HASTE_OF_HANGS = Patience(
    connect=2, read=HANG_SECONDS, scoring=HANG_SECONDS, briefly=HANG_SECONDS, backoff=0.01, repeats=1
)
"""For what hangs: the client's own time-out ends it, after so long; one repeat, of which each costs as much."""
DELIVERED_AGAIN = timedelta(seconds=10)
"""Event Grid's first retry."""
VISIBLE_AGAIN = timedelta(seconds=30)
"""host.json's visibilityTimeout."""
HORIZON = timedelta(minutes=20)
"""What is not due by then is not waited for: a story's timeouts are shorter."""
MOST_LOOKS = 150
APP_CLIENT = "00000000-0000-0000-0000-0000000000a0"
OURS = {APP_CLIENT, ""}
"""Whose requests count: the app's, and those with a key in place of a token. The test itself asks as somebody else."""


class Story(Protocol):
    """Something that happens outside, and what the product makes of it."""

    name: str
    effect: str
    """The route of the request that starts something outside. Sent twice is sent twice."""
    ends: tuple[str, ...]
    """The states of its reactions where nothing goes wrong; `sends`: how often something is started."""
    sends: int

    def begin(self, make: Callable[..., Stage]) -> Stage:
        """The stage, ready; what is asked until then does not count."""

    def happen(self, play: Play) -> None:
        """What happens outside, and every delivery of it."""

    def effects(self) -> int:
        """How many there are outside, whether or not anybody knows."""


class Script:
    """Sees every request of the product; plays a fault on one call of a route, as often as its client repeats that."""

    def __init__(self, now: Callable[[], datetime], route: str | None, action: Action | None) -> None:
        self._now = now
        self._route, self._action = route, action
        self._lock = threading.Lock()
        self._hit: tuple[str, ...] | None = None
        self._at: datetime | None = None
        self.seen: Counter[str] = Counter()
        self.tries = 0
        self.entries = 0
        self.waited: timedelta | None = None

    def __call__(self, asked: Asked) -> Action | None:
        if client_of(asked.authorization) not in OURS:
            return None
        with self._lock:
            route = route_of(asked)
            self.seen[route] += 1
            return self._answer(asked) if route == self._route else None

    def _answer(self, asked: Asked) -> Action | None:
        if self._hit is None:
            self._hit, self._at = self._call(asked), self._now()
        elif self._call(asked) != self._hit:
            if self.waited is None and self._at is not None:
                self.waited = self._now() - self._at
            return None
        self.tries += 1
        return self._action

    def _call(self, asked: Asked) -> tuple[str, ...]:
        """What is the same in each repeat by the client, and in no other call.

        The clients of blobs and queues give each repeat an id of its own: theirs is known by what is asked, and when.
        """
        if asked.path.startswith(("/blob/", "/queue/")):
            return asked.path, str(asked.body), str(self.entries)
        return (asked.call or str(uuid.uuid4()),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a story.

    Attributes:
        states: of its reactions, in the order they were made.
        refused: by reason, events that were not taken.
        delivered: how often its event was delivered until that was acknowledged.
        failed_looks: how often a look or a sweep raised.
        tries: requests that the client made of the call that met the fault.
        sent: requests to start something outside, each repeat counted.
        effects: what there is outside for it.
        waited: until the route was asked again by another call, in the app's time; None: it was not.
        left: what is still due or held, in the end.
    """

    states: tuple[str, ...]
    refused: tuple[str, ...] = ()
    delivered: int = 1
    failed_looks: int = 0
    tries: int = 1
    sent: int = 1
    effects: int = 1
    waited: timedelta | None = None
    left: tuple[str, ...] = ()
    reasons: tuple[str, ...] = field(default=(), compare=False)


class Play:
    """One story on a stage of its own."""

    def __init__(self, story: Story, cloud: LocalCloud, make: Callable[..., Stage], patience: Patience = HASTE) -> None:
        self.story, self.cloud = story, cloud
        self.stage = story.begin(lambda **options: make(patience=patience, **_with_client(options)))
        self.script = Script(self.stage.clock.now, None, None)
        self._failed_looks = 0
        self._delivered = 0

    def run(self, route: str | None = None, action: Action | None = None) -> Outcome:
        self.script = Script(self.stage.clock.now, route, action)
        services: Sequence[Any] = (
            self.cloud.storage,
            self.cloud.data_factory,
            self.cloud.machine_learning,
            self.cloud.event_grid,
        )
        for each in services:
            each.faults.follow(self.script)
        try:
            self.story.happen(self)
            self._settle()
        finally:
            for each in services:
                each.faults.follow(None)
        return self._outcome()

    # --- what the platform does ---------------------------------------------------------------------------------------

    def deliver(self, event: str) -> None:
        """Until it is acknowledged, at most six times."""
        for _ in range(6):
            self._delivered += 1
            self.script.entries += 1
            try:
                self.stage.deliver(event)
            except Exception:  # noqa: BLE001 - whatever a function raises, its event comes again
                self.stage.clock.advance(DELIVERED_AGAIN)
            else:
                return

    def survive(self, act: Callable[[], object]) -> bool:
        """A look or a sweep, which comes again if it raises: False."""
        self.script.entries += 1
        try:
            act()
        except Exception:  # noqa: BLE001 - as above
            self._failed_looks += 1
            self.stage.clock.advance(VISIBLE_AGAIN)
            return False
        return True

    def _due(self) -> list[Any]:
        found = self.stage.due.due(self.stage.clock.now() + HORIZON)
        ours = (each for each in found if not each.key.startswith("upkeep:"))
        return sorted(ours, key=lambda each: each.at)

    def _settle(self) -> None:
        """Performs what is due, at its time, until nothing is."""
        for _ in range(MOST_LOOKS):
            due = self._due()
            if not due:
                return
            self.stage.clock.advance_to(due[0].at)
            key = due[0].key
            self.survive(lambda key=key: self.stage.look(key))

    # --- what came of it ----------------------------------------------------------------------------------------------

    def _outcome(self) -> Outcome:
        status, body = self.stage.get("reactions", days="2")
        assert status == 200
        reactions = sorted(body["reactions"], key=lambda each: each["created"])
        return Outcome(
            states=tuple(each["state"] for each in reactions),
            refused=tuple(sorted(body["refused"]["counts"])),
            delivered=self._delivered,
            failed_looks=self._failed_looks,
            tries=self.script.tries,
            sent=self.script.seen[self.story.effect],
            effects=self.story.effects(),
            waited=self.script.waited,
            left=self._left(),
            reasons=tuple(f"{each['reason']}" for each in reactions),
        )

    def _left(self) -> tuple[str, ...]:
        due = [each.key.partition(":")[0] for each in self._due()]
        permits = self.stage.permits()
        return (*(f"due {kind}" for kind in due), *(f"permit {name.partition(':')[0]}" for name in permits))


def _with_client(options: dict[str, Any]) -> dict[str, Any]:
    """The app asks as somebody whom the script knows."""
    return {**options, "extra_settings": {"AZURE_CLIENT_ID": APP_CLIENT, **options.get("extra_settings", {})}}
