"""The certificate every loopback listener shows, and the authority that vouches for it, kept in a folder."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from local.service import now

NAMES = ("127.0.0.1", "localhost")
LIFETIME = timedelta(days=365)
RENEW_BEFORE = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """Where the PEM files are. The authority's own key is never written: renewing makes a new authority."""

    ca_file: Path
    certificate_file: Path
    key_file: Path

    def server_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certificate_file, self.key_file)
        return context

    def client_context(self) -> ssl.SSLContext:
        """Trusts our authority and nobody else's."""
        return ssl.create_default_context(cafile=str(self.ca_file))

    def usable(self, at: datetime) -> bool:
        """Readable, belonging together, and not about to expire."""
        try:
            leaf = x509.load_pem_x509_certificate(self.certificate_file.read_bytes())
            authority = x509.load_pem_x509_certificate(self.ca_file.read_bytes())
            leaf.verify_directly_issued_by(authority)
            self.server_context()
        except (OSError, ValueError, InvalidSignature):  # an SSLError is an OSError
            return False
        return leaf.not_valid_before_utc <= at and at + RENEW_BEFORE < leaf.not_valid_after_utc


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, from its first byte on."""
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)


def ensure_certificates(folder: Path, at: datetime | None = None) -> Certificates:
    """The certificates of this folder; made anew when missing, unreadable or near their end."""
    certificates = Certificates(
        ca_file=folder / "ca.pem", certificate_file=folder / "server.pem", key_file=folder / "server.key"
    )
    moment = at or now()
    if not certificates.usable(moment):
        folder.mkdir(parents=True, exist_ok=True)
        _issue(certificates, moment)
    return certificates


def _issue(certificates: Certificates, moment: datetime) -> None:
    authority = trustme.CA(organization_name="Relearn local cloud")
    leaf = authority.issue_cert(*NAMES, not_after=moment + LIFETIME)
    write_private(certificates.key_file, leaf.private_key_pem.bytes())
    certificates.certificate_file.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    certificates.ca_file.write_bytes(authority.cert_pem.bytes())
