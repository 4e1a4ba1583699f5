"""`python -m infra.pipelines.environment`: azd's environment on a machine that has just been started."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable

from infra.hooks import parameters
from infra.hooks.tools import CommandFailed, HookFailed, run
from infra.pipelines.rest import PipelineFailed, required

MORE = ("RELEARN_COST_CENTER", "RELEARN_MONITORED_BATCHES")
ALLOWED = frozenset({*parameters.FORMS, *parameters.EXISTING, *MORE}) - {"AZURE_ENV_NAME"}
"""What may be a parameter. What the deployment finds out for itself may not."""


UNSET = "$(RELEARN_PARAMETERS)"
"""What Azure DevOps leaves in the place of a variable that nobody has set."""


def settings(text: str) -> dict[str, str]:
    """NAME=value, a line each or separated by semicolons; empty lines and lines with # are nothing.

    Raises:
        PipelineFailed: a line that is neither, or a name that is no parameter.
    """
    found: dict[str, str] = {}
    if text.strip() == UNSET:
        return found
    for line in filter(None, (each.strip() for each in re.split(r"[\n;]", text))):
        if line.startswith("#"):
            continue
        name, sign, value = line.partition("=")
        if not sign or name.strip() not in ALLOWED:
            raise PipelineFailed(f"RELEARN_PARAMETERS: {line[:60]!r} is no parameter; docs/deploy.md lists them")
        found[name.strip()] = value.strip()
    return found


def main(command: Callable[[list[str]], str] = run) -> int:
    try:
        name = required("AZURE_ENV_NAME")
        wanted = settings(os.environ.get("RELEARN_PARAMETERS", ""))
        wanted.setdefault("AZURE_PRINCIPAL_TYPE", os.environ.get("AZURE_PRINCIPAL_TYPE", "") or "ServicePrincipal")
        where = ["--subscription", required("AZURE_SUBSCRIPTION_ID"), "--location", required("AZURE_LOCATION")]
        try:
            command(["azd", "env", "new", name, *where, "--no-prompt"])
        except CommandFailed as error:
            if "already exists" not in error.output:
                raise
        for key, value in wanted.items():
            command(["azd", "env", "set", key, value, "--environment", name])
    except (PipelineFailed, HookFailed) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
