"""The types of the values in `reactions.yaml`: how each is read, and what its schema tells editors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from pydantic import PlainValidator, StringConstraints, ValidationInfo, WithJsonSchema

from shared.rules import lake_paths, names
from shared.rules.durations import parse_duration
from shared.rules.patterns import Exclusion, NamePattern, PathPattern, Template
from shared.rules.requests import read_request
from shared.rules.schedules import Cron
from shared.rules.values import DuringCooldown, Mode, Priority, Rate, WhileRunning

VERSION: Final = 1
LONGEST_NAME: Final = 64
LONGEST_REQUEST: Final = timedelta(seconds=5)
"""How long a request to a deployment may take: their request timeout."""

_NAME: Final = r"^[a-z0-9]+(-[a-z0-9]+)*$"
_DURATION: Final = r"\$\{|^(?=[0-9])([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$"  # or with a setting in it
_DECIMAL: Final = re.compile(r"[-+]?(?:[0-9]{1,9}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][-+]?[0-9]{1,2})?")
_RATE: Final = re.compile(r"([0-9]{1,6})/([smhd])")
_PERIODS: Final = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_UNLIMITED: Final = "unlimited"
_EVERY: Final = "every "
_SHARE: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)%")
_LIVE: Final = "live"
_T = TypeVar("_T")
_KINDS: Final = {
    dict: "a mapping",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
}


def kind_of(value: object) -> str:
    """What a YAML value is, in a user's words."""
    return _KINDS.get(type(value), "nothing")


def either(words: Iterable[str]) -> str:
    """Words as a choice: a, b or c."""
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    quotes = "" if isinstance(value, dict | list) else "; put it in quotes"
    raise ValueError(f"must be text, not {kind_of(value)}{quotes}")


def _from_text(parse: Callable[[str], object]) -> PlainValidator:
    return PlainValidator(lambda value: parse(_text(value)))


def _from_scalar(parse: Callable[[str], object]) -> PlainValidator:
    """For texts that a number may stand for by mistake: quotes would not mend it."""

    def validate(value: object) -> object:
        if isinstance(value, bool):
            return parse(str(value).lower())
        return parse(str(value) if isinstance(value, int | float) else _text(value))

    return PlainValidator(validate)


def _schema(**schema: Any) -> WithJsonSchema:  # noqa: ANN401 - JSON
    return WithJsonSchema(schema)


def _matching(pattern: str) -> WithJsonSchema:
    return _schema(type="string", pattern=rf"\$\{{|^{pattern}$")  # or with a setting in it


def _duration(value: object) -> timedelta:
    if isinstance(value, dict | list | bool):
        raise ValueError(f"must be a duration such as 5m, not {kind_of(value)}")  # noqa: TRY004 - pydantic wants it
    return parse_duration(str(value))


def _keep_previous(value: object) -> timedelta:
    duration = _duration(value)
    if duration < LONGEST_REQUEST:
        raise ValueError(
            f"must be at least {LONGEST_REQUEST.seconds}s: so long the previous deployment may still be answering"
        )
    return duration


def _number(lowest: int, highest: int) -> PlainValidator:
    def validate(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            found = value if isinstance(value, float) else kind_of(value)
            raise ValueError(f"must be a whole number, not {found}")  # noqa: TRY004 - pydantic wants it
        if not lowest <= value <= highest:
            raise ValueError(f"must be from {lowest} to {highest}, not {value}")
        return value

    return PlainValidator(validate)


def _margin(value: object) -> Decimal:
    if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
        found = repr(value) if isinstance(value, str) else kind_of(value)
        raise ValueError(f"must be a number such as 0.002, not {found}")
    if Decimal(value) < 0:
        raise ValueError(f"must be 0 or more, not {value}")
    return Decimal(value)


def _version(value: object) -> int:
    if value != VERSION or not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"must be {VERSION}, the only version of the language there is")
    return value


def _one_of(values: Mapping[str, _T]) -> Callable[[str], _T]:
    def parse(text: str) -> _T:
        if text not in values:
            raise ValueError(f"must be {either(values)}, not {text!r}")
        return values[text]

    return parse


_POLICIES: Final = {str(policy): policy for policy in WhileRunning}
_COOLDOWN_POLICIES: Final = {str(policy): policy for policy in DuringCooldown}
_MODES: Final = {str(mode): mode for mode in Mode}
_PRIORITIES: Final = {priority.name.lower(): priority for priority in Priority}


def _rate(text: str) -> Rate | None:
    """None is no limit."""
    if text == _UNLIMITED:
        return None
    found = _RATE.fullmatch(text)
    if found is None or int(found[1]) == 0:
        raise ValueError(f"{text} is not a rate; write how many in a time (s, m, h or d): 60/h, or {_UNLIMITED}")
    return Rate(count=int(found[1]), per=_PERIODS[found[2]])


def _every(text: str) -> timedelta:
    if not text.startswith(_EVERY):
        raise ValueError(f"must say how often a file is expected, such as every 24h, not {text!r}")
    return parse_duration(text.removeprefix(_EVERY).strip())


def _share(text: str) -> Decimal:
    found = _SHARE.fullmatch(text)
    if found is None or Decimal(found[1]) > 100:
        raise ValueError(f"must be a share from 0% to 100%, such as 5%, not {text!r}")
    return Decimal(found[1]) / 100


def _better_than(text: str) -> str:
    if text != _LIVE:
        raise ValueError(f"must be {_LIVE}, the model that the endpoint serves, not {text!r}")
    return text


def _plain(what: str) -> Callable[[str], str]:
    """A name that stands for itself: someone may hope for stars and placeholders."""

    def parse(text: str) -> str:
        if not text.strip():
            raise ValueError(f"is empty; name {what}")
        for sign in "*{}":
            if sign in text:
                raise ValueError(f"{text!r} must be the plain name of {what}, without {sign}")
        return text

    return parse


