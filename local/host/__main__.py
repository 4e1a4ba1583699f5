"""`python -m local.host --app-root FOLDER --port PORT`: the function host as a process of its own.

Its environment is the app's settings.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from local.host.app import PROJECT_ROOT
from local.host.authentication import ENABLED, Authentication
from local.host.logs import start_logging
from local.host.runner import Host, Options
from local.host.settings import HostError

DEFAULT_PORT: Final = 7071
GRACE_SECONDS: Final = 30.0

logger = logging.getLogger("local.host")


def main(arguments: Sequence[str]) -> int:
    options, on_a_leash = _options(arguments)
    start_logging(os.environ)
    os.environ.setdefault("AzureWebJobsScriptRoot", str(options.app_root))
    os.environ[ENABLED] = str(options.authentication is not None)
    started_in = Path.cwd()
    try:
        os.chdir(options.app_root)
        asyncio.run(_serve(options, started_in, on_a_leash=on_a_leash))
    except (HostError, OSError) as problem:
        print(f"The function host cannot start: {problem}", file=sys.stderr)
        return 1
    return 0


async def _serve(options: Options, started_in: Path, *, on_a_leash: bool) -> None:
    host = Host(options, os.environ)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, host.stop)
    if on_a_leash:
        threading.Thread(target=_watch_leash, args=(loop, host), daemon=True).start()
    ending = await host.run()
    if ending.restart:
        _replace_process(started_in)
    if not ending.drained:
        logger.warning("some work was still running after %.0f s", options.grace_seconds)
        _leave_now(0)


def _watch_leash(loop: asyncio.AbstractEventLoop, host: Host) -> None:
    """Standard input ends when whoever started us does, however that comes about."""
    while os.read(sys.stdin.fileno(), 1024):
        pass
    loop.call_soon_threadsafe(host.stop)


def _replace_process(started_in: Path) -> None:
    """Azure replaces the worker process after a timeout; here the host is in the same process and goes with it."""
    logger.warning("restarting: a function ran into functionTimeout")
    sys.stdout.flush()
    sys.stderr.flush()
    os.chdir(started_in)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _leave_now(code: int) -> None:
    """Python would wait for threads that are still in a function."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _options(arguments: Sequence[str]) -> tuple[Options, bool]:
    parser = argparse.ArgumentParser(prog="python -m local.host", description=__doc__)
    parser.add_argument("--app-root", type=Path, default=Path(), help="the folder of host.json and function_app.py")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    parser.add_argument("--host-id", help="names the status records of timers; by default made from the app root")
    parser.add_argument("--state-folder", type=Path, default=PROJECT_ROOT / ".relearn" / "host")
    parser.add_argument("--grace", type=float, default=GRACE_SECONDS, help="seconds for running functions to end")
    parser.add_argument("--auth-keys", help="App Service Authentication: where the keys of tokens are; off without it")
    parser.add_argument("--auth-audience", default="", help="for whom tokens must be")
    parser.add_argument("--leash", action="store_true", help="stop when standard input ends")
    parsed = parser.parse_args(arguments)
    app_root = parsed.app_root.resolve()
    options = Options(
        app_root=app_root,
        port=parsed.port,
        host_id=parsed.host_id or f"local-{hashlib.sha256(str(app_root).encode()).hexdigest()[:8]}",
        state_folder=parsed.state_folder.resolve(),
        grace_seconds=parsed.grace,
        authentication=_authentication(parsed.auth_keys, parsed.auth_audience),
    )
    return options, parsed.leash


def _authentication(keys: str | None, audience: str) -> Authentication | None:
    return Authentication(keys=keys, audience=audience) if keys else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
