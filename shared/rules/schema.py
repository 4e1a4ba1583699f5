"""The shape of `reactions.yaml`: its keys, their types and meanings. The JSON Schema for editors is made of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import GenerateJsonSchema

from shared.rules import fields


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

    path: fields.Pattern = Field(
        description="Which files: `container/folder/{capture}/*.csv`. `{name}` captures text within one segment of the "
        "path, `*` stands for any text within a segment, `**` for any number of folders. Case matters."
    )
    exclude: list[fields.Glob] = Field(
        default=[],
        description="Which of them not: globs for the name; with a slash in it, for folders anywhere in the "
        "path below the container, whose name does not belong here.",
        examples=[["_*", "*.tmp", "_temporary/"]],
    )


class DriftDetected(Section):
    """A monitor found that data have drifted: one of its signals went beyond its threshold."""

    monitor: fields.PatternOfNames = Field(
        description="Which monitors: a name. `{name}` captures a part of it, `*` stands for any text. Case matters."
    )
    signals: list[fields.Signal] = Field(
        default=[], min_length=1, description="Only these signals of the monitor. By default any."
    )
    times: fields.Times = Field(
        default=None,
        description="How many breaches it takes; 2 or more need `within`.",
        json_schema_extra={"default": 1},
    )
    within: fields.Duration = Field(default=None, description="The time within which `times` breaches must come.")


class ModelRegistered(Section):
    """A version of a model was registered in the workspace."""

    model: fields.PatternOfNames = Field(
        description="Which models: a name. `{name}` captures a part of it, `*` stands for any text. Case matters."
    )
    tags: dict[fields.Tag, fields.TagValue] = Field(
        default={}, min_length=1, description="Only versions registered with all of these tags."
    )


class FileOverdue(Section):
    """No file has landed for longer than expected."""

    path: fields.Pattern = Field(description="Which files are expected, as in `file-landed`.")
    exclude: list[fields.Glob] = Field(default=[], description="Which files do not count, as in `file-landed`.")
    expect: fields.Every = Field(
        description="How often one must land, such as `every 24h`, counted from the last one. Each time that passes "
        "without one is an event. Without `by` it counts from when the rule is first seen; with it, from the first "
        "file of each value on, and after three in a row there is silence until the next file."
    )


class When(Section):
    """What must happen: one kind of event."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    file_landed: FileLanded | None = None
    drift_detected: DriftDetected | None = None
    model_registered: ModelRegistered | None = None
    file_overdue: FileOverdue | None = None


class Collect(Section):
    """How events become one batch. Without this, every event starts a reaction at once if none is running."""

    by: fields.Text = Field(
        default=None,
        description="One batch per value of this text, such as `{batch}`. Two placeholders need a slash between them. "
        "Without it the rule has one batch at a time.",
    )
    all_of: list[fields.FileName] = Field(
        default=[],
        min_length=1,
        description="Wait until each of these files is there; names within the pattern's folder, which is the path "
        "before the first segment with a star. Where that folder has captures, name them in `by`: else files of "
        "different folders complete each other.",
    )
    give_up_after: fields.Duration = Field(
        default=None,
        description="How long an incomplete batch waits for the rest of `all-of`, from its first file. Then its files "
        "are skipped as incomplete.",
        json_schema_extra={"default": "24h"},
    )
    quiet: fields.Duration = Field(
        default=None,
        description="Close the batch when no further event has come for this long. By default it closes at once.",
    )
    max_wait: fields.Duration = Field(
        default=None, description="Close it after this long even if events keep coming. By default 10 times `quiet`."
    )
    max_events: fields.Events = Field(
        default=None, description="At most so many events in one batch; more make further batches. By default no limit."
    )
    until: fields.Until = Field(
        default=None,
        description="Close the batch at the first of these times, instead of `quiet`: five fields of cron, in UTC, "
        "such as `0 2 * * *` for every night at two.",
    )