def _message(text: str) -> Template:
    if not text.strip():
        raise ValueError("is empty; write what is to be told")
    return Template.parse(text)


def _tag(name: str) -> str:
    if not name.strip():
        raise ValueError("has no name")
    return name


def _request(value: object, info: ValidationInfo) -> str:
    folder: Path | None = (info.context or {}).get("folder")
    return read_request(_text(value), folder)


Version = Annotated[int, PlainValidator(_version), _schema(const=VERSION)]
Name = Annotated[str, StringConstraints(pattern=_NAME, max_length=LONGEST_NAME)]
Pattern = Annotated[PathPattern, _from_text(PathPattern.parse), _schema(type="string")]
PatternOfNames = Annotated[NamePattern, _from_text(NamePattern.parse), _schema(type="string")]
Glob = Annotated[Exclusion, _from_text(Exclusion.parse), _schema(type="string")]
FileName = Annotated[str, _from_text(str), _schema(type="string")]
Signal = Annotated[str, _from_text(_plain("a signal")), _schema(type="string")]
Metric = Annotated[str, _from_text(_plain("a metric")), _schema(type="string")]
BetterThan = Annotated[str, _from_text(_better_than), _schema(const=_LIVE)]
Endpoint = Annotated[str, _from_text(names.endpoint), _matching(names.ENDPOINT)]
Code = Annotated[str, _from_text(names.code), _schema(type="string", examples=["azureml:diabetes-serving:1"])]
Environment = Annotated[str, _from_text(names.environment), _schema(type="string", examples=["azureml:sklearn:1"])]
Request = Annotated[str, PlainValidator(_request), _schema(type="string")]
# The reader has made texts of these, as they are written: parameters and tags are texts, and a margin is not rounded.
Parameter = Annotated[Template, _from_text(Template.parse), _schema(type=["string", "number", "boolean"])]
Tag = Annotated[str, _from_text(_tag), _schema(type="string", minLength=1)]
TagValue = Annotated[str, _from_text(str), _schema(type=["string", "number", "boolean"])]
Margin = Annotated[Decimal | None, PlainValidator(_margin), _schema(type=["number", "string"], minimum=0)]

Message = Annotated[Template | None, _from_text(_message), _schema(type="string", minLength=1)]
Report = Annotated[Template, _from_text(lake_paths.report), _schema(type="string")]
Written = Annotated[Template, _from_text(lake_paths.written), _schema(type="string")]

# Those that may be left out are None then. The validators see given values only.
Pipeline = Annotated[
    str | None,
    _from_text(names.pipeline),
    _schema(type="string", minLength=1, maxLength=names.LONGEST_PIPELINE),
]
Text = Annotated[Template | None, _from_text(Template.parse), _schema(type="string")]
Duration = Annotated[
    timedelta | None,
    PlainValidator(_duration),
    _schema(type="string", pattern=_DURATION, examples=["90s", "1h30m"]),
]
KeepPrevious = Annotated[
    timedelta | None, PlainValidator(_keep_previous), _schema(type="string", pattern=_DURATION, examples=["1m"])
]
Events = Annotated[int | None, _number(1, 1_000_000), _schema(type="integer", minimum=1)]
Times = Annotated[int | None, _number(1, 100), _schema(type="integer", minimum=1, maximum=100)]
Attempts = Annotated[int | None, _number(1, 20), _schema(type="integer", minimum=1, maximum=20)]
Instances = Annotated[int | None, _number(1, 50), _schema(type="integer", minimum=1, maximum=50)]
Policy = Annotated[WhileRunning | None, _from_scalar(_one_of(_POLICIES)), _schema(enum=[*_POLICIES])]
CooldownPolicy = Annotated[
    DuringCooldown | None, _from_scalar(_one_of(_COOLDOWN_POLICIES)), _schema(enum=[*_COOLDOWN_POLICIES])
]
RuleMode = Annotated[Mode | None, _from_scalar(_one_of(_MODES)), _schema(enum=[*_MODES])]
Importance = Annotated[Priority | None, _from_scalar(_one_of(_PRIORITIES)), _schema(enum=[*_PRIORITIES])]
StartRate = Annotated[
    Rate | None,
    _from_scalar(_rate),
    _schema(type="string", pattern=r"\$\{|^([0-9]{1,6}/[smhd]|unlimited)$", examples=["60/h"]),
]
Permits = Annotated[int | None, _number(1, 10_000), _schema(type="integer", minimum=1, maximum=10_000)]
Rows = Annotated[int | None, _number(1, 1_000_000_000), _schema(type="integer", minimum=1)]
Share = Annotated[Decimal | None, _from_scalar(_share), _schema(type="string", examples=["5%"])]
Until = Annotated[Cron | None, _from_scalar(Cron.parse), _schema(type="string", examples=["0 2 * * *"])]
Every = Annotated[timedelta, _from_scalar(_every), _schema(type="string", examples=["every 24h"])]
PermitCount = Annotated[int, _number(1, 10_000), _schema(type="integer", minimum=1, maximum=10_000)]
Component = Annotated[str, _from_text(names.component), _schema(type="string", examples=["azureml:train_diabetes:1"])]
Compute = Annotated[str | None, _from_text(names.compute), _matching(names.COMPUTE)]
Experiment = Annotated[str | None, _from_text(names.experiment), _matching(names.EXPERIMENT)]
ResourceName = Annotated[str, _from_text(names.resource), _matching(names.RESOURCE)]
Script = Annotated[str | None, _from_text(names.script), _matching(names.SCRIPT)]
InstanceType = Annotated[str | None, _from_text(names.instance_type), _matching(names.INSTANCE_TYPE)]
