"""An environment that leads outside: credentials and proxies like a developer's, all of them pointing into a trap."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self

SECRET = "Zq7~8Q~trapSecretThatMustNotBeWrittenAnywhere.x1"


class Trap:
    """A listener that hangs up on whoever comes, and remembers."""

    def __init__(self) -> None:
        self.visitors: list[str] = []
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._thread = threading.Thread(target=self._wait_for_visitors, daemon=True)
        self._thread.start()

    def _wait_for_visitors(self) -> None:
        with contextlib.suppress(OSError):  # it was closed
            while True:
                connection, address = self._socket.accept()
                self.visitors.append(f"{address[0]}:{address[1]}")
                connection.close()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def environment(self) -> dict[str, str]:
        proxies = {
            spelled: f"http://{self.address}"
            for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
            for spelled in (name, name.lower())
        }
        return {
            **proxies,
            "no_proxy": "example.org",  # the lower-case spelling wins over NO_PROXY
            "AZURE_CLIENT_ID": "3f1c2a54-9d0e-4b7a-8c11-5f2f6f0a7b01",
            "AZURE_CLIENT_SECRET": SECRET,
            "AZURE_TENANT_ID": "72f988bf-86f1-41af-91ab-2d7cd011db47",
            "AZURE_AUTHORITY_HOST": f"https://{self.address}",
            "IDENTITY_ENDPOINT": f"http://{self.address}/msi/token",
            "IDENTITY_HEADER": "somebody-elses",
            "MSI_ENDPOINT": f"http://{self.address}/msi/token",
            "RELEARN_ARM_ENDPOINT": f"https://{self.address}",
            "AzureWebJobsStorage": f"BlobEndpoint=http://{self.address}/a;AccountName=a;AccountKey={SECRET}",
            "RelearnStorage": f"TableEndpoint=http://{self.address}/a;AccountName=a;AccountKey={SECRET}",
            "APPLICATIONINSIGHTS_CONNECTION_STRING": f"InstrumentationKey=1;IngestionEndpoint=http://{self.address}/",
            "MLFLOW_TRACKING_URI": f"http://{self.address}",
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
