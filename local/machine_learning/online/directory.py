"""Which endpoints and deployments there are, what they are doing, and which of them answers a request."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from local.machine_learning.answers import Refused, missing
from local.machine_learning.online.instances import Instance
from local.machine_learning.online.operations import Ending, Operation, Operations
from local.machine_learning.online.records import read_records, write_records
from local.machine_learning.online.values import Deployment, Endpoint, State
from local.machine_learning.store import Store
from local.progress import Outcome

_REMEMBERED: Final = 10_000
STATES: Final[Mapping[Outcome, State]] = {
    Outcome.SUCCEEDED: State.SUCCEEDED,
    Outcome.FAILED: State.FAILED,
    Outcome.CANCELLED: State.CANCELED,
}


@dataclass(slots=True, kw_only=True)
class HeldDeployment:
    """A deployment, and what answers for it (None: it never came up, or is on its way out)."""

    value: Deployment
    instance: Instance | None = None


@dataclass(slots=True, kw_only=True)
class HeldEndpoint:
    value: Endpoint
    deployments: dict[str, HeldDeployment] = field(default_factory=dict)

    def share(self, deployment: str) -> int:
        """Its part of the traffic, in per cent."""
        parts = {name.lower(): part for name, part in self.value.traffic.items()}
        return parts.get(deployment.lower(), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What an endpoint was like at one time: its traffic, and the state of each of its deployments."""

    endpoint: str
    traffic: Mapping[str, int]
    deployments: Mapping[str, State]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Who answers a request. Whoever took it releases the instance when the request has ended."""

    endpoint: Endpoint
    deployment: Deployment
    instance: Instance


class Directory:
    """Whoever changes something holds `lock`; looking takes it by itself. Names are found whatever their case."""

    def __init__(self, operations: Operations, store: Store) -> None:
        self.lock = threading.RLock()
        self.operations = operations
        self.held: dict[str, HeldEndpoint] = {}
        self.dice = random.Random()
        self.standings: deque[Standing] = deque(maxlen=_REMEMBERED)
        """Every one that the endpoints have had, the newest last."""
        self._store = store

    # Looking

    def endpoint(self, name: str, *, polled: bool = False) -> Endpoint | None:
        """`polled`: somebody asks over HTTP, which a policy may count."""
        with self.lock:
            if found := self.held.get(name.lower()):
                self._settle(found.value.operation, polled=polled)
            found = self.held.get(name.lower())
            return found.value if found else None

    def endpoints(self) -> list[Endpoint]:
        with self.lock:
            return [found for name in list(self.held) if (found := self.endpoint(name))]

    def deployment(self, endpoint: str, name: str, *, polled: bool = False) -> Deployment | None:
        with self.lock:
            if found := self._find(endpoint, name):
                self._settle(found.value.operation, polled=polled)
            found = self._find(endpoint, name)
            return found.value if found else None

    def deployments(self, endpoint: str, *, polled: bool = False) -> list[Deployment]:
        with self.lock:
            known = self.held.get(endpoint.lower())
            names = list(known.deployments) if known else []
            return [found for name in names if (found := self.deployment(endpoint, name, polled=polled))]

    def operation(self, operation_id: str) -> Operation | None:
        """The operation somebody asks about."""
        with self.lock:
            self._settle(operation_id, polled=True)
            return self.operations.get(operation_id)

    # Choosing

    def choose(self, endpoint: str, wanted: str | None) -> Chosen:
        """Who answers a request: the deployment that was asked for, or one by its part of the traffic.

        Raises:
            Refused: nobody does.
        """
        with self.lock:
            held = self.require(endpoint)
            if wanted is not None:
                chosen = held.deployments.get(wanted.lower())
                if chosen is None or chosen.instance is None:
                    raise missing(f"deployment {wanted!r} of endpoint {held.value.name!r} that answers requests")
            else:
                chosen = self._by_traffic(held)
            instance = chosen.instance
            if instance is None:
                raise missing(f"instance of deployment {chosen.value.name!r}")
            instance.take()
            return Chosen(endpoint=held.value, deployment=chosen.value, instance=instance)

    def _by_traffic(self, held: HeldEndpoint) -> HeldDeployment:
        answering = [each for each in held.deployments.values() if each.instance is not None]
        weights = [held.share(each.value.name) for each in answering]
        if not sum(weights):
            # The documented reason for a 404 from an endpoint that is there.
            raise missing(f"deployment of endpoint {held.value.name!r} with traffic")
        return self.dice.choices(answering, weights)[0]

    # What may be done

    def require(self, endpoint: str) -> HeldEndpoint:
        """Raises Refused: it is not there."""
        self.endpoint(endpoint)
        found = self.held.get(endpoint.lower())
        if found is None:
            raise missing(f"online endpoint {endpoint!r}")
        return found

    def require_rest(self, held: HeldEndpoint) -> None:
        """Raises Refused: the endpoint, or one of its deployments, is still in the making."""
        self.require_final(self.endpoint(held.value.name))
        for deployment in self.deployments(held.value.name):
            self.require_final(deployment)

    def require_final(self, value: Endpoint | Deployment | None) -> None:
        """Raises Refused: something goes on with it. (The service answers 409; its code is not known.)"""
        if value is not None and not value.state.is_final:
            kind = "Endpoint" if isinstance(value, Endpoint) else "Deployment"
            raise Refused(
                409,
                "Conflict",
                f"{kind} {value.name!r} is in state {value.state}: wait until that operation has ended.",
            )

    # Keeping

    def save(self) -> None:
        deployments = [each.value for held in self.held.values() for each in held.deployments.values()]
        self._store.save(write_records([held.value for held in self.held.values()], deployments))
        self.standings += (_standing(held) for held in self.held.values())

    def restore(self) -> list[HeldDeployment]:
        """What an earlier run of the local cloud left: all deployments, none of them answering yet."""
        endpoints, deployments = read_records(self._store.load())
        for endpoint in endpoints:
            if endpoint.state is not State.DELETING:
                # One that was in the making keeps the traffic it had.
                rested = endpoint.state if endpoint.state.is_final else State.SUCCEEDED
                self.held[endpoint.name.lower()] = HeldEndpoint(value=replace(endpoint, state=rested))
                self._remember(self.held[endpoint.name.lower()].value)
        found = []
        for deployment in deployments:
            parent = self.held.get(deployment.endpoint.lower())
            if parent is not None and deployment.state is not State.DELETING:
                held = HeldDeployment(value=deployment)
                parent.deployments[deployment.name.lower()] = held
                self._remember(deployment)
                found.append(held)
        return found

    def forget(self) -> list[HeldDeployment]:
        """Forget every endpoint; their deployments are given back, to be discarded."""
        with self.lock:
            held = [each for endpoint in self.held.values() for each in endpoint.deployments.values()]
            self.held.clear()
            self.operations.clear()
            self.save()
            return held

    def holds(self, held: HeldDeployment) -> bool:
        """Whether it is still there: neither deleted nor forgotten."""
        return self._find(held.value.endpoint, held.value.name) is held

    def _remember(self, value: Endpoint | Deployment) -> None:
        outcome = next((outcome for outcome, state in STATES.items() if state is value.state), None)
        if outcome is not None:
            self.operations.remember(value.operation, Ending(outcome=outcome, message=value.message), value.modified)

    def _find(self, endpoint: str, name: str) -> HeldDeployment | None:
        known = self.held.get(endpoint.lower())
        return known.deployments.get(name.lower()) if known else None

    def _settle(self, operation_id: str, *, polled: bool = False) -> None:
        operation = self.operations.get(operation_id)
        if operation is not None:
            self.operations.settle(operation, polled=polled)


def _standing(held: HeldEndpoint) -> Standing:
    states = {each.value.name: each.value.state for each in held.deployments.values()}
    return Standing(endpoint=held.value.name, traffic=dict(held.value.traffic), deployments=states)
