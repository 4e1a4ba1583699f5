"""What runs where pandas and scikit-learn are: the pure functions, and each step's refusals."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.ml

INSIDE = Path(__file__).parent / "inside"


@pytest.mark.parametrize("name", ["functions.py", "refusals.py"])
def test_it_holds_inside_the_ml_environment(run_python, name):
    file = INSIDE / name
    expected = len(re.findall(r"^    def test_", file.read_text(encoding="utf-8"), re.MULTILINE))

    done = run_python("-W", "error::DeprecationWarning", "-W", "error::FutureWarning", "-m", "unittest", file)

    assert done.returncode == 0, done.stderr
    assert f"Ran {expected} tests" in done.stderr
