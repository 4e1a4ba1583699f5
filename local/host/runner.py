"""Puts the host together and runs it: HTTP server, queue listeners and timers, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import uvicorn

from local.host import http
from local.host.admin import Admin
from local.host.app import Function, IndexingFailed, load_functions, place_on_path
from local.host.authentication import Authentication, TokenCheck
from local.host.banner import announcement
from local.host.http import HttpFunctions
from local.host.invoker import Invoker
from local.host.queues import QueueListener, queue_listener
from local.host.settings import AppSettings, HostError, read_host_settings
from local.host.timers import Timer, timer
from local.host.web import Web
from local.host.webhook import Webhook

ADDRESS: Final = "127.0.0.1"

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command line."""

    app_root: Path
    port: int
    host_id: str
    state_folder: Path
    grace_seconds: float
    authentication: Authentication | None = None
    """None: App Service Authentication is off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a run of the host ended."""

    restart: bool
    """A function outlived functionTimeout: start over in a fresh process."""
    drained: bool
    """Nothing was running any more."""


class _Server(uvicorn.Server):
    """Leaves signals to the host, which stops queues and timers at the same moment as HTTP, not after it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Host:
    """One app with all its triggers.

    Raises:
        HostError: host.json cannot be used. (A function that cannot be used is reported, the others run.)
    """

    def __init__(self, options: Options, environment: Mapping[str, str]) -> None:
        host = read_host_settings(options.app_root, environment)
        self._options = options
        self._errors: list[str] = []
        self._stop = asyncio.Event()
        self._invoker = Invoker(threads=host.thread_count, timeout=host.function_timeout)
        self._functions = self._load(environment)

        settings = AppSettings(environment)
        folder = options.state_folder / "timers" / options.host_id
        enabled = [function for function in self._functions if not function.disabled]
        self._timers = self._triggers_of(
            enabled, "timerTrigger", lambda function: timer(function, self._invoker, settings, folder)
        )
        self._listeners = self._triggers_of(
            enabled, "queueTrigger", lambda function: queue_listener(function, self._invoker, host.queues, settings)
        )
        routes = self._triggers_of(enabled, "httpTrigger", lambda function: http.route(function, host.route_prefix))
        self._routes = list(routes.values())
        check = TokenCheck(options.authentication) if options.authentication is not None else None
        self._web = Web(
            admin=Admin(
                host_id=options.host_id,
                functions=self._functions,
                timers=self._timers,
                invoker=self._invoker,
                errors=self._errors,
            ),
            hook=Webhook(enabled, self._invoker),
            functions=HttpFunctions(self._routes, self._invoker, check),
        )

    def stop(self) -> None:
        """Takes no more work; `run` returns when what is running has ended, or after the grace time."""
        self._stop.set()

    async def run(self) -> Ending:
        """Serves until stopped.

        Raises:
            HostError: the port is taken.
        """
        server = _Server(
            uvicorn.Config(
                self._web.application,
                log_config=None,
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=round(self._options.grace_seconds),
            )
        )
        with _listening_socket(self._options.port) as listening:
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            print(announcement(self._functions, self._routes, f"http://{ADDRESS}:{self._options.port}"), flush=True)
            triggers: Sequence[Timer | QueueListener] = [*self._timers.values(), *self._listeners.values()]
            running = [serving, *(asyncio.create_task(trigger.run()) for trigger in triggers)]
            restart = await self._until_told()
            for trigger in triggers:
                trigger.stop()
            server.should_exit = True
            drained = await self._drain(running)
        return Ending(restart=restart, drained=drained)

    async def _until_told(self) -> bool:
        waits = [asyncio.create_task(event.wait()) for event in (self._stop, self._invoker.worker_lost)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        return not self._stop.is_set()

    async def _drain(self, running: Sequence[asyncio.Task[None]]) -> bool:
        """Lets what is running end; a queue message in work also has to be deleted or released."""
        _, left = await asyncio.wait(running, timeout=self._options.grace_seconds)
        return self._invoker.is_idle and not left

    def _load(self, environment: Mapping[str, str]) -> Sequence[Function]:
        place_on_path(self._options.app_root)
        try:
            return load_functions(self._options.app_root, environment)
        except IndexingFailed as problem:
            # The real host logs this, goes on with no functions, and answers 404 to everything
            # (azure-functions-host, GrpcWorkerChannel.cs).
            logger.exception("Worker failed to index functions")
            self._errors.append(f"Worker failed to index functions: {problem}")
            return ()

    def _triggers_of(self, functions: Sequence[Function], trigger: str, make: Callable[[Function], T]) -> dict[str, T]:
        """What serves the functions of one trigger. One that cannot be set up is reported; the others run."""
        made: dict[str, T] = {}
        for function in functions:
            if function.trigger == trigger:
                try:
                    made[function.name] = make(function)
                except HostError as problem:
                    text = f"The listener for function 'Functions.{function.name}' was unable to start: {problem}"
                    logger.error(text)  # noqa: TRY400  the text says it all
                    self._errors.append(text)
        return made


def _listening_socket(port: int) -> socket.socket:
    # asyncio sets TCP_NODELAY only where the protocol is spelled out; without it an answer can take 40 ms.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((ADDRESS, port))
    except OSError as problem:
        listening.close()
        raise HostError(f"cannot listen on {ADDRESS}:{port}: {problem.strerror}; choose another --port") from problem
    return listening
