"""Microsoft's evaluator and the local interpreter agree about every ADF expression that ships, and say so in a record.

The record is made by `make adf-evaluator`. Where that evaluator is installed it is asked again.
"""

from __future__ import annotations

import json
import shutil

import pytest

from tests.infra import adf_evaluator, adf_expressions


@pytest.fixture(scope="module")
def record():
    return adf_expressions.read_record()


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(adf_expressions.ADF, tmp_path / "adf")


def uncovered(pairs, folder=adf_expressions.ADF):
    """Questions that infra/adf raises today and the record does not answer, and answers that nothing asks for."""
    asked = {question(each) for each in adf_expressions.pipeline_questions(folder)}
    answered = {question(each) for each in pairs if "reads" in each}
    return {expression for expression, _ in asked ^ answered}


def question(pair):
    return pair["expression"], json.dumps([pair["reads"], pair["values"]])


def test_the_local_interpreter_says_what_microsofts_evaluator_says(record):
    assert list(adf_expressions.disagreements(record)) == []


def test_every_expression_is_recorded_in_every_state_and_nothing_else(record):
    assert uncovered(record) == set()


def test_every_documented_function_and_edge_is_recorded(record):
    asked = [each["expression"] for each in adf_expressions.function_questions()]
    assert [each["expression"] for each in record if "reads" not in each] == asked


def test_the_record_names_the_evaluator_that_would_be_installed():
    assert json.loads(adf_expressions.RECORD.read_text())["evaluator"] == adf_evaluator.VERSION


def test_a_job_is_waited_for_exactly_until_its_end(record):
    """Both ways, by Microsoft's evaluator: a spelling that never holds would keep a loop going for hours."""
    start = "@contains(createArray('Completed', 'Failed', 'Canceled'), variables("
    loops = [each for each in record if each["expression"].startswith(start)]
    ended = {(*each["reads"], *each["values"]) for each in loops if each.get("value") is True}
    waited_for = {status for _, status in ended}
    assert len({read for read, _ in ended}) == 3
    assert waited_for == {"Completed", "Failed", "Canceled"}
    assert {"Running", "NotStarted", ""} <= {each["values"][0] for each in loops if each.get("value") is False}


@pytest.mark.skipif(not adf_evaluator.is_here(), reason="Microsoft's evaluator is not installed: make adf-evaluator")
def test_microsofts_evaluator_still_says_what_is_recorded(tmp_path):
    asked = adf_expressions.questions()
    pairs = [{**each, **said} for each, said in zip(asked, adf_evaluator.ask(asked), strict=True)]
    assert list(adf_expressions.disagreements(pairs)) == []
    adf_expressions.write_record(adf_evaluator.VERSION, pairs, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == adf_expressions.RECORD.read_text()


def change_expression(folder, old, new):
    path = folder / "pipeline" / "train-diabetes.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_new_expression_must_be_recorded(record, folder):
    change_expression(
        folder, "@last(split(pipeline().parameters.live, '/'))", "@last(split(pipeline().parameters.live, ':'))"
    )
    assert uncovered(record, folder) == {
        "@last(split(pipeline().parameters.live, ':'))",
        "@last(split(pipeline().parameters.live, '/'))",
    }


def test_an_expression_in_a_new_file_must_be_recorded(record, folder):
    (folder / "linkedService").mkdir(exist_ok=True)
    added = {"name": "l", "properties": {"parameters": {}, "url": "@{concat('a', 'b')}", "activities": []}}
    (folder / "linkedService" / "l.json").write_text(json.dumps(added))
    assert uncovered(record, folder) == {"@{concat('a', 'b')}"}


def test_an_expression_that_no_state_can_be_made_for_says_so(folder):
    change_expression(folder, "@pipeline().parameters.reason", "@pipeline().RunId")
    with pytest.raises(ValueError, match=r"@pipeline\(\)\.RunId: pipeline is read in a way"):
        uncovered([], folder)


WRONG = {
    "last gives the first": ("@last(", lambda value: "azureml:" if isinstance(value, str) else value),
    "Failed does not end a loop": ("@contains(createArray(", lambda value: False if value is True else value),
    "a number becomes text": ("@pipeline().globalParameters.pollSeconds", str),
    "an interpolation loses a space": ("azureml://", lambda value: value.replace(" ", "")),
    "null becomes empty": ("@activity('CheckPrep')", lambda value: value or ""),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_interpreter_that_disagrees_is_noticed(record, name):
    start, spoil = WRONG[name]

    def wrong(expression, state):
        answer = adf_expressions.local_answer(expression, state)
        return {"value": spoil(answer["value"])} if expression.startswith(start) and "value" in answer else answer

    assert any(said.startswith(start) for said in adf_expressions.disagreements(record, wrong))


def test_an_interpreter_that_does_not_refuse_is_noticed(record):
    def lenient(expression, state):
        answer = adf_expressions.local_answer(expression, state)
        return answer if "value" in answer else {"value": ""}

    assert any("refuses" in said for said in adf_expressions.disagreements(record, lenient))


def test_what_is_refused_here_on_purpose_must_be_refused(record):
    """An expression leaves the list of what is not imitated when it is."""

    def able(expression, state):
        return {"value": 1000} if expression == "@int('1,000')" else adf_expressions.local_answer(expression, state)

    assert list(adf_expressions.disagreements(record, able)) == ["@int('1,000'): agrees, and need not be listed"]
