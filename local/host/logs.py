"""What the host and the app log, on standard error, each line with its level and the function it belongs to."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final

from local.host.settings import AppSettings

HOST: Final = "host"

current_function: ContextVar[str] = ContextVar("current_function", default=HOST)


class _Lines(logging.Formatter):
    """`2026-11-22T07:29:00.123Z INFO    look: shared.looks: text`."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        return f"{moment} {record.levelname:<7} {current_function.get()}: {record.name}: {text}"


def _is_wanted(record: logging.LogRecord) -> bool:
    # The real host is not a Python program: its own storage calls never show up in the app's log.
    own_call = record.name.startswith("azure.") and current_function.get() == HOST
    return not own_call or record.levelno >= logging.WARNING


def start_logging(environment: Mapping[str, str]) -> None:
    """The worker's levels: INFO for everything, DEBUG when PYTHON_ENABLE_DEBUG_LOGGING asks for it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    handler.addFilter(_is_wanted)
    debug = AppSettings(environment).get("PYTHON_ENABLE_DEBUG_LOGGING", "").lower() in ("1", "true", "t", "yes", "y")
    logging.basicConfig(handlers=[handler], level=logging.DEBUG if debug else logging.INFO, force=True)
    for noisy in ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
