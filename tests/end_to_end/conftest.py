"""The demos, ended. They began with the session, where a test of it looks at them."""

from __future__ import annotations

import pytest

from tests.end_to_end.demos import Demo, TrappedDemo
from tests.end_to_end.playing import Demos


@pytest.fixture(scope="session")
def demo(demos_meanwhile: Demos) -> TrappedDemo:
    """The whole demo, in an environment that leads outside, ended."""
    ended = demos_meanwhile.whole.end()
    recorder = demos_meanwhile.recorder
    return TrappedDemo(
        state=ended.state,
        exit_code=ended.exit_code,
        said=ended.said,
        visitors=list(demos_meanwhile.trap.visitors),
        connections=recorder.connections() if recorder else set(),
        followed=recorder.followed() if recorder else set(),
    )


@pytest.fixture(scope="session")
def real_demo(demos_meanwhile: Demos) -> Demo:
    """The demo on the real files, without its burst, ended."""
    if demos_meanwhile.real is None:
        pytest.skip("the real files are not on this machine (shared/data/diabetes)")
    return demos_meanwhile.real.end()
