"""Runs invocations: sync functions in the worker's thread pool, with the function timeout and the host's log lines."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from local.host import bindings
from local.host.app import Function
from local.host.logs import current_function

logger = logging.getLogger(__name__)


class InvocationFailed(Exception):
    """The function, or the conversion of its payload, raised; the cause is chained."""


class FunctionTimedOut(Exception):
    """A function outlived functionTimeout."""


class Invoker:
    """The worker: one thread pool for sync functions, async functions on the host's loop."""

    def __init__(self, *, threads: int | None, timeout: timedelta | None) -> None:
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="function")
        self._timeout = timeout
        self._local = threading.local()
        self._running: set[asyncio.Future[object]] = set()
        self.worker_lost = asyncio.Event()
        """Set when a function outlived functionTimeout: the host then replaces the worker process."""

    async def invoke(self, function: Function, payload: bindings.Payload, *, reason: str) -> object:
        """Runs the function and returns what it returned.

        Raises:
            InvocationFailed: with the message the real host gives to whoever asked.
        """
        invocation_id = str(uuid.uuid4())
        full_name = f"Functions.{function.name}"
        started = time.monotonic()
        logger.info("Executing '%s' (Reason='%s', Id=%s)", full_name, reason, invocation_id)
        try:
            result = await self._limited(function, payload, invocation_id)
        except Exception as problem:  # a function may raise anything; the host outlives it
            duration = round((time.monotonic() - started) * 1000)
            logger.exception("Executed '%s' (Failed, Id=%s, Duration=%dms)", full_name, invocation_id, duration)
            # The host wraps every failure in these words, a timeout excepted (webjobs-sdk, FunctionExecutor.cs).
            timed_out = isinstance(problem, FunctionTimedOut)
            message = str(problem) if timed_out else f"Exception while executing function: {full_name}"
            raise InvocationFailed(message) from problem
        duration = round((time.monotonic() - started) * 1000)
        logger.info("Executed '%s' (Succeeded, Id=%s, Duration=%dms)", full_name, invocation_id, duration)
        return result

    @property
    def is_idle(self) -> bool:
        return not self._running

    async def _limited(self, function: Function, payload: bindings.Payload, invocation_id: str) -> object:
        work = asyncio.ensure_future(self._run(function, payload, invocation_id))
        self._running.add(work)
        work.add_done_callback(self._running.discard)
        lost = asyncio.ensure_future(self.worker_lost.wait())
        try:
            seconds = self._timeout.total_seconds() if self._timeout else None
            done, _ = await asyncio.wait({work, lost}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            lost.cancel()
        if work in done:
            return work.result()
        if not done:
            # A thread cannot be stopped. Azure ends the worker process, and with it everything else it was doing.
            self.worker_lost.set()
            raise FunctionTimedOut(
                f"Timeout value of {self._timeout} was exceeded by function: Functions.{function.name}"
            )
        raise RuntimeError("the worker process was replaced because another function ran into functionTimeout")

    async def _run(self, function: Function, payload: bindings.Payload, invocation_id: str) -> object:
        result: object
        if function.is_async:
            token = current_function.set(function.name)
            try:
                result = await function.call(**self._arguments(function, payload, invocation_id))
            finally:
                current_function.reset(token)
        else:
            loop = asyncio.get_running_loop()
            result = await loop.run_in_executor(self._pool, self._call, function, payload, invocation_id)
        if function.trigger == "httpTrigger":
            return bindings.http_answer(result)
        if result is not None and not function.returns:
            raise RuntimeError(f"function {function.name!r} without a $return binding returned a non-None value")
        return result

    def _call(self, function: Function, payload: bindings.Payload, invocation_id: str) -> object:
        token = current_function.set(function.name)
        self._local.invocation_id = invocation_id
        try:
            result: object = function.call(**self._arguments(function, payload, invocation_id))
            return result
        finally:
            current_function.reset(token)
            self._local.invocation_id = None

    def _arguments(self, function: Function, payload: bindings.Payload, invocation_id: str) -> dict[str, Any]:
        arguments = {function.parameter: bindings.decode(function.trigger, function.annotation, payload)}
        if function.wants_context:
            arguments["context"] = bindings.InvocationContext(
                function_name=function.name,
                function_directory=function.directory,
                invocation_id=invocation_id,
                thread_local_storage=self._local,
            )
        return arguments
