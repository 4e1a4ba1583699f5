"""A request is one request, however often it arrives and whatever dies meanwhile."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.acts import Acts, Request
from tests.fakes import FakeClock, FakeRecent

WHO = Request(id="request-1", by="ada@example.com", reason="why")


class Work:
    def __init__(self) -> None:
        self.done = 0

    def __call__(self) -> dict[str, object]:
        self.done += 1
        return {"done": self.done}


def test_a_request_that_arrives_again_is_answered_as_the_first_time() -> None:
    clock, recent, work = FakeClock(), FakeRecent(), Work()
    acts = Acts(recent=recent, clock=clock)
    assert acts.once(WHO, "pause x", work) == {"done": 1}
    clock.advance(timedelta(hours=25))  # the day after
    assert acts.once(WHO, "pause x", work) == {"done": 1, "repeated": True}
    assert acts.once(WHO, "pause y", work) == {"done": 2}  # another page, or another rule, is other work
    assert acts.once(Request(id="request-2", by="bob", reason="why"), "pause x", work) == {"done": 3}
    assert sorted((act.by, act.what) for act in acts.listed(2)) == [
        ("ada@example.com", "pause x"),
        ("ada@example.com", "pause y"),
        ("bob", "pause x"),
    ]


def test_what_died_before_it_was_kept_is_done_again() -> None:
    recent, work = FakeRecent(), Work()
    acts = Acts(recent=recent, clock=FakeClock())

    def dies(_number: int, what: str) -> None:
        if what == "keep act":
            raise ConnectionError(what)

    recent.storage.before_call = dies
    with pytest.raises(ConnectionError):
        acts.once(WHO, "cancel x", work)
    recent.storage.before_call = lambda _number, _what: None
    assert acts.once(WHO, "cancel x", work) == {"done": 2}


def test_what_is_refused_is_not_kept() -> None:
    acts = Acts(recent=FakeRecent(), clock=FakeClock())

    def refuses() -> dict[str, object]:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        acts.once(WHO, "cancel x", refuses)
    assert acts.listed(1) == []
