"""How a fact becomes a log line: a constant action name, and its fields as compact JSON in the message.

The Functions worker does not hand `extra` fields on to Application Insights, so they are rendered into the text.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping


def record(logger: logging.Logger, action: str, fields: Mapping[str, object], level: int = logging.INFO) -> None:
    """Logs one fact. Fields that are None are left out; nothing secret and no payload may be passed."""
    if logger.isEnabledFor(level):
        known = {name: value for name, value in fields.items() if value is not None}
        logger.log(level, "%s %s", action, json.dumps(known, default=str, separators=(",", ":"), ensure_ascii=False))


def quiet_azure_clients() -> None:
    """The SDK's clients log every request at INFO, ten lines for one small invocation: only their warnings count."""
    logging.getLogger("azure").setLevel(logging.WARNING)
