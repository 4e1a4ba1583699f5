"""Starts the function host as a child process and watches over it: for the local cloud, the demo and tests."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

import httpx

from local.host.app import PROJECT_ROOT
from local.host.authentication import Authentication
from local.processes import Child

ADDRESS: Final = "127.0.0.1"
START_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.05


class HostFailed(RuntimeError):
    """The host did not come up, or did not end when it should; carries the end of its log."""


class CoreToolsMissing(RuntimeError):
    """`func` was asked for and is not on PATH."""


class FunctionHost:
    """One function host. Every start is a new process; the port, and so the address, stays.

    Args:
        app_root: the folder of host.json and function_app.py.
        environment: all of the child's environment: the app settings and what Python needs.
        folder: where logs (one per start) and the timers' status records go.
        port: a free one is chosen when there is none given.
        authentication: App Service Authentication, as set up in Azure; None: off. Core Tools have none.
        core_tools: run `func start` of Azure Functions Core Tools instead of the runner in this package. Written
            after its documentation and not run here; it takes the `python` that is first on PATH.

    Attributes:
        program: what `python -m` runs instead of Core Tools, with arguments that go before the runner's own.
    """

    def __init__(
        self,
        app_root: Path,
        environment: Mapping[str, str],
        *,
        folder: Path,
        port: int | None = None,
        host_id: str = "local",
        authentication: Authentication | None = None,
        core_tools: bool = False,
    ) -> None:
        self.app_root = app_root.resolve()
        self.folder = folder
        self.port = port or _free_port()
        self.url = f"http://{ADDRESS}:{self.port}"
        self._environment = dict(environment)
        if core_tools:
            self._environment.setdefault("FUNCTIONS_WORKER_RUNTIME", "python")
        self._host_id = host_id
        self.program: Sequence[str] = ("local.host",)
        self._authentication = authentication
        self._core_tools = core_tools
        self._child: Child | None = None
        self._starts = 0

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs, and before the first start."""
        return self._child.exit_code if self._child else None

    @property
    def log_file(self) -> Path:
        """The log of the latest start."""
        return self.folder / ("host.log" if self._starts < 2 else f"host.{self._starts}.log")

    def log(self) -> str:
        """What the latest start has written so far."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def webhook(self, function: str) -> str:
        """Where Event Grid delivers to this function."""
        return f"{self.url}/runtime/webhooks/eventgrid?functionName={function}"

    def start(self) -> None:
        """Starts the process and waits until it answers.

        Raises:
            CoreToolsMissing: `func` is wanted and not installed.
            HostFailed: it ended, or did not answer in time.
        """
        if self._child is not None and self._child.exit_code is None:
            raise HostFailed(f"the function host is already running (pid {self._child.pid})")
        self._starts += 1
        command = self._func_command() if self._core_tools else self._own_command()
        self._child = Child(
            "the function host",
            command,
            environment=self._environment,
            log_file=self.log_file,
            cwd=self.app_root if self._core_tools else PROJECT_ROOT,
        )
        try:
            self._wait_until_ready(self._child)
        except BaseException:
            self._child.stop()
            raise

    def stop(self) -> int | None:
        """Ends it in good order: running functions finish first. Safe to call twice."""
        return self._child.stop(grace=45.0) if self._child else None

    def kill(self) -> int:
        """Ends it on the spot, as a crash would; returns the exit code (minus the signal's number)."""
        child = self._running()
        os.kill(child.pid, signal.SIGKILL)
        code = self.wait()
        child.stop()
        return code

    def restart(self, environment: Mapping[str, str] | None = None) -> None:
        """Stops what runs, if anything does, and starts a new process, with other settings where given."""
        self.stop()
        if environment is not None:
            self._environment = dict(environment)
        self.start()

    def wait(self, seconds: float = 30.0) -> int:
        """Waits for the process to end by itself and returns its exit code.

        Raises:
            HostFailed: it is still running after that time.
        """
        child = self._running()
        deadline = time.monotonic() + seconds
        while child.exit_code is None:
            if time.monotonic() > deadline:
                raise HostFailed(f"the function host still runs after {seconds:.0f} s:\n{child.tail()}")
            time.sleep(POLL_SECONDS)
        return child.exit_code

    def __enter__(self) -> FunctionHost:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _running(self) -> Child:
        if self._child is None:
            raise HostFailed("the function host was never started")
        return self._child

    def _own_command(self) -> list[str]:
        return [
            *(sys.executable, "-m", *self.program),
            *("--app-root", str(self.app_root)),
            *("--port", str(self.port)),
            *("--host-id", self._host_id),
            *("--state-folder", str(self.folder.resolve())),
            *self._authentication_options(),
            "--leash",
        ]

    def _authentication_options(self) -> list[str]:
        on = self._authentication
        return [] if on is None else ["--auth-keys", on.keys, "--auth-audience", on.audience]

    def _func_command(self) -> list[str]:
        program = shutil.which("func", path=self._environment.get("PATH"))
        if program is None:
            raise CoreToolsMissing(
                "HOST=func needs `func` of Azure Functions Core Tools 4 on PATH, and it is not there: install it "
                "(npm install -g azure-functions-core-tools@4), or leave HOST unset for the runner of this project"
            )
        return [program, "start", "--port", str(self.port)]

    def _wait_until_ready(self, child: Child) -> None:
        deadline = time.monotonic() + START_SECONDS
        # Loopback must not go through a proxy that the caller's environment names.
        with httpx.Client(trust_env=False, timeout=5.0) as client:
            while not self._is_ready(client):
                if child.exit_code is not None:
                    raise HostFailed(child.failure())
                if time.monotonic() > deadline:
                    raise HostFailed(f"no answer from {self.url} within {START_SECONDS:.0f} s:\n{child.tail()}")
                time.sleep(POLL_SECONDS)

    def _is_ready(self, client: httpx.Client) -> bool:
        try:
            answer = client.get(f"{self.url}/admin/host/status")
        except httpx.TransportError:
            return False
        return answer.status_code == 200 and answer.json().get("state") == "Running"


def _free_port() -> int:
    with socket.socket() as bound:
        bound.bind((ADDRESS, 0))
        port: int = bound.getsockname()[1]
    return port
