"""The TLS front of storage: byte-transparent, counting calls, playing faults, raising blob events."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from starlette.routing import BaseRoute

from local.accesses import Accesses
from local.certificates import Certificates
from local.faults import Faults
from local.gateway.blob_changes import BlobChange, BlobListener
from local.gateway.blob_watch import BlobWatch
from local.gateway.calls import Call, Calls, StorageService
from local.gateway.proxy import Proxy
from local.gateway.relay import Relay
from local.gateway.upstream import Upstream
from local.gateway.wire import PIECE

__all__ = ["STORAGE_SERVICES", "BlobChange", "Call", "Calls", "Gateway", "StorageService"]

STORAGE_SERVICES: Final[tuple[StorageService, ...]] = ("blob", "queue", "table")
_BACKLOG: Final = 512


class Gateway:
    """Three listeners before Azurite's three.

    Faults match the path /{service}/{account}/{rest of the decoded path}, with ?comp=... where the request has
    one: "/table/app001/lanes(*", "/queue/*/wake-ups/messages", "/blob/*?comp=blocklist".
    """

    name = "storage"

    def __init__(
        self, certificates: Certificates, azurite_ports: Mapping[str, int], accesses: Accesses | None = None
    ) -> None:
        self.calls = Calls()
        self.faults = Faults("storage")
        self._certificates = certificates
        trust = certificates.client_context()
        self._upstreams = {service: Upstream(azurite_ports[service], trust) for service in STORAGE_SERVICES}
        relays = {service: Relay(upstream) for service, upstream in self._upstreams.items()}
        self._watch = BlobWatch(relays["blob"])
        self._proxies = {
            service: Proxy(
                service,
                relay=relay,
                calls=self.calls,
                faults=self.faults,
                watch=self._watch,
                accesses=accesses or Accesses(),
            )
            for service, relay in relays.items()
        }
        self._servers: list[asyncio.Server] = []

    def routes(self) -> Sequence[BaseRoute]:
        return []

    def state(self) -> dict[str, Any]:
        calls = self.calls.snapshot()
        return {"calls": {f"{call.account} {call.kind}": count for call, count in sorted(calls.items())}}

    def reset(self) -> None:
        self.calls.reset()
        self.faults.clear()

    def on_blob(self, listener: BlobListener) -> Callable[[], None]:
        """Call `listener` for every blob written or deleted, on the cloud's own thread; it must not block.

        Returns:
            What to call to hear no more.
        """
        return self._watch.add(listener)

    async def start(self, sockets: Mapping[StorageService, socket.socket]) -> None:
        context = self._certificates.server_context()
        for service, bound in sockets.items():
            server = await asyncio.start_server(
                self._proxies[service].accept, sock=bound, ssl=context, limit=PIECE, backlog=_BACKLOG
            )
            self._servers.append(server)

    async def stop(self) -> None:
        for server in self._servers:
            server.close()
        for proxy in self._proxies.values():
            await proxy.stop()
        for upstream in self._upstreams.values():
            upstream.close()
