"""The two demos, ended. They began with the session, where a test of it looks at them."""

from __future__ import annotations

import pytest

from tests.end_to_end.demos import Demo, TrappedDemo
from tests.end_to_end.playing import Both


@pytest.fixture(scope="session")
def demo(demos_meanwhile: Both) -> Demo:
    """The whole demo, ended."""
    return demos_meanwhile.whole.end()


@pytest.fixture(scope="session")
def trapped_demo(demos_meanwhile: Both) -> TrappedDemo:
    """The demo without its burst in an environment that leads outside, ended."""
    ended = demos_meanwhile.trapped.end()
    recorder = demos_meanwhile.recorder
    return TrappedDemo(
        state=ended.state,
        exit_code=ended.exit_code,
        said=ended.said,
        visitors=list(demos_meanwhile.trap.visitors),
        connections=recorder.connections() if recorder else set(),
        followed=recorder.followed() if recorder else set(),
    )
