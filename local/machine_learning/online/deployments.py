"""Making, changing and deleting the deployments of online endpoints."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from local.machine_learning.answers import Refused
from local.machine_learning.online.bodies import DeploymentBody, check_name
from local.machine_learning.online.directory import STATES, Directory, HeldDeployment, HeldEndpoint
from local.machine_learning.online.instances import Instance
from local.machine_learning.online.operations import Ending, Operation
from local.machine_learning.online.provisioning import Provisioning
from local.machine_learning.online.values import Deployment, State
from local.progress import Clock, Interpret, Outcome, Policy, Progress

MOST: Final = 20


class Deployments:
    """Changes deployments in the directory.

    Args:
        creations: how making and changing a deployment goes, by its endpoint; Interpret: really serve it.
        deletions: how deleting one goes, by its endpoint; Interpret: when its last request has ended.
    """

    def __init__(
        self,
        directory: Directory,
        provisioning: Provisioning,
        *,
        creations: Progress,
        deletions: Progress,
        clock: Clock,
    ) -> None:
        self._directory = directory
        self._provisioning = provisioning
        self._creations = creations
        self._deletions = deletions
        self._clock = clock

    def put(self, endpoint: str, name: str, body: DeploymentBody) -> Deployment:
        """Begin to make or change a deployment: as it is while that goes on.

        Raises:
            Refused: AML would refuse it.
        """
        check_name("a deployment", name)
        with self._directory.lock:
            parent = self._directory.require(endpoint)
            self._directory.require_final(parent.value)
            self._directory.require_final(self._directory.deployment(endpoint, name))
            known = parent.deployments.get(name.lower())
            if known is None and len(parent.deployments) >= MOST:
                raise Refused(400, "UserError", f"An endpoint has at most {MOST} deployments.")
            policy = self._creations.take(endpoint)
            before = known.value if known else None
            value = self._asked(parent, name, body, before, policy)
            held = known or HeldDeployment(value=value)
            held.value = value
            parent.deployments[name.lower()] = held
            self._provisioning.begin(held, policy, before)
            self._directory.save()
            return value

    def delete(self, endpoint: str, name: str) -> str | None:
        """Begin to delete a deployment; the operation's id, None if there is none.

        Raises:
            Refused: it has traffic, or something is still in the making.
        """
        with self._directory.lock:
            parent = self._directory.require(endpoint)
            self._directory.require_final(parent.value)
            self._directory.require_final(self._directory.deployment(endpoint, name))
            held = parent.deployments.get(name.lower())
            if held is None:
                return None
            if part := parent.share(name):
                message = f"Deployment {name!r} has {part} % of the traffic: set that to 0 before deleting it."
                raise Refused(409, "Conflict", message)
            operation_id = self._directory.operations.new_id("od")
            held.value = replace(held.value, state=State.DELETING, operation=operation_id, modified=self._clock.now())
            # No request is given to it from now on; those it has it still answers.
            instance, held.instance = held.instance, None
            policy = self._deletions.take(endpoint)
            operation = self._directory.operations.begin(
                operation_id, State.DELETING, policy, lambda ending: self._gone(parent, held, instance, ending)
            )
            if isinstance(policy, Interpret):
                self._provisioning.discard(held.value, instance, lambda: self._drained(operation))
            self._directory.save()
            return operation_id

    def _asked(
        self, parent: HeldEndpoint, name: str, body: DeploymentBody, before: Deployment | None, policy: Policy
    ) -> Deployment:
        at = self._clock.now()
        return Deployment(
            endpoint=parent.value.name,
            name=before.name if before else name,
            created=before.created if before else at,
            modified=at,
            operation=self._directory.operations.new_id("od"),
            properties=body.properties,
            state=State.UPDATING if before else State.CREATING,
            tags=body.tags,
            capacity=body.capacity,
            served=isinstance(policy, Interpret),
            server=before.server if before else None,
        )

    def _drained(self, operation: Operation) -> None:
        """It is gone when its last request has its answer and its server has ended."""
        with self._directory.lock:
            self._directory.operations.end(operation, Ending(outcome=Outcome.SUCCEEDED))

    def _gone(self, parent: HeldEndpoint, held: HeldDeployment, instance: Instance | None, ending: Ending) -> None:
        if ending.outcome is Outcome.SUCCEEDED:
            self._provisioning.discard(held.value, instance)
            parent.deployments.pop(held.value.name.lower(), None)
        else:
            held.instance = instance
            held.value = replace(held.value, state=STATES[ending.outcome], message=ending.message)
        self._directory.save()
