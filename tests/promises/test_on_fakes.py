"""The promises hold, whatever happens: thousands of steps on the fake ledger.

A longer run: `PROMISES_EXAMPLES=3000 python -m pytest tests/promises/test_on_fakes.py`; it is another one each time.
"""

from __future__ import annotations

import pytest

from tests.promises.calls import Mood, Trouble
from tests.promises.machine import Promises
from tests.promises.running import EXAMPLES, run, told

MUST_HAPPEN = {
    "a process dies": (Trouble.DEATH_BEFORE, Trouble.DEATH_AFTER),
    "storage or a target throttles": (Trouble.THROTTLED,),
    "an answer is lost": (Trouble.LOST,),
    "a call is slow": (Trouble.SLOW,),
    "a target is busy": (f"start: {Mood.BUSY}", f"start: {Mood.BUSY_FOR}"),
    "a start is in doubt": (f"start: {Mood.LOST}", f"start: {Mood.UNREACHED}", f"start: {Mood.TAKEN}"),
    "a question is not answered": ("questions unanswered",),
    "an event comes twice": ("duplicates",),
    "several act at once": ("switches between processes",),
    "a wake-up is poisoned": ("wake-ups poisoned",),
    "something is started": ("starts",),
}


@pytest.mark.timeout(180 + 2 * EXAMPLES)
def test_the_promises_hold_on_the_fake_ledger(capsys: pytest.CaptureFixture[str]) -> None:
    totals = run(Promises, examples=300, steps=50)
    with capsys.disabled():
        print(f"\npromises on fakes: {told(totals)}")
    assert totals["steps"] > 6000
    # A machine that troubles nobody proves nothing.
    missing = [what for what, counted in MUST_HAPPEN.items() if not any(totals[each] for each in counted)]
    assert not missing, f"never tried: {missing}"
