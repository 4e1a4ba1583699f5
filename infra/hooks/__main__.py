"""`python -m infra.hooks STEP`: what azure.yaml's hooks do."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Final

from infra.hooks import down, postdeploy, postprovision, preprovision
from infra.hooks.tools import HookFailed, environment

STEPS: Final[Mapping[str, Callable[[Mapping[str, str]], None]]] = {
    "preprovision": preprovision.run,
    "postprovision": postprovision.run,
    "postdeploy": postdeploy.run,
    "predown": down.before,
    "postdown": down.after,
}


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in STEPS:
        print(f"usage: python -m infra.hooks {'|'.join(STEPS)}", file=sys.stderr)
        return 2
    try:
        STEPS[arguments[0]](environment())
    except HookFailed as error:
        print("".join(f"relearn: {line}\n" for line in str(error).splitlines()), file=sys.stderr, end="")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
