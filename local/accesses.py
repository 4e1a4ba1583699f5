"""Who asks what of the local cloud, by the token that is shown: told to whoever listens, kept by nobody."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from local.identity import client_of


class Access(NamedTuple):
    """One request, on whatever port: `service` is blob, queue or table, or arm for everything on the ARM address.

    `caller` is the client id in the token; it is empty where there is none, as with an endpoint's key. `path` is
    decoded; in storage it starts with the account and carries the `comp` of its query.
    """

    caller: str
    service: str
    method: str
    path: str


Listener = Callable[[Access], None]


class Accesses:
    """Where the fronts of the cloud say what they were asked. Costs nothing while nobody listens."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def on(self, listener: Listener) -> Callable[[], None]:
        """`listener` is called on the cloud's own thread and must not block; the answer removes it."""
        self._listeners = [*self._listeners, listener]

        def remove() -> None:
            self._listeners = [other for other in self._listeners if other is not listener]

        return remove

    def note(self, service: str, method: str, path: str, authorization: str | None) -> None:
        if not self._listeners:
            return
        access = Access(client_of(authorization), service, method, path)
        for listener in self._listeners:
            listener(access)
