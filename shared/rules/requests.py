"""Reads a smoke test's request: a file beside the app, so that a request that cannot be sent is found at once."""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath
from typing import Final, NoReturn

_LARGEST: Final = 16 * 1024


def read_request(name: str, folder: Path | None) -> str:
    """The text of a request: a JSON object with the list `data`.

    Args:
        name: of the file, relative to the folder and within it.

    Raises:
        ValueError: with what is wrong with the name or the file.
    """
    text = _text(name, _file(name, folder))
    try:
        request = json.loads(text, parse_constant=_not_json)
    except RecursionError:
        raise ValueError(f"{name} is not a request: it is nested too deeply") from None
    except ValueError as wrong:
        raise ValueError(f"{name} is not JSON: {wrong}") from None
    data = request.get("data") if isinstance(request, dict) else None
    if not isinstance(data, list) or not data:
        raise ValueError(
            f'{name} is not a request: it must be a JSON object with a list that is not empty: {{"data": […]}}'
        )
    return text


def _file(name: str, folder: Path | None) -> Path:
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or re.search(r"[\\\x00]|^[A-Za-z]:", name):
        raise ValueError(f"{name!r} must be a file within the app's folder, such as ml/samples/request.json")
    if folder is None:
        raise ValueError(f"{name} cannot be read: nothing says which folder the app is in")
    return folder / path


def _text(name: str, file: Path) -> str:
    try:
        if not file.is_file():
            raise ValueError(f"there is no file {name} in the app's folder")
        with file.open("rb") as opened:
            content = opened.read(_LARGEST + 1)
    except OSError as error:
        raise ValueError(f"{name} cannot be read: {error.strerror}") from error
    if len(content) > _LARGEST:
        raise ValueError(f"{name} is larger than {_LARGEST // 1024} KB")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not UTF-8: {error.reason} at byte {error.start}") from error


def _not_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number there")
