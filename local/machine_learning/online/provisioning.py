"""Gets a deployment up: by a policy with a canned answer, or by really launching its server in the background."""

from __future__ import annotations

import concurrent.futures
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from local.machine_learning.online.answering import Answering, Awaited, Canned, NotAnswering, Script
from local.machine_learning.online.directory import STATES, Directory, HeldDeployment
from local.machine_learning.online.instances import Instance
from local.machine_learning.online.launches import Launcher, LaunchFailed, LaunchStopped
from local.machine_learning.online.operations import Ending, Operation
from local.machine_learning.online.servers import Server
from local.machine_learning.online.values import Deployment, ServerRecord, State
from local.progress import AfterPolls, AfterSeconds, Immediately, Interpret, Outcome, Policy

logger = logging.getLogger(__name__)


class Provisioning:
    """Launches run in threads of their own; their ends are written into the directory under its lock."""

    def __init__(self, directory: Directory, launcher: Launcher, script: Script) -> None:
        self._directory = directory
        self._launcher = launcher
        self._script = script
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self._servers: list[Server] = []

    def begin(self, held: HeldDeployment, policy: Policy, before: Deployment | None) -> None:
        """Begin to make what is held, or to change it from what it was before. The caller holds the lock."""
        value = held.value
        coming: list[Server] = []

        def put(ending: Ending) -> None:
            if ending.outcome is not Outcome.SUCCEEDED:
                self._failed(held, before, ending)
                return
            answering: Answering = coming[0] if coming else Canned(self._script)
            self._answers(held, answering, coming[0] if coming else None)

        operations = self._directory.operations
        operation = operations.begin(value.operation, value.state, self._checked(value, policy), put)
        if isinstance(policy, Interpret):
            self._launch(held.value, policy, operation, coming.append)

    def discard(self, value: Deployment, instance: Instance | None, gone: Callable[[], None] = lambda: None) -> None:
        """No new request is given to the instance: end it after its last one, remove its files, and tell `gone`."""

        def ended() -> None:
            if value.server is not None:
                self._launcher.remove(value.server)
            gone()

        if instance is None:  # what is left of launches that failed
            self._launcher.clear(value)
            gone()
        else:
            instance.retire(ended)

    def resume(self, found: Sequence[HeldDeployment]) -> None:
        """Serve again, in the background, what an earlier run of the local cloud served or was about to."""
        with self._directory.lock:
            for held in found:
                if held.value.up or not held.value.state.is_final:
                    self._launcher.clear(held.value)  # of one that failed the log stays
                if not held.value.state.is_final:
                    self.begin(held, Interpret() if held.value.served else Immediately(), None)
                elif not held.value.served:
                    held.instance = Instance(Canned(self._script))
                elif held.value.up:
                    self._again(held)

    def stop(self) -> None:
        """End every launch and every server, and wait for them."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        for server in self._servers:
            server.stop()

    def _checked(self, value: Deployment, policy: Policy) -> Policy:
        """A policy says how long it takes; what the deployment refers to must be there all the same."""
        if not isinstance(policy, (Immediately, AfterPolls, AfterSeconds)):
            return policy
        try:
            self._launcher.require(value)
        except LaunchFailed as problem:
            return replace(policy, outcome=Outcome.FAILED, message=str(problem))
        return policy

    def _launch(
        self, value: Deployment, policy: Interpret, operation: Operation, came: Callable[[Server], None]
    ) -> None:
        def launch() -> None:
            ending = Ending(outcome=Outcome.SUCCEEDED)
            try:
                came(self._server(value, policy))
            except LaunchStopped:
                return
            except LaunchFailed as problem:
                ending = Ending(outcome=Outcome.FAILED, message=str(problem), code=problem.code)
            with self._directory.lock:
                self._directory.operations.end(operation, ending)

        self._run(launch, value)

    def _again(self, held: HeldDeployment) -> None:
        """Requests come before the server is up: they wait for it."""
        coming: concurrent.futures.Future[Answering] = concurrent.futures.Future()
        coming.set_running_or_notify_cancel()
        value = held.value
        instance = held.instance = Instance(Awaited(coming))

        def show(message: str, record: ServerRecord | None) -> None:
            with self._directory.lock:
                if held.instance is instance:  # and not changed meanwhile
                    held.value = replace(held.value, message=message, server=record)

        def launch() -> None:
            try:
                server = self._server(value, Interpret())
            except (LaunchFailed, LaunchStopped) as problem:
                show(str(problem), None)
                coming.set_exception(NotAnswering(str(problem)))
            else:
                show("", server.record)
                coming.set_result(server)

        self._run(launch, value)

    def _server(self, value: Deployment, policy: Interpret) -> Server:
        try:
            server = self._launcher.launch(value, policy, self._stopped)
        except (LaunchFailed, LaunchStopped):
            raise
        except Exception as problem:
            # A defect of ours: nobody reads the thread's end, and without this it would be Creating for ever.
            logger.exception("a deployment could not be served: %s/%s", value.endpoint, value.name)
            raise LaunchFailed("InternalServerError", f"The local cloud failed to serve this: {problem!r}") from problem
        with self._directory.lock:
            self._servers = [each for each in self._servers if each.ended is None] + [server]
        return server

    def _run(self, launch: Callable[[], None], value: Deployment) -> None:
        thread = threading.Thread(target=launch, name=f"launch {value.endpoint}/{value.name}", daemon=True)
        self._threads = [each for each in self._threads if each.is_alive()] + [thread]
        thread.start()

    def _answers(self, held: HeldDeployment, answering: Answering, server: Server | None) -> None:
        """From now on new requests go to this one; the one before it ends after its last."""
        if not self._directory.holds(held):
            self.discard(held.value, Instance(answering))
            return
        before, held.instance = held.instance, Instance(answering)
        if before is not None:
            self.discard(held.value, before)
        record = server.record if server else None
        held.value = replace(held.value, state=State.SUCCEEDED, message="", up=True, server=record)
        self._directory.save()

    def _failed(self, held: HeldDeployment, before: Deployment | None, ending: Ending) -> None:
        """What served before goes on serving, as what it was."""
        known = before if before is not None and before.up else held.value
        held.value = replace(
            known,
            operation=held.value.operation,
            state=STATES[ending.outcome],
            modified=held.value.modified,
            message=ending.message,
        )
        self._directory.save()