class Limits(Section):
    """How many reactions may run, how often they may start, and which is first."""

    concurrency: fields.Permits = Field(
        default=None,
        description="How many of the rule's reactions may run at a time, where it has several values of `by`. By "
        "default no limit, but one value never runs two.",
    )
    resources: list[fields.ResourceName] = Field(
        default=[],
        min_length=1,
        description="Names from `resources`: a running reaction holds one permit of each.",
    )
    start_rate: fields.StartRate = Field(
        default=None,
        description="How many may start within a time (`s`, `m`, `h`, `d`); so many may also start at once. What "
        "`notify` tells counts as well. `unlimited` lifts it.",
        json_schema_extra={"default": "60/h"},
    )
    priority: fields.Importance = Field(
        default=None,
        description="Which rule is first where several wait for the same permit or budget: `high`, `normal` or `low`.",
        json_schema_extra={"default": "normal"},
    )

    cooldown: fields.Duration = Field(
        default=None,
        description="How long after a reaction's end the next one of the same `by` waits. By default not at all.",
    )
    during_cooldown: fields.CooldownPolicy = Field(
        default=None,
        description="Events that come during the cooldown: `collect` keeps them for the next reaction, `skip` records "
        "and drops them.",
        json_schema_extra={"default": "collect"},
    )
    while_running: fields.Policy = Field(
        default=None,
        description="Events that come while a reaction of the same `by` runs: `coalesce` collects them for one next "
        "reaction, `queue` keeps each batch for a reaction of its own, `skip` records and drops them, `replace` "
        "cancels the running one; the next one has its events as well.",
        json_schema_extra={"default": "coalesce"},
    )


class Retry(Section):
    """Whether a start that went wrong, or a run that failed, is tried again."""

    attempts: fields.Attempts = Field(
        default=None, description="How many attempts in all; 1 is no second try.", json_schema_extra={"default": 1}
    )
    backoff: fields.Duration = Field(
        default=None,
        description="The wait before the second attempt; each further one waits twice as long. None waits more than "
        "six hours.",
        json_schema_extra={"default": "1m"},
    )


class Gate(Section):
    """When a model may go live. Without it every model may."""

    metric: fields.Metric = Field(
        description="The property of the registered model that is compared, such as Accuracy; more is better. The "
        "model's `live.METRIC` is the live model's value on the same data."
    )
    better_than: fields.BetterThan = Field(description="What it must be better than: `live`, the model that is live.")
    by: fields.Margin = Field(
        default=None,
        description="By how much at least. With 0 it must just be better.",
        json_schema_extra={"default": 0},
    )


class Serving(Section):
    """What a deployment runs with."""

    code: fields.Code = Field(description="Registered code: `azureml:NAME:VERSION`, or its ARM id.")
    environment: fields.Environment = Field(
        description="The registered environment: `azureml:NAME:VERSION`, or its ARM id."
    )
    script: fields.Script = Field(
        default=None, description="The scoring script in the code.", json_schema_extra={"default": "score.py"}
    )
    instance_type: fields.InstanceType = Field(
        default=None, description="The kind of machine.", json_schema_extra={"default": "Standard_DS3_v2"}
    )
    instances: fields.Instances = Field(
        default=None, description="How many machines.", json_schema_extra={"default": 1}
    )


class DeployModel(Section):
    """Deploy the registered model beside the live one; if all is well it takes its place."""

    endpoint: fields.Endpoint = Field(
        description="The online endpoint: 3 to 32 letters, digits and single hyphens, unique in its Azure region."
    )
    gate: Gate | None = None
    smoke_test: fields.Request = Field(
        description='A JSON file in the app\'s folder with a request, `{"data": […]}`, that the new deployment must '
        "answer before it gets traffic."
    )
    serving: Serving
    keep_previous: fields.KeepPrevious = Field(
        default=None,
        description="How long the deployment that was live stays, without traffic, before it is removed.",
        json_schema_extra={"default": "1m"},
    )


class RunJob(Section):
    """Start a job in the workspace, under a name of Relearn's own."""

    component: fields.Component = Field(
        description="The registered pipeline or command component: `azureml:NAME:VERSION`, or its ARM id."
    )
    compute: fields.Compute = Field(
        default=None, description="Where it runs: a compute of the workspace. By default serverless compute."
    )
    experiment: fields.Experiment = Field(
        default=None, description="The experiment that lists it. By default the rule's name."
    )


class Require(Section):
    """What the data must be like before the start, by the drift report; else the reaction is refused."""

    report: fields.Report = Field(
        description="The report's path in the lake, the container first; it may use what the event gives."
    )
    min_rows: fields.Rows = Field(default=None, description="Fewer new rows than this are too few.")
    max_missing: fields.Share = Field(
        default=None, description="The largest share of missing values among the new data, such as `5%`."
    )


