"""The faults of tests/mutants still fit into the code; whether the tests notice them, `make test-mutants` shows."""

from __future__ import annotations

import ast

import pytest

from tests.mutants.table import MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_fault_fits_once_and_leaves_code_that_can_be_read(mutant: Mutant) -> None:
    assert mutant.misfit() is None
    text = (ROOT / mutant.file).read_text(encoding="utf-8")
    assert mutant.file.startswith("shared/")
    assert mutant.new not in text or mutant.new in mutant.old
    ast.parse(text.replace(mutant.old, mutant.new))
    assert mutant.tests
    assert all((ROOT / test).is_file() for test in mutant.tests)


def test_no_two_faults_are_the_same() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert len({(mutant.file, mutant.new, mutant.old) for mutant in MUTANTS}) == len(MUTANTS)


def test_each_promise_is_broken_by_a_fault() -> None:
    assert {mutant.breaks for mutant in MUTANTS} == {1, 2, 3, 4, 5, 6}
