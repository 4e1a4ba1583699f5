"""Who may call: the bearer token's form, audience and time are checked; its signature cannot be."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Collection
from typing import Any

from local.service import now


def objection(authorization: str | None, audiences: Collection[str]) -> str | None:
    """Why these credentials are not taken; None if they are. Without audiences, any token's will do."""
    kind, _, token = (authorization or "").partition(" ")
    if kind.lower() != "bearer" or not token.strip():
        return "the Authorization header with a bearer token is missing"
    claims = _claims(token.strip())
    if claims is None:
        return "the bearer token is not a JWT"
    expiry = claims.get("exp")
    if not isinstance(expiry, (int, float)) or expiry < now().timestamp():
        return "the bearer token has expired"
    audience = str(claims.get("aud", "")).rstrip("/")
    if audiences and audience not in audiences:
        return f"the bearer token is for {audience or 'nobody'}, not for {' or '.join(sorted(audiences))}"
    return None


def _claims(token: str) -> dict[str, Any] | None:
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return None
    return claims if isinstance(claims, dict) else None