class Reaction(Section):
    """One rule: which events lead to which action, and under what limits."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["run-pipeline"]},
                {"required": ["run-job"]},
                {"required": ["deploy-model"], "properties": {"collect": False, "with": False}},
                {"required": ["notify"], "properties": {"with": False}},
            ]
        }
    )

    when: When
    collect: Collect = Field(default_factory=Collect)
    run_pipeline: fields.Pipeline = Field(
        default=None,
        description="Start this Data Factory pipeline. It must declare the parameters reaction_id and attempt, which "
        "Relearn sends with every start, and each parameter of `with`.",
    )
    with_: dict[str, fields.Parameter] = Field(
        default={},
        description="The pipeline's parameters, or the job's inputs. They are sent as text: a number or true is sent "
        "as it is written here. "
        "Placeholders: {manifest} (the URL of a JSON file that lists the batch), {count} (of its events), "
        "{reaction_id}, {live:ENDPOINT} (the model that is live there), and what the event gives: of a file, the "
        "captures that `collect.by` names; of drift all captures, {monitor}, {signal} and {run_id}; of a model all "
        "captures, {model} and {version}; of an overdue file {last} and {due}.",
    )
    run_job: RunJob | None = None
    deploy_model: DeployModel | None = None
    notify: fields.Message = Field(
        default=None,
        description="Tell whoever subscribes to the app's topic this text, which may use what `with` may use.",
    )
    mode: fields.RuleMode = Field(
        default=None,
        description="`observe` decides and records what would have been started, and starts nothing.",
        json_schema_extra={"default": "act"},
    )
    require: Require | None = None
    writes: list[fields.Written] = Field(
        default=[],
        min_length=1,
        description="What the run of a rule about files writes into the lake, the container first: folders, which end "
        "in a slash, or files, where `*` and `**` mean what they mean in `path`. The rule itself must not wait for any "
        "of it: it would start itself for ever.",
    )
    limits: Limits = Field(default_factory=Limits)
    retry: Retry = Field(default_factory=Retry)
    timeout: fields.Duration = Field(
        default=None,
        description="How long one attempt may run from its accepted start; then it is cancelled. By default 24h, with "
        "deploy-model 1h.",
    )


class Factory(Section):
    """What all rules together may ask of the data factory."""

    concurrency: fields.Permits = Field(
        default=None, description="How many of its runs may be Relearn's at a time. By default no limit."
    )
    start_rate: fields.StartRate = Field(
        default=None,
        description="How many runs may be started within a time, by all rules together. By default no limit.",
    )


class RulesFile(Section):
    """What Relearn does when something happens. Any text may hold `${NAME}`, an app setting."""

    version: fields.Version = Field(description="The version of this file's language.")
    mode: fields.RuleMode = Field(
        default=None,
        description="`observe` makes every rule decide and record only.",
        json_schema_extra={"default": "act"},
    )
    factory: Factory = Field(default_factory=Factory)
    resources: dict[fields.ResourceName, fields.PermitCount] = Field(
        default={},
        min_length=1,
        description="Limits that rules share, by name: how many permits there are of each.",
    )
    reactions: Annotated[dict[fields.Name, Reaction], Field(min_length=1)] = Field(
        description="The rules by name: small letters, digits and hyphens, up to 64 characters."
    )


IN_A_REACTION: Final = ("reactions", "NAME")
"""The place of a rule's keys, as `sections` names it."""


def sections(
    section: type[Section] = RulesFile, place: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], type[Section]]]:
    """Every section of the file with its place, in the file's order; what a user names is NAME there."""
    yield place, section
    for name, field in section.model_fields.items():
        within, named = _section_in(field.annotation)
        if within is not None:
            yield from sections(within, (*place, field.alias or name, *named))


def _section_in(annotation: Any) -> tuple[type[Section] | None, tuple[str, ...]]:  # noqa: ANN401 - a type
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation, ()
    named = (IN_A_REACTION[-1],) if get_origin(annotation) is dict else ()
    found = (_section_in(part)[0] for part in get_args(annotation))
    return next((within for within in found if within is not None), None), named


class _ForEditors(GenerateJsonSchema):
    """Without titles that only repeat keys, and without Python's defaults."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ANN401 - pydantic's own types for these are private
        return False

    def nullable_schema(self, schema: Any) -> dict[str, Any]:  # noqa: ANN401
        return self.generate_inner(schema["schema"])  # what may be left out may not be null

    def default_schema(self, schema: Any) -> dict[str, Any]:  # noqa: ANN401
        return self.generate_inner(schema["schema"])


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the file."""
    schema = RulesFile.model_json_schema(by_alias=True, schema_generator=_ForEditors)
    schema["properties"]["reactions"]["additionalProperties"] = False  # a wrong name is refused, not passed over
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Relearn reactions"}
