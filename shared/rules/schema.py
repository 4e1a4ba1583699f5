"""The shape of `reactions.yaml`: its keys, their types and meanings. The JSON Schema for editors is made of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, StringConstraints, WithJsonSchema
from pydantic.json_schema import GenerateJsonSchema

from shared.rules.durations import parse_duration
from shared.rules.patterns import Exclusion, PathPattern, Template
from shared.rules.values import WhileRunning

VERSION: Final = 1
LONGEST_NAME: Final = 64
_NAME: Final = r"^[a-z0-9]+(-[a-z0-9]+)*$"
_DURATION: Final = r"\$\{|^(?=[0-9])([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$"  # or with a setting in it
_NOT_IN_A_PIPELINE_NAME: Final = frozenset('.+?/<>*%&:\\"{}')
_NOT_BUILT_POLICIES: Final = frozenset({"queue", "replace"})
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


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    quotes = "" if isinstance(value, dict | list) else "; put it in quotes"
    raise ValueError(f"must be text, not {kind_of(value)}{quotes}")


def _from_text(parse: Callable[[str], object]) -> PlainValidator:
    return PlainValidator(lambda value: parse(_text(value)))


def _duration(value: object) -> timedelta:
    if isinstance(value, dict | list | bool):
        raise ValueError(f"must be a duration such as 5m, not {kind_of(value)}")  # noqa: TRY004 - pydantic wants it
    return parse_duration(str(value))


def _number(lowest: int, highest: int) -> PlainValidator:
    def validate(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            found = value if isinstance(value, float) else kind_of(value)
            raise ValueError(f"must be a whole number, not {found}")  # noqa: TRY004 - pydantic wants it
        if not lowest <= value <= highest:
            raise ValueError(f"must be from {lowest} to {highest}, not {value}")
        return value

    return PlainValidator(validate)


def _version(value: object) -> int:
    if value != VERSION or not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"must be {VERSION}, the only version of the language there is")
    return value


def _while_running(value: object) -> WhileRunning:
    text = _text(value)
    if text in _NOT_BUILT_POLICIES:
        raise ValueError(f"{text} is not built yet; there are {' and '.join(WhileRunning)}")
    if text not in list(WhileRunning):
        raise ValueError(f"must be {' or '.join(WhileRunning)}, not {text!r}")
    return WhileRunning(text)


def _pipeline(name: str) -> str:
    wrong = sorted(_NOT_IN_A_PIPELINE_NAME & set(name))
    if wrong:
        raise ValueError(f"{name!r} is not the name of a pipeline: it must not have {' '.join(wrong)}")
    if not 1 <= len(name) <= 260:
        raise ValueError(f"is not the name of a pipeline: those have 1 to 260 characters, not {len(name)}")
    return name


Version = Annotated[int, PlainValidator(_version), WithJsonSchema({"const": VERSION})]
Name = Annotated[str, StringConstraints(pattern=_NAME, max_length=LONGEST_NAME)]
Pattern = Annotated[PathPattern, _from_text(PathPattern.parse), WithJsonSchema({"type": "string"})]
Glob = Annotated[Exclusion, _from_text(Exclusion.parse), WithJsonSchema({"type": "string"})]
Pipeline = Annotated[str, _from_text(_pipeline), WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 260})]
# The reader has made texts of them all, as they are written: a pipeline's parameters are texts.
Parameter = Annotated[Template, _from_text(Template.parse), WithJsonSchema({"type": ["string", "number", "boolean"]})]
FileName = Annotated[str, _from_text(str), WithJsonSchema({"type": "string"})]

# Those that may be left out are None then. The validators see given values only.
Text = Annotated[Template | None, _from_text(Template.parse), WithJsonSchema({"type": "string"})]
Duration = Annotated[
    timedelta | None,
    PlainValidator(_duration),
    WithJsonSchema({"type": "string", "pattern": _DURATION, "examples": ["90s", "1h30m"]}),
]
Events = Annotated[int | None, _number(1, 1_000_000), WithJsonSchema({"type": "integer", "minimum": 1})]
Attempts = Annotated[int | None, _number(1, 20), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 20})]
Policy = Annotated[WhileRunning | None, PlainValidator(_while_running), WithJsonSchema({"enum": [*WhileRunning]})]


class Section(BaseModel):
    """A mapping of the file. What the file leaves out has the rules' own default, told here for the editors."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        alias_generator=lambda name: name.removesuffix("_").replace("_", "-"),
    )

    def given(self) -> dict[str, Any]:
        """What the file gives, by the names of the rules' fields."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class FileLanded(Section):
    """A complete file is in the data lake."""

    path: Pattern = Field(
        description="Which files: `container/folder/{capture}/*.csv`. `{name}` captures text within one segment of the "
        "path, `*` stands for any text within a segment, `**` for any number of folders. Case matters."
    )
    exclude: list[Glob] = Field(
        default=[],
        description="Which of them not: globs for the name; with a slash in it, for folders anywhere in the path.",
        examples=[["_*", "*.tmp", "_temporary/"]],
    )


class When(Section):
    """What must happen."""

    file_landed: FileLanded


class Collect(Section):
    """How events become one batch. Without this, every event starts a reaction at once if none is running."""

    by: Text = Field(
        default=None,
        description="One batch per value of this text, such as `{batch}`. Two placeholders need a slash between them. "
        "Without it the rule has one batch at a time.",
    )
    all_of: list[FileName] = Field(
        default=[],
        min_length=1,
        description="Wait until each of these files is there; names within the pattern's folder, which is the path "
        "before the first segment with a star.",
    )
    give_up_after: Duration = Field(
        default=None,
        description="How long an incomplete batch waits for the rest of `all-of`, from its first file. Then its files "
        "are skipped as incomplete.",
        json_schema_extra={"default": "24h"},
    )
    quiet: Duration = Field(
        default=None,
        description="Close the batch when no further event has come for this long. By default it closes at once.",
    )
    max_wait: Duration = Field(
        default=None, description="Close it after this long even if events keep coming. By default 10 times `quiet`."
    )
    max_events: Events = Field(
        default=None, description="At most so many events in one batch; more make further batches. By default no limit."
    )


class Limits(Section):
    """How often reactions may start."""

    cooldown: Duration = Field(
        default=None,
        description="How long after a reaction's end the next one of the same `by` waits. By default not at all.",
    )
    while_running: Policy = Field(
        default=None,
        description="Events that come while a reaction of the same `by` runs: `coalesce` collects them for one next "
        "reaction, `skip` records and drops them.",
        json_schema_extra={"default": "coalesce"},
    )


class Retry(Section):
    """Whether a start that went wrong, or a run that failed, is tried again."""

    attempts: Attempts = Field(
        default=None, description="How many attempts in all; 1 is no second try.", json_schema_extra={"default": 1}
    )
    backoff: Duration = Field(
        default=None,
        description="The wait before the second attempt; each further one waits twice as long.",
        json_schema_extra={"default": "1m"},
    )


class Reaction(Section):
    """One rule: which events lead to which action, and under what limits."""

    when: When
    collect: Collect = Field(default_factory=Collect)
    run_pipeline: Pipeline = Field(
        description="Start this Data Factory pipeline. It must declare the parameters reaction_id and attempt, which "
        "Relearn sends with every start, and each parameter of `with`."
    )
    with_: dict[str, Parameter] = Field(
        default={},
        description="The pipeline's parameters. They are sent as text: a number or true is sent as it is written here. "
        "Placeholders: the captures that `collect.by` names, {manifest} (the URL of a JSON file that lists the batch), "
        "{count} (of its events) and {reaction_id}.",
    )
    limits: Limits = Field(default_factory=Limits)
    retry: Retry = Field(default_factory=Retry)
    timeout: Duration = Field(
        default=None,
        description="How long one attempt may run from its accepted start; then it is cancelled.",
        json_schema_extra={"default": "24h"},
    )


class RulesFile(Section):
    """What Relearn does when something happens. Any text may hold `${NAME}`, an app setting."""

    version: Version = Field(description="The version of this file's language.")
    reactions: Annotated[dict[Name, Reaction], Field(min_length=1)] = Field(
        description="The rules by name: small letters, digits and hyphens, up to 64 characters."
    )


class _ForEditors(GenerateJsonSchema):
    """Without titles that only repeat keys, and without Python's defaults."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ANN401 - pydantic's own types for these are private
        return False

    def default_schema(self, schema: Any) -> dict[str, Any]:  # noqa: ANN401
        return self.generate_inner(schema["schema"])


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the file."""
    schema = RulesFile.model_json_schema(by_alias=True, schema_generator=_ForEditors)
    schema["properties"]["reactions"]["additionalProperties"] = False  # a wrong name is refused, not passed over
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Relearn reactions"}
