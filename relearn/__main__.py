"""`python -m relearn COMMAND`: what an app does and has done, and having it done otherwise."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from relearn import arguments
from relearn.client import CallFailed, Client
from relearn.commands import NothingDone, run


def main(given: Sequence[str]) -> int:
    """The exit code: 0 done, 1 refused as things are, 2 wrong arguments, 3 not allowed, 4 not there, 5 no answer."""
    parser = arguments.parser()
    asked = parser.parse_args(given)
    if not asked.app or not asked.audience:
        parser.error(
            "which app? Say --app and --audience, or set RELEARN_APP_URL and RELEARN_API_AUDIENCE; "
            "docs/operations.md says where to find them"
        )
    for name, value in vars(asked).items():
        wrong = arguments.unfit(value)
        if wrong is not None:
            parser.error(f"{name} {wrong}")
    try:
        with Client(asked.app, asked.audience) as client:
            run(client, asked)
    except NothingDone as nothing:
        print(nothing, file=sys.stderr)
        return 1
    except CallFailed as failed:
        print(f"{failed}\n{failed.todo}".strip(), file=sys.stderr)
        return failed.exit_code
    except KeyboardInterrupt:
        print("interrupted; what was asked for so far is done", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read it has seen enough
        sys.stderr.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
