"""What a deployment answers, from the real inference server: the seed's request and answer, and clear refusals."""

from __future__ import annotations

import json
import threading

import pytest

from local.machine_learning.online.answering import Question
from local.machine_learning.online.servers import Server
from tests.ml.conftest import PYTHON, ROOT, folder_of, python_environment, rows

pytestmark = pytest.mark.ml

REQUEST = ROOT / "ml" / "samples" / "diabetes-request.json"
FEATURES = list(json.loads(REQUEST.read_text(encoding="utf-8"))["data"][0])


@pytest.fixture(scope="module")
def ask(trained, tmp_path_factory):
    """Asks a deployment of the trained model whose folder lies, as in Azure, somewhere below the model folder."""
    folder = tmp_path_factory.mktemp("deployment")
    model = folder_of(folder / "azureml-models" / "1" / "model", *trained.model.iterdir())
    code = folder_of(folder / "code", ROOT / "ml" / "serving" / "score.py")
    environment = {**python_environment(), "AZUREML_MODEL_DIR": str(model.parents[1])}
    arguments = ["--entry_script", str(code / "score.py")]
    server = Server(PYTHON, arguments, folder=code, environment=environment, log=folder / "server.log")

    def answer(body: bytes):
        headers = {"Content-Type": "application/json"}
        return server.answer(Question(endpoint="e", deployment="d", body=body, headers=headers, seconds=30))

    try:
        up = server.wait_until_healthy(60, threading.Event())
        assert up, server.record.log.read_text(errors="replace")[-3000:]
        yield answer
    finally:
        server.stop()


def test_the_samples_request_gets_an_answer_per_patient(ask):
    said = ask(REQUEST.read_bytes())

    assert said.status == 200
    result = json.loads(said.body)["result"]
    assert result == [0, 1, result[2]]
    assert len(result) == len(json.loads(REQUEST.read_bytes())["data"])


def test_the_answers_are_the_models_whatever_else_a_row_holds(ask, run_step, trained, sample, tmp_path):
    patients = rows(sample / "diabetes.csv")[:50]
    (tmp_path / "bronze").mkdir()
    lines = [",".join(patients[0]), *(",".join(patient.values()) for patient in patients)]
    (tmp_path / "bronze" / "diabetes.csv").write_text("\n".join(lines) + "\n")
    stamps = {"reaction_id": "r", "attempt": "1"}
    done = run_step("score", bronze=tmp_path / "bronze", model=trained.model, **stamps, silver=tmp_path / "silver")
    assert done.returncode == 0, done.stderr

    # Texts for numbers, whole numbers for doubles, columns the model does not know: all of it is taken.
    said = json.loads(ask(json.dumps({"data": patients}).encode()).body)

    assert said == {"result": [int(row["Diabetes"]) for row in rows(tmp_path / "silver" / "diabetes.csv")]}


GOOD = dict.fromkeys(FEATURES, 1)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The body is not JSON"),
        (b"{", "The body is not JSON"),
        (b"[1, 2]", "The body has no list 'data' of objects"),
        (b'{"rows": []}', "The body has no list 'data' of objects"),
        (b'{"data": []}', "The body has no list 'data' of objects, at least one"),
        (b'{"data": [[1, 2, 3]]}', "The body has no list 'data' of objects"),
        (json.dumps({"data": [{"Age": 30}]}).encode(), "data: column Pregnancies, PlasmaGlucose, "),
        (json.dumps({"data": [{**GOOD, "BMI": "heavy"}]}).encode(), "data: column BMI holds what is not a number"),
        (json.dumps({"data": [GOOD, {**GOOD, "Age": None}]}).encode(), "data: column Age holds what is not a number"),
        (json.dumps({"data": [{**GOOD, "Age": [1]}]}).encode(), "data: column Age holds what is not a number"),
        (b'{"data": [{"Age": 1' + b"0" * 5_000 + b"}]}", "data: column Pregnancies, "),
        (json.dumps({"data": [GOOD]}).replace('"Age": 1', '"Age": 1' + "0" * 5_000).encode(), "data: column Age holds"),
    ],
)
def test_a_body_that_is_no_request_is_refused_and_said_why(ask, body, message):
    said = ask(body)

    assert (said.status, message in json.loads(said.body)["error"]) == (400, True), said.body
    assert said.headers["x-ms-run-function-failed"] == "False"
