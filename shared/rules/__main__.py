"""`python -m shared.rules schema` prints the schema for editors; `check FILE` validates a file as the app does.

`docs FILE` writes anew what a page says of the language.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from shared.errors import ConfigurationError, Problem
from shared.rules.file import load
from shared.rules.reference import page
from shared.rules.schema import json_schema


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m shared.rules", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("schema", help="prints the JSON Schema of reactions.yaml")
    check = commands.add_parser(
        "check", help="names every problem of a rules file, run in the app's folder; exit code 1 if there is one"
    )
    check.add_argument("file", type=Path)
    check.add_argument("--settings", type=Path, required=True, help="local.settings.json-like file the rules refer to")
    docs = commands.add_parser("docs", help="writes the tables of docs/rules.md anew")
    docs.add_argument("page", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "schema":
        sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")
        return 0
    if arguments.command == "docs":
        arguments.page.write_text(page.written(arguments.page.read_text(encoding="utf-8")), encoding="utf-8")
        return 0
    return _check(arguments.file, arguments.settings)


def _check(file: Path, settings_file: Path) -> int:
    try:
        text = file.read_text(encoding="utf-8")
        settings = _settings(settings_file)
        rules = load(text, file=str(file), settings=settings, modified=datetime.now(UTC), folder=Path.cwd())
    except ConfigurationError as wrong:
        sys.stderr.write("".join(f"{problem}\n" for problem in wrong.problems))
        return 1
    except OSError as error:
        sys.stderr.write(f"{error.filename}: {error.strerror}\n")
        return 1
    except UnicodeDecodeError:
        sys.stderr.write(f"{file}: is not UTF-8\n")
        return 1
    sys.stdout.write(f"{file}: {len(rules.rules)} rule(s), no problem\n")
    return 0


def _settings(file: Path) -> dict[str, str]:
    try:
        settings: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))["Values"]
    except (ValueError, KeyError, TypeError):
        sample = "local.settings.sample.json"
        problem = Problem(where=str(file), message=f"must be JSON with the settings under Values, as {sample}")
        raise ConfigurationError([problem]) from None
    return settings


if __name__ == "__main__":
    sys.exit(main())
