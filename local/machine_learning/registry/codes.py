"""Uploads of code: a container for each, opened by a signed address, fetched when the code is registered."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.machine_learning.datastores import Datastores


class NoUploads(RuntimeError):
    """This workspace was given no storage for code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploads:
    """Where uploads go. In Azure it is the workspace's own storage account; here it is the lake's.

    Attributes:
        account_url: of its blob service.
        sign: makes the query of a shared access signature for a container.
    """

    account_url: str
    sign: Callable[[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Codes:
    """Takes code in. `folder` is where it is kept on this machine, to run."""

    folder: Path
    datastores: Datastores
    uploads: Uploads | None

    def begin(self) -> dict[str, Any]:
        """The answer that tells a client where to upload to: a new container each time, as in Azure.

        Raises:
            NoUploads: there is nowhere to upload to.
        """
        if self.uploads is None:
            raise NoUploads("uploads of code")
        name = f"code-{uuid.uuid4()}"
        url = f"{self.uploads.account_url}/{name}"
        self.datastores.make_container(url)
        return {
            "pendingUploadId": str(uuid.uuid4()),
            "pendingUploadType": "TemporaryBlobReference",
            "blobReferenceForConsumption": {
                "blobUri": url,
                "storageAccountArmId": None,
                "credential": {"credentialType": "SAS", "sasUri": f"{url}?{self.uploads.sign(name)}"},
            },
        }

    def fetch(self, name: str, version: str, uri: str) -> Path | None:
        """The uploaded folder on this machine; None if the address is not one of this cloud's storage.

        Raises:
            DataError: there is nothing below the address.
        """
        if not self.datastores.is_ours(uri):
            return None
        folder = self.folder / name / version
        return self.datastores.download_folder(uri, folder, threading.Event())
