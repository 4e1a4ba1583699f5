"""Making, changing and deleting online endpoints."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace

from local.machine_learning.answers import Refused
from local.machine_learning.online.bodies import EndpointBody, check_name
from local.machine_learning.online.directory import STATES, Directory, HeldEndpoint
from local.machine_learning.online.operations import Ending
from local.machine_learning.online.provisioning import Provisioning
from local.machine_learning.online.values import Endpoint, Keys, State
from local.progress import Clock, Immediately, Interpret, Outcome, Policy, Progress


class Endpoints:
    """Changes endpoints in the directory.

    Args:
        updates: how making and changing one goes, by its name.
        deletions: how deleting one goes, by its name.
    """

    def __init__(
        self,
        directory: Directory,
        provisioning: Provisioning,
        *,
        updates: Progress,
        deletions: Progress,
        clock: Clock,
    ) -> None:
        self._directory = directory
        self._provisioning = provisioning
        self._updates = updates
        self._deletions = deletions
        self._clock = clock

    def put(self, name: str, body: EndpointBody) -> Endpoint:
        """Begin to make or change an endpoint: as it will be, and in which state meanwhile.

        Raises:
            Refused: AML would refuse it.
        """
        check_name("an endpoint", name)
        with self._directory.lock:
            self._directory.endpoint(name)  # whose deletion may just have come to its end
            known = self._directory.held.get(name.lower())
            if known is not None:
                self._directory.require_rest(known)
            _check(known, body)
            asked = self._asked(name, body, known.value if known else None)
            # Until the operation has ended, the traffic in force is the one before.
            shown = replace(asked, traffic=known.value.traffic if known else {})
            held = known or HeldEndpoint(value=shown)
            held.value = shown
            self._directory.held[name.lower()] = held
            self._directory.operations.begin(
                asked.operation, asked.state, self._policy(self._updates, name), lambda end: self._put(held, asked, end)
            )
            self._directory.save()
            return asked

    def delete(self, name: str) -> str | None:
        """Begin to delete an endpoint with all its deployments; the operation's id, None if there is none.

        Raises:
            Refused: something of it is still in the making.
        """
        with self._directory.lock:
            if self._directory.endpoint(name) is None:
                return None
            held = self._directory.held[name.lower()]
            self._directory.require_rest(held)
            operation = self._directory.operations.new_id("oe")
            held.value = replace(held.value, state=State.DELETING, operation=operation, modified=self._clock.now())
            policy = self._policy(self._deletions, name)
            self._directory.operations.begin(operation, State.DELETING, policy, lambda end: self._gone(held, end))
            self._directory.save()
            return operation

    def _asked(self, name: str, body: EndpointBody, before: Endpoint | None) -> Endpoint:
        at = self._clock.now()
        return Endpoint(
            name=before.name if before else name,
            auth_mode=body.auth_mode,
            keys=before.keys if before else _new_keys(),
            created=before.created if before else at,
            modified=at,
            operation=self._directory.operations.new_id("oe"),
            state=State.UPDATING if before else State.CREATING,
            tags=body.tags,
            description=body.description,
            properties=body.properties,
            traffic={deployment: part for deployment, part in body.traffic.items() if part},
        )

    def _policy(self, progress: Progress, name: str) -> Policy:
        policy = progress.take(name)
        return Immediately() if isinstance(policy, Interpret) else policy  # there is nothing to run

    def _put(self, held: HeldEndpoint, asked: Endpoint, ending: Ending) -> None:
        state = STATES[ending.outcome]
        if ending.outcome is Outcome.SUCCEEDED:
            held.value = replace(asked, state=state)
        else:
            held.value = replace(held.value, state=state, message=ending.message)
        self._directory.save()

    def _gone(self, held: HeldEndpoint, ending: Ending) -> None:
        if ending.outcome is not Outcome.SUCCEEDED:
            held.value = replace(held.value, state=STATES[ending.outcome], message=ending.message)
        else:
            for deployment in held.deployments.values():
                self._provisioning.discard(deployment.value, deployment.instance)
            del self._directory.held[held.value.name.lower()]
        self._directory.save()


def _check(known: HeldEndpoint | None, body: EndpointBody) -> None:
    if known is not None and known.value.auth_mode is not body.auth_mode:
        raise Refused(400, "UserError", f"The authMode of endpoint {known.value.name!r} cannot be changed.")
    deployments: Mapping[str, object] = known.deployments if known else {}
    for name, part in body.traffic.items():
        if name.lower() not in deployments:
            raise Refused(400, "UserError", f"traffic names deployment {name!r}, which the endpoint does not have.")
        if part and known is not None and known.deployments[name.lower()].instance is None:
            raise Refused(400, "UserError", f"Deployment {name!r} never came up: it cannot take traffic.")


def _new_keys() -> Keys:
    return Keys(primary=secrets.token_urlsafe(24), secondary=secrets.token_urlsafe(24))
