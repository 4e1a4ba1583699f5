"""Runs `az`, `azd` and Python, and says what went wrong in one line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]


class HookFailed(Exception):
    """The hook cannot go on; the message says why, and what to do."""


class CommandFailed(HookFailed):
    """A command ended with an error; `output` is what it said."""

    def __init__(self, message: str, output: str) -> None:
        super().__init__(message)
        self.output = output


def az(*arguments: str) -> Any:  # noqa: ANN401 - whatever the command gives
    """What az answers, as JSON; None for an empty answer."""
    text = run(["az", *arguments, "--output", "json", "--only-show-errors"])
    return json.loads(text) if text.strip() else None


def azd_set(values: Mapping[str, str], current: Mapping[str, str]) -> None:
    """Keeps values in azd's environment; says which have changed."""
    for name, value in values.items():
        if current.get(name) == value:
            continue
        run(["azd", "env", "set", name, value])
        say(f"{name}={value}")


def run(command: Sequence[str]) -> str:
    """The standard output of a command.

    Raises:
        HookFailed: it is not installed.
        CommandFailed: it ended with an error.
    """
    program = shutil.which(command[0])  # on Windows, az and azd are .cmd files, which only a full path starts
    if program is None:
        raise HookFailed(f"{command[0]} is not installed; docs/deploy.md says what is needed")
    done = subprocess.run([program, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise CommandFailed(f"`{' '.join(command[:4])} …` ended with {done.returncode}: {said[-2000:]}", said)
    return done.stdout


def python(*arguments: str) -> None:
    """Runs a module of this project; what it says is seen at once, and is in the error as well."""
    said: list[str] = []
    command = [sys.executable, *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            said.append(line)
    if process.returncode != 0:
        raise CommandFailed(f"`python {' '.join(arguments[:3])} …` ended with {process.returncode}", "".join(said))


def say(text: str) -> None:
    print(f"relearn: {text}", flush=True)


def environment() -> dict[str, str]:
    """azd hands a hook its environment's values as variables."""
    return dict(os.environ)
