"""The routes of models, codes, environments, components and data."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from local.machine_learning.answers import Answers, Refused, missing
from local.machine_learning.datastores import DataError
from local.machine_learning.doors import Doors, Handler, json_body
from local.machine_learning.registry.answers import RegistryAnswers
from local.machine_learning.registry.assets import Asset, Immutable, InvalidAsset, Model, ModelBody
from local.machine_learning.registry.codes import Codes, NoUploads
from local.machine_learning.registry.components import keep_component
from local.machine_learning.registry.registry import Registry
from local.service import original_params, original_path

PAGE: Final = 100
_VIEWS: Final[Mapping[str, Callable[[Model], bool]]] = {
    "activeonly": lambda model: not model.archived,
    "archivedonly": lambda model: model.archived,
    "all": lambda model: True,
}
_ORDERS: Final[Mapping[str, tuple[str, bool]]] = {
    "createdtime desc": ("created", True),
    "createdtime asc": ("created", False),
    "createdtime": ("created", False),
    "modifiedtime desc": ("modified", True),
    "modifiedtime asc": ("modified", False),
    "modifiedtime": ("modified", False),
}
_OTHER_FILTERS: Final = frozenset({"feed", "offset", "stage", "tags", "properties", "version"})


class RegistryRoutes:
    """Serves the registered assets of one workspace."""

    def __init__(self, registry: Registry, codes: Codes, answers: Answers, doors: Doors) -> None:
        self._registry = registry
        self._codes = codes
        self._answers = RegistryAnswers(answers)
        self._doors = doors
        self._url = answers.url

    def all(self) -> Sequence[BaseRoute]:
        control = self._doors.control
        routes: list[BaseRoute] = [
            control("GET", "/models", self._list_models),
            control("GET", "/models/{name}", self._get_model),
            control("GET", "/models/{name}/versions", self._list_versions),
            control("GET", "/models/{name}/versions/{version}", self._get_version),
            control("PUT", "/models/{name}/versions/{version}", self._put_version),
        ]
        # Nothing is known to read what stands above the versions but of models; it is not served.
        for kind in ("codes", "environments", "components", "data"):
            routes += [
                control("GET", f"/{kind}/{{name}}/versions", self._listing_assets(kind)),
                control("GET", f"/{kind}/{{name}}/versions/{{version}}", self._getting_asset(kind)),
                control("PUT", f"/{kind}/{{name}}/versions/{{version}}", self._putting_asset(kind)),
            ]
        routes.append(control("POST", "/codes/{name}/versions/{version}/startpendingupload", self._begin_upload))
        return routes

    async def _list_models(self, request: Request) -> Response:
        wanted = _view(request)
        containers = [versions for versions in self._registry.models() if any(map(wanted, versions))]
        next_version = self._registry.next_version
        shown = [self._answers.container(versions, next_version(versions[-1].name)) for versions in containers]
        return self._page(request, shown)

    async def _get_model(self, request: Request) -> Response:
        versions = self._registry.versions(request.path_params["name"])
        if not versions:
            raise missing(f"model {original_params(request)['name']!r}")
        return JSONResponse(self._answers.container(versions, self._registry.next_version(versions[-1].name)))

    async def _list_versions(self, request: Request) -> Response:
        """Newest first unless asked for another order, as AML was seen to do. Of an unknown model: none."""
        found = list(filter(_view(request), self._registry.versions(request.path_params["name"])))
        text = request.query_params.get("$orderBy", "createdtime desc").lower()
        if text not in _ORDERS:
            raise Refused(400, "UserError", f"$orderBy {text!r} is none of {', '.join(_ORDERS)}.")
        field, descending = _ORDERS[text]
        # Of several that came at once, the one registered last is the newest: reversed before a stable sort.
        ordered = found[::-1] if descending else found
        ordered.sort(key=lambda model: getattr(model, field), reverse=descending)
        return self._page(request, [self._answers.model(model) for model in ordered])

    async def _get_version(self, request: Request) -> Response:
        asked = original_params(request)
        model = self._registry.model(asked["name"], asked["version"])
        if model is None:
            raise missing(f"version {asked['version']!r} of model {asked['name']!r}")
        return JSONResponse(self._answers.model(model))

    async def _put_version(self, request: Request) -> Response:
        asked = original_params(request)
        try:
            body = ModelBody.read(await json_body(request))
            model, new = self._registry.put(asked["name"], asked["version"], body)
        except InvalidAsset as problem:
            raise Refused(400, "UserError", f"The model cannot be registered: {problem}.") from problem
        except Immutable as problem:  # the service's own words for this are not known
            raise Refused(409, "Conflict", f"{problem}; register a new version.") from problem
        return JSONResponse(self._answers.model(model), status_code=201 if new else 200)

    def _listing_assets(self, kind: str) -> Handler:
        async def listing(request: Request) -> Response:
            found = self._registry.assets(kind, request.path_params["name"])[::-1]
            if wanted := request.query_params.get("hash"):  # the client asks whether it need upload a folder
                found = [asset for asset in found if _hash_of(asset) == wanted]
            return self._page(request, [self._answers.asset(asset) for asset in found])

        return listing

    def _getting_asset(self, kind: str) -> Handler:
        async def getting(request: Request) -> Response:
            asked = original_params(request)
            asset = self._registry.asset(kind, asked["name"], asked["version"])
            if asset is None:
                raise missing(f"version {asked['version']!r} of {asked['name']!r} in {kind}")
            return JSONResponse(self._answers.asset(asset))

        return getting

    def _putting_asset(self, kind: str) -> Handler:
        async def putting(request: Request) -> Response:
            asked = original_params(request)
            body = await json_body(request)
            given = body.get("properties") if isinstance(body, Mapping) else None
            if not isinstance(given, Mapping):
                raise Refused(400, "UserError", "The body has no 'properties' object.")
            known = self._registry.asset(kind, asked["name"], asked["version"])
            try:
                asset = await asyncio.to_thread(self._put, kind, asked["name"], asked["version"], given)
            except (InvalidAsset, DataError) as problem:
                raise Refused(400, "UserError", f"It cannot be registered: {problem}.") from problem
            except Immutable as problem:  # the service's own words for this are not known
                raise Refused(409, "Conflict", f"{problem}; register a new version.") from problem
            return JSONResponse(self._answers.asset(asset), status_code=200 if known else 201)

        return putting

    def _put(self, kind: str, name: str, version: str, given: Mapping[str, Any]) -> Asset:
        known = self._registry.asset(kind, name, version)
        folder = known.folder if known else None
        if kind == "codes":
            folder = self._codes.fetch(name, version, str(given.get("codeUri"))) or folder
            return self._registry.put_asset(kind, name, version, given, folder)
        if kind == "components" and known is None:
            find, below = self._registry.find_asset, self._codes.folder.parent / "components"
            folder = keep_component(below, name, version, given.get("componentSpec"), find).parent
        return self._registry.put_version(kind, name, version, given, folder)

    async def _begin_upload(self, request: Request) -> Response:
        try:
            return JSONResponse(await asyncio.to_thread(self._codes.begin))
        except NoUploads as problem:
            raise Refused(501, "NotImitatedLocally", f"This workspace has no {problem}.") from problem

    def _page(self, request: Request, shown: list[dict[str, Any]]) -> Response:
        """$top cuts the list; without it, long lists come in pages, by $skip."""
        if unknown := _OTHER_FILTERS & request.query_params.keys():
            raise Refused(501, "NotImitatedLocally", f"Filtering by {', '.join(sorted(unknown))} is not imitated.")
        start = _number(request, "$skip") or 0
        top = _number(request, "$top")
        shown = shown[start:]
        if top is not None:
            return JSONResponse({"value": shown[:top]})
        answer: dict[str, Any] = {"value": shown[:PAGE]}
        if len(shown) > PAGE:
            query = urlencode({**request.query_params, "$skip": start + PAGE})
            answer["nextLink"] = f"{self._url}{original_path(request)}?{query}"
        return JSONResponse(answer)


def _view(request: Request) -> Callable[[Model], bool]:
    name = request.query_params.get("listViewType", "ActiveOnly")
    if name.lower() not in _VIEWS:
        raise Refused(400, "UserError", f"listViewType {name!r} is none of ActiveOnly, ArchivedOnly, All.")
    return _VIEWS[name.lower()]


def _hash_of(asset: Asset) -> object:
    properties = asset.properties.get("properties")
    return properties.get("hash_sha256") if isinstance(properties, Mapping) else None


def _number(request: Request, name: str) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    if not text.isdecimal():
        raise Refused(400, "UserError", f"{name} must be a number, not {text!r}.")
    return int(text)
