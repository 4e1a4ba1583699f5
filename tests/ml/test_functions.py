"""What runs where pandas and scikit-learn are: the pure functions, the steps' refusals, and other people's models."""

from __future__ import annotations

import pytest

from tests.ml.conftest import run_inside

pytestmark = pytest.mark.ml


@pytest.mark.parametrize("name", ["functions.py", "refusals.py", "others.py"])
def test_it_holds_inside_the_ml_environment(run_python, name):
    run_inside(run_python, name)
