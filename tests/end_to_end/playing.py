"""The demos that the tests look at: started together, ended whenever somebody wants to see them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.bootstrap import AZURITE, ML_VENV
from tests.end_to_end.connections import LookedUp, Traced, can_look, can_trace
from tests.end_to_end.demos import REAL_DATA, Demo
from tests.end_to_end.program import Program
from tests.end_to_end.trap import Trap

DEMO_SECONDS = 360.0
NICENESS = 10
"""They play while other tests run, which must not notice."""


@dataclass
class Playing:
    """A demo that may still play."""

    state: Path
    program: Program

    def end(self) -> Demo:
        exit_code = self.program.wait(DEMO_SECONDS)
        return Demo(state=self.state, exit_code=exit_code, said=self.program.said())


@dataclass
class Demos:
    """The whole demo, whose environment leads outside, and one on the real files, where they are."""

    whole: Playing
    real: Playing | None
    trap: Trap
    recorder: Traced | LookedUp | None


@contextmanager
def playing_demos(folder: Path) -> Iterator[Demos]:
    """The whole demo in a trapped environment, its calls recorded; and, without the burst, one on the real files."""
    _needs_installed()
    with ExitStack() as parts:
        trap = parts.enter_context(Trap())
        recorder = _recorder(folder / "calls")
        under = recorder.under if recorder else ()
        whole = _demo(parts, folder / "whole", environment=trap.environment(), under=under)
        if recorder:
            parts.enter_context(recorder.watch(whole.pid))
        real = None
        if REAL_DATA.is_dir():
            program = _demo(parts, folder / "real", "--no-burst", "--data", str(REAL_DATA))
            real = Playing(folder / "real", program)
        yield Demos(Playing(folder / "whole", whole), real, trap, recorder)


def _demo(parts: ExitStack, state: Path, *arguments: str, **options: Any) -> Program:
    output = state.with_suffix(".txt")
    demo = Program("demo", "--state", str(state), *arguments, output=output, niceness=NICENESS, **options)
    return parts.enter_context(demo)


def _recorder(file: Path) -> Traced | LookedUp | None:
    if can_trace():
        return Traced(file)
    return LookedUp() if can_look() else None


def _needs_installed() -> None:
    for what, folder in (("Azurite", AZURITE), ("the ML environment", ML_VENV)):
        if not (folder / ".complete").is_file():
            pytest.fail(f"{what} is not installed: run `make setup`")
