"""What a person does with the workspace, over its REST API and with an identity: endpoints, trainings, monitors."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import httpx
from azure.core.credentials import TokenCredential

from local.service import REGION, workspace_id

API_VERSION: Final = "2024-04-01"
CONTROL_SCOPE: Final = "https://management.azure.com/.default"
DATA_SCOPE: Final = "https://ml.azure.com/.default"
POLL_SECONDS: Final = 0.2
_FINAL: Final = frozenset({"Completed", "Failed", "Canceled"})
_LAKE: Final = "azureml://datastores/lake/paths"


class WorkspaceRefused(RuntimeError):
    """The workspace did not do what it was asked; carries its answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What answers at an online endpoint, as the workspace tells it. `address`: the model's, as jobs take it."""

    deployment: str
    model: str
    version: str
    address: str

    def facts(self) -> dict[str, str]:
        return {"deployment": self.deployment, "model": self.model, "version": self.version}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """How an online endpoint is asked."""

    uri: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One call of the batch endpoint that trains, as somebody makes it who is not a reaction of Relearn.

    Attributes:
        name: stands where a reaction's id does; model and report are written below it.
        live: what the model is compared with; nothing before the first.
        on_target: train on the batch's newer data as well.
    """

    batch: str
    name: str
    attempt: int = 1
    reason: str
    live: Live | None = None
    on_target: bool = False
    regularisation: float | None = None

    @property
    def model_path(self) -> str:
        return f"models/diabetes-classifier/{self.name}-{self.attempt}/"

    def body(self) -> dict[str, Any]:
        raw = f"{_LAKE}/0-raw/diabetes/{self.batch}"
        report = f"{_LAKE}/3-gold/diabetes/{self.batch}/{self.name}-{self.attempt}/"
        inputs = {"baseline": _folder(f"{raw}/baseline/")}
        if self.on_target:
            inputs["target"] = _folder(f"{raw}/target/")
        if self.live is not None:
            inputs["live"] = {"jobInputType": "MLFlowModel", "uri": self.live.address}
            inputs |= {"live_name": _literal(self.live.model), "live_version": _literal(self.live.version)}
        if self.regularisation is not None:
            inputs["regularisation"] = _literal(self.regularisation)
        inputs |= {
            "reason": _literal(self.reason),
            "reaction_id": _literal(self.name),
            "attempt": _literal(str(self.attempt)),
            "model_uri": _literal(f"{_LAKE}/{self.model_path}"),
        }
        outputs = {
            "model": {"jobOutputType": "UriFolder", "uri": f"{_LAKE}/{self.model_path}"},
            "report": {"jobOutputType": "UriFolder", "uri": report},
        }
        wanted = {"inputData": inputs, "outputData": outputs, "properties": {"experimentName": "train-by-hand"}}
        return {"properties": wanted}


def _folder(uri: str) -> dict[str, Any]:
    return {"jobInputType": "UriFolder", "uri": uri}


def _literal(value: object) -> dict[str, Any]:
    return {"jobInputType": "Literal", "value": value}


class WorkspaceClient:
    """Asks one workspace.

    Args:
        url: of the resource manager.
        trust: whose certificates count.
    """

    def __init__(self, url: str, credential: TokenCredential, trust: ssl.SSLContext) -> None:
        self._root = f"{url}{workspace_id()}"
        self._credential = credential
        self._http = httpx.Client(verify=trust, trust_env=False, timeout=60)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Online endpoints

    def make_endpoint(self, name: str) -> None:
        """Makes an online endpoint that is asked with a key, unless it is there."""
        path = f"/onlineEndpoints/{name}"
        if self._find(path) is not None:
            return
        body = {
            "location": REGION,
            "identity": {"type": "SystemAssigned"},
            "properties": {"authMode": "Key", "description": "Tells who is likely to have diabetes."},
        }
        self._control("PUT", path, body)
        _until(lambda: self._state(path) == "Succeeded", 60, f"endpoint {name}")

    def scoring(self, name: str) -> Scoring:
        endpoint = self._control("GET", f"/onlineEndpoints/{name}")
        keys = self._control("POST", f"/onlineEndpoints/{name}/listKeys")
        return Scoring(uri=endpoint["properties"]["scoringUri"], key=keys["primaryKey"])

    def live(self, name: str) -> Live | None:
        """The deployment that gets all the traffic of an endpoint, and what it serves; None while there is none."""
        endpoint = self._find(f"/onlineEndpoints/{name}")
        traffic: Mapping[str, int] = endpoint["properties"]["traffic"] if endpoint else {}
        deployment = next((each for each, share in traffic.items() if share == 100), None)
        if deployment is None:
            return None
        found = self._control("GET", f"/onlineEndpoints/{name}/deployments/{deployment}")
        model_id = str(found["properties"]["model"]).removeprefix("azureml:")
        *_, model, _, version = model_id.split("/")
        return Live(deployment=found["name"], model=model, version=version, address=f"azureml:{model_id}")

    # Jobs and monitors

    def train(self, endpoint_uri: str, training: Training) -> str:
        """Invokes the batch endpoint; gives the job's name."""
        answer = self._ask("POST", endpoint_uri, DATA_SCOPE, training.body())
        return str(answer["name"])

    def wait_for_job(self, name: str, seconds: float) -> None:
        """Waits for a job's end.

        Raises:
            TimeoutError: it has not ended in time.
            WorkspaceRefused: it did not end as Completed.
        """
        _until(lambda: self._job(name)["status"] in _FINAL, seconds, f"job {name}")
        job = self._job(name)
        if job["status"] != "Completed":
            why = job["properties"].get("local.message", "it does not say why")
            raise WorkspaceRefused(f"job {name} ended as {job['status']}: {why}")

    def wait_until_live(self, endpoint: str, seconds: float) -> Live:
        """Raises TimeoutError: nothing has all the traffic of the endpoint in time."""
        _until(lambda: self.live(endpoint) is not None, seconds, f"a model that is live on {endpoint}")
        found = self.live(endpoint)
        if found is None:
            raise WorkspaceRefused(f"the model that was live on {endpoint} is no longer")
        return found

    def run_monitor(self, name: str) -> str:
        """Runs a monitor now, beside its schedule; gives the run's id."""
        return str(self._control("POST", f"/schedules/{name}/trigger")["submissionId"])

    def _job(self, name: str) -> dict[str, Any]:
        properties: dict[str, Any] = self._control("GET", f"/jobs/{name}")["properties"]
        return properties

    # Requests

    def _state(self, path: str) -> str:
        return str(self._control("GET", path)["properties"]["provisioningState"])

    def _control(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        return self._ask(method, self._address(path), CONTROL_SCOPE, body)

    def _find(self, path: str) -> dict[str, Any] | None:
        answer = self._send("GET", self._address(path), CONTROL_SCOPE, None)
        return None if answer.status_code == 404 else _content(answer)

    def _address(self, path: str) -> str:
        return f"{self._root}{path}?api-version={API_VERSION}"

    def _ask(self, method: str, url: str, scope: str, body: object) -> dict[str, Any]:
        return _content(self._send(method, url, scope, body))

    def _send(self, method: str, url: str, scope: str, body: object) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._credential.get_token(scope).token}"}
        return self._http.request(method, url, headers=headers, json=body)


def _content(answer: httpx.Response) -> dict[str, Any]:
    if not answer.is_success:
        raise WorkspaceRefused(f"{answer.request.method} {answer.url.path}: {answer.status_code}: {answer.text[:1000]}")
    content: dict[str, Any] = answer.json()
    return content


def _until(done: Callable[[], bool], seconds: float, waiting_for: str) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds:.0f} s still waiting for {waiting_for}")
        time.sleep(POLL_SECONDS)
