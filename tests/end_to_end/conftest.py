"""The two demos that these tests look at. Both start with the first test that needs one, and run side by side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.bootstrap import AZURITE, ML_VENV
from tests.end_to_end.connections import LookedUp, Traced, can_look, can_trace
from tests.end_to_end.demos import REAL_DATA, Demo, TrappedDemo
from tests.end_to_end.program import Program
from tests.end_to_end.trap import Trap

DEMO_SECONDS = 360.0


@dataclass
class _Playing:
    state: Path
    program: Program

    def end(self) -> Demo:
        exit_code = self.program.wait(DEMO_SECONDS)
        return Demo(state=self.state, exit_code=exit_code, said=self.program.said())


@dataclass
class _Both:
    whole: _Playing
    trapped: _Playing
    trap: Trap
    recorder: Traced | LookedUp | None


@pytest.fixture(scope="session")
def _playing(_clean_environment: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Both]:
    """The whole demo, and one on the real data, if it is here, without the burst; its environment leads outside."""
    _needs_installed()
    folder = tmp_path_factory.mktemp("demos")
    data = ("--data", str(REAL_DATA)) if REAL_DATA.is_dir() else ()
    with ExitStack() as parts:
        whole = _Playing(folder / "whole", _demo(parts, folder / "whole"))
        trap = parts.enter_context(Trap())
        recorder = _recorder(folder / "calls")
        other = _demo(
            parts,
            folder / "trapped",
            *("--no-burst", *data),
            environment=trap.environment(),
            under=recorder.under if recorder else (),
        )
        if recorder:
            parts.enter_context(recorder.watch(other.pid))
        yield _Both(whole, _Playing(folder / "trapped", other), trap, recorder)


def _demo(parts: ExitStack, state: Path, *arguments: str, **options: Any) -> Program:
    output = state.with_suffix(".txt")
    return parts.enter_context(Program("demo", "--state", str(state), *arguments, output=output, **options))


def _recorder(file: Path) -> Traced | LookedUp | None:
    if can_trace():
        return Traced(file)
    return LookedUp() if can_look() else None


def _needs_installed() -> None:
    for what, folder in (("Azurite", AZURITE), ("the ML environment", ML_VENV)):
        if not (folder / ".complete").is_file():
            pytest.fail(f"{what} is not installed: run `make setup`")


@pytest.fixture(scope="session")
def demo(_playing: _Both) -> Demo:
    """The whole demo, ended."""
    return _playing.whole.end()


@pytest.fixture(scope="session")
def trapped_demo(_playing: _Both) -> TrappedDemo:
    """The demo without its burst in an environment that leads outside, ended."""
    ended = _playing.trapped.end()
    return TrappedDemo(
        state=ended.state,
        exit_code=ended.exit_code,
        said=ended.said,
        visitors=list(_playing.trap.visitors),
        connections=_playing.recorder.connections() if _playing.recorder else set(),
        followed=_playing.recorder.followed() if _playing.recorder else set(),
    )
