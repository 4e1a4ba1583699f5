"""One background thread with one asyncio loop, in which every listener of the local cloud lives."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")
_STOP_SECONDS = 10.0


class Background:
    """Runs coroutines for threads that have no loop."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="local cloud", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, Result], seconds: float = 30.0) -> Result:
        """Run `work` in the loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(seconds)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self.loop.run_until_complete(self._end_everything())
            self.loop.close()

    async def _end_everything(self) -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self.loop.shutdown_asyncgens()
        await self.loop.shutdown_default_executor()
        # Aborted TLS connections are closed by callbacks; without turns of the loop they would be leaked. And whoever
        # is in the middle of TLS's goodbye, which a silent client never ends, is known to the loop alone.
        await asyncio.sleep(0.05)
        for transport in list(getattr(self.loop, "_transports", {}).values()):
            transport.abort()
        await asyncio.sleep(0.05)
