"""How things outside are named in the file: pipelines, endpoints, registered code and environments, machines."""

from __future__ import annotations

import re
from typing import Final

NOT_IN_A_PIPELINE: Final = frozenset('.+?/<>*%&:\\"{}')
LONGEST_PIPELINE: Final = 260
ENDPOINT: Final = r"(?=.{3,32}$)[A-Za-z](-?[A-Za-z0-9])*"
SCRIPT: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]*\.py"
COMPUTE: Final = r"[A-Za-z][A-Za-z0-9-]{0,30}[A-Za-z0-9]"
EXPERIMENT: Final = r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}"
INPUT: Final = r"[A-Za-z_][A-Za-z0-9_]{0,254}"
RESOURCE: Final = r"(?=.{1,64}$)[a-z0-9]+(-[a-z0-9]+)*"
INSTANCE_TYPE: Final = r"[A-Za-z][A-Za-z0-9_-]{0,63}"

_ASSET: Final = re.compile(r"azureml:[A-Za-z0-9][A-Za-z0-9_.-]{0,254}:[A-Za-z0-9][A-Za-z0-9_.-]{0,29}")


def pipeline(name: str) -> str:
    """A Data Factory pipeline's name.

    Raises:
        ValueError: with what is wrong with it.
    """
    wrong = sorted(NOT_IN_A_PIPELINE & set(name))
    if wrong:
        raise ValueError(f"{name!r} is not the name of a pipeline: it must not have {' '.join(wrong)}")
    if not 1 <= len(name) <= LONGEST_PIPELINE:
        raise ValueError(
            f"is not the name of a pipeline: those have 1 to {LONGEST_PIPELINE} characters, not {len(name)}"
        )
    return name


def endpoint(name: str) -> str:
    """An online endpoint's name.

    Raises:
        ValueError: with what is wrong with it.
    """
    wanted = "the name of an endpoint: 3 to 32 letters, digits and single hyphens, a letter first"
    return _matching(ENDPOINT, name, wanted)


def script(name: str) -> str:
    """The scoring script's name within its code.

    Raises:
        ValueError: with what is wrong with it.
    """
    return _matching(SCRIPT, name, "the name of a .py file within the code")


def instance_type(name: str) -> str:
    """A kind of machine.

    Raises:
        ValueError: with what is wrong with it.
    """
    return _matching(INSTANCE_TYPE, name, "a kind of machine, such as Standard_DS3_v2")


def code(text: str) -> str:
    """Registered code of a fixed version.

    Raises:
        ValueError: with what is wrong with it.
    """
    return _asset(text, "codes")


def environment(text: str) -> str:
    """A registered environment of a fixed version.

    Raises:
        ValueError: with what is wrong with it.
    """
    return _asset(text, "environments")


def component(text: str) -> str:
    """A registered component of a fixed version.

    Raises:
        ValueError: with what is wrong with it.
    """
    return _asset(text, "components")


def compute(name: str) -> str:
    """A compute cluster's name.

    Raises:
        ValueError: with what is wrong with it.
    """
    return _matching(COMPUTE, name, "the name of a compute: 2 to 32 letters, digits and hyphens, a letter first")


def experiment(name: str) -> str:
    """An experiment's name.

    Raises:
        ValueError: with what is wrong with it.
    """
    return _matching(EXPERIMENT, name, "the name of an experiment: up to 255 letters, digits, hyphens and underscores")


def resource(name: str) -> str:
    """The name of a resource of the file.

    Raises:
        ValueError: with what is wrong with it.
    """
    return _matching(RESOURCE, name, "the name of a resource: small letters, digits and single hyphens, up to 64")


def _matching(pattern: str, name: str, wanted: str) -> str:
    if not re.fullmatch(pattern, name):
        raise ValueError(f"{name!r} is not {wanted}")
    return name


def _asset(text: str, collection: str) -> str:
    resource = rf"(?:azureml:)?/subscriptions/[^\s{{}}]+/{collection}/[^/\s{{}}]+/versions/[^/\s{{}}]+"
    if _ASSET.fullmatch(text) or re.fullmatch(resource, text, re.IGNORECASE):
        return text
    fixed = "; the version must be a fixed one" if "@" in text else ""
    raise ValueError(
        f"must be azureml:NAME:VERSION or an ARM id (/subscriptions/…/{collection}/NAME/versions/VERSION), "
        f"not {text!r}{fixed}"
    )
