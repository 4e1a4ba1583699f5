# ruff: noqa: E501 - answers stand here in full, as they are compared
"""The language, key by key: what an example of it becomes, what leaving it out means, and what a wrong value gets.

What a key does, in words, is its description in the schema; `docs/rules.md` shows both beside the examples.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from enum import Enum, auto
from typing import Any

from shared.rules import (
    Collect,
    DuringCooldown,
    FactoryLimits,
    FileLandedTrigger,
    Gate,
    Limits,
    Mode,
    Priority,
    Rate,
    Require,
    Retry,
    RunJob,
    RunPipeline,
    Serving,
    WhileRunning,
)
from shared.rules.patterns import PathPattern, Template
from shared.rules.schedules import Cron

HOUR = timedelta(hours=1)
GATE_WITHOUT_BY = (
    "deploy-model: {endpoint: diabetes, smoke-test: ml/samples/diabetes-request.json, gate: {metric: Accuracy, "
    'better-than: live}, serving: {code: "azureml:serving:1", environment: "azureml:sklearn:1"}}'
)


class Without(Enum):
    """What leaving a key out means, where that is no value."""

    REQUIRED = auto()
    """It is missing."""
    ONE_OF = auto()
    """It is one of several, of which a rule has one."""


REQUIRED, ONE_OF = Without.REQUIRED, Without.ONE_OF


@dataclass(frozen=True, kw_only=True)
class Row:
    """One key.

    Attributes:
        built: where its value is in the rules that are built.
        example: what the example's value is there.
        default: what is there without the key.
        without: lines that leave only this key out, where its section must be there.
        answers: to wrong values as the page shows them, in its order: every problem, in full.
    """

    built: Callable[[Any, Any], object]
    example: object
    default: object
    without: str = ""
    answers: Mapping[str, Sequence[str]] = field(default_factory=dict)


def texts(rule: Any) -> dict[str, str]:
    return {name: template.text for name, template in rule.action.with_.items()}


TABLE: Mapping[str, Mapping[str, Row]] = {
    "": {
        "version": Row(
            built=lambda rules, rule: 1,
            example=1,
            default=REQUIRED,
            answers={
                "version: 2": ["version: must be 1, the only version of the language there is"],
                'version: "1"': ["version: must be 1, the only version of the language there is"],
            },
        ),
        "mode": Row(
            built=lambda rules, rule: rules.mode,
            example=Mode.OBSERVE,
            default=Mode.ACT,
            answers={
                "mode: dry-run": ["mode: must be act or observe, not 'dry-run'"],
                "mode: off": ["mode: must be act or observe, not 'off'"],
            },
        ),
        "factory": Row(
            built=lambda rules, rule: rules.factory,
            example=FactoryLimits(concurrency=40, start_rate=Rate(count=300, per=HOUR)),
            default=FactoryLimits(),
            answers={
                "factory: 40": ["factory: must be a mapping (indented keys and values), not a number"],
                "factory: {cooldown: 1h}": ["factory.cooldown: does not belong here, but under limits of a reaction"],
            },
        ),
        "resources": Row(
            built=lambda rules, rule: rules.resources,
            example={"spark-pool": 2},
            default={},
            answers={
                "resources: {spark-pool: 0}": ["resources.spark-pool: must be from 1 to 10000, not 0"],
                "resources: {Spark Pool: 2}": [
                    "resources.Spark Pool: 'Spark Pool' is not the name of a resource: small letters, digits and single hyphens, up to 64"
                ],
                "resources: {spark-pool: 2, gpu: 1}": [
                    "resources.gpu: is used by no rule; name it in limits.resources of one, or leave it out"
                ],
                "resources: [spark-pool]": ["resources: must be a mapping (indented keys and values), not a list"],
            },
        ),
        "reactions": Row(
            built=lambda rules, rule: list(rules.rules),
            example=["score"],
            default=REQUIRED,
            answers={
                'reactions: {Score It: {when: {file-landed: {path: "lake/in/*.csv"}}, run-pipeline: score}}': [
                    "reactions.Score It: is not the name of a reaction: small letters, digits and single hyphens, up to 64"
                ],
                "reactions: {}": ["reactions: is empty"],
                'reactions: [{when: {file-landed: {path: "lake/in/*.csv"}}, run-pipeline: score}]': [
                    "reactions: must be a mapping (indented keys and values), not a list"
                ],
            },
        ),
    },
    "factory": {
        "concurrency": Row(
            built=lambda rules, rule: rules.factory.concurrency,
            example=40,
            default=None,
            answers={
                "factory: {concurrency: 0}": ["factory.concurrency: must be from 1 to 10000, not 0"],
                "factory: {concurrency: many}": ["factory.concurrency: must be a whole number, not text"],
            },
        ),
        "start-rate": Row(
            built=lambda rules, rule: rules.factory.start_rate,
            example=Rate(count=300, per=HOUR),
            default=None,
            answers={
                "factory: {start-rate: 300}": [
                    "factory.start-rate: 300 is not a rate; write how many in a time (s, m, h or d): 60/h, or unlimited"
                ],
                "factory: {start-rate: 5/min}": [
                    "factory.start-rate: 5/min is not a rate; write how many in a time (s, m, h or d): 60/h, or unlimited"
                ],
            },
        ),
    },
    "reactions.NAME": {
        "when": Row(
            built=lambda rules, rule: rule.trigger,
            example=FileLandedTrigger(path=PathPattern.parse("lake/in/*.csv")),
            default=REQUIRED,
            answers={
                'when: {file-landed: {path: "lake/in/*.csv"}, drift-detected: {monitor: m}}': [
                    "when.drift-detected: is a second event beside file-landed; write a rule for each"
                ],
                "when: {}": ["when: has no event; write file-landed, drift-detected, model-registered or file-overdue"],
                "when: {run-ended: {}}": ["when.run-ended: is not built yet"],
            },
        ),
        "collect": Row(
            built=lambda rules, rule: rule.collect,
            example=Collect(quiet=timedelta(seconds=30), max_wait=timedelta(minutes=5)),
            default=Collect(),
            answers={
                "collect: 30s": ["collect: must be a mapping (indented keys and values), not text"],
                "collect: {cooldown: 1h}": ["collect.cooldown: does not belong here, but under limits"],
            },
        ),
        "run-pipeline": Row(
            built=lambda rules, rule: rule.action,
            example=RunPipeline(pipeline="score-diabetes"),
            default=ONE_OF,
            answers={
                "run-pipeline: score/diabetes": [
                    "run-pipeline: 'score/diabetes' is not the name of a pipeline: it must not have /"
                ],
                "run-pipeline: {name: score-diabetes}": ["run-pipeline: must be text, not a mapping"],
                "run-pipeline: score\nnotify: started": [
                    "notify: is a second action beside run-pipeline; write a rule for each"
                ],
            },
        ),
        "with": Row(
            built=lambda rules, rule: texts(rule),
            example={"batch": "{batch}", "files": "{manifest}", "rate": "0.10"},
            default={},
            answers={
                'with: {batch: "{batch}"}': [
                    "with.batch: {batch} may differ between the events of one batch; add it to collect.by, set collect.max-events: 1, or use {manifest}, which lists them all"
                ],
                'collect: {by: "{batch}"}\nwith: {batch: "{bach}"}': [
                    "with.batch: {bach} is not captured by 'lake/in/{batch}/{part}.csv'; did you mean {batch}?"
                ],
                "with: {reaction_id: mine}": [
                    "with.reaction_id: is sent by Relearn itself with every start; leave it out"
                ],
                "with: {batch: a, Batch: b}": [
                    "with.Batch: is the same parameter as batch: the names differ only in the case of letters"
                ],
                'with: {model: "{live}"}': ["with.model: {live} needs an endpoint: {live:ENDPOINT}"],
                'collect: {by: "{batch}"}\nwith: {out: "lake/in/{batch}/scores.csv"}': [
                    "with.out: 'lake/in/{batch}/scores.csv' may be a file that the rule itself waits for, such as lake/in/x/scores.csv: a run that writes it would start the rule for ever; write elsewhere, or exclude it; one that is only read belongs into collect.all-of"
                ],
            },
        ),
        "run-job": Row(
            built=lambda rules, rule: rule.action,
            example=RunJob(component="azureml:train:1", compute="cpu-cluster"),
            default=ONE_OF,
            answers={
                'run-job: "azureml:train:1"': ["run-job: must be a mapping (indented keys and values), not text"],
                'run-job: {component: "azureml:train:1", with: {a: 1}}': [
                    "run-job.with: does not belong here, but under the name of a reaction"
                ],
                'run-job: {component: "azureml:train:1"}\nwith: {learning-rate: 0.1}': [
                    "with.learning-rate: is not the name of an input: letters, digits and underscores, not a digit first"
                ],
            },
        ),
        "deploy-model": Row(
            built=lambda rules, rule: rule.action.endpoint,
            example="diabetes",
            default=ONE_OF,
            answers={
                "deploy-model: {…, approval: required}": ["deploy-model.approval: is not built yet"],
                "deploy-model: {…}\nwith: {a: 1}": ["with: does not go with deploy-model: all it takes stands there"],
                "deploy-model: {…}\ncollect: {quiet: 5m}": [
                    "collect: does not go with deploy-model: every model is decided on by itself, one after the other for an endpoint"
                ],
                'when: {file-landed: {path: "lake/in/{batch}/{part}.csv"}}\ndeploy-model: {…}': [
                    "deploy-model: needs when: model-registered, not file-landed: it deploys the model that was registered"
                ],
            },
        ),
        "notify": Row(
            built=lambda rules, rule: rule.action.text.text,
            example="{count} file(s) of batch {batch}: {manifest}",
            default=ONE_OF,
            answers={
                "notify: [a, b]": ["notify: must be text, not a list"],
                "notify: 5": ["notify: must be text, not a number; put it in quotes"],
                'notify: "batch {batch}"': [
                    "notify: {batch} may differ between the events of one batch; add it to collect.by, set collect.max-events: 1, or use {manifest}, which lists them all"
                ],
                "notify: come\nwith: {a: 1}": ["with: does not go with notify: its text says it all"],
                "notify: come\ntimeout: 5m": ["timeout: does not go with notify: nothing runs"],
                "notify: come\nretry: {attempts: 2}": ["retry: does not go with notify: nothing runs that could fail"],
            },
        ),
        "mode": Row(
            built=lambda rules, rule: rule.mode,
            example=Mode.OBSERVE,
            default=Mode.ACT,
            answers={
                "mode: dry-run": ["mode: must be act or observe, not 'dry-run'"],
                "mode: true": ["mode: must be act or observe, not 'true'"],
                "mode: act": [
                    "mode: contradicts mode: observe at the top of the file, by which every rule observes; leave it out"
                ],
            },
        ),
        "require": Row(
            built=lambda rules, rule: rule.require,
            example=Require(report=Template.parse("lake/monitoring/{batch}/report.json"), min_rows=500),
            default=None,
            answers={
                'require: {report: "lake/monitoring/{batch}/report.json"}': [
                    "require: asks for nothing; add min-rows, max-missing or both"
                ],
                "require: {min-rows: 500}": ["require: report is missing"],
                'when: {file-landed: {path: "lake/in/{batch}/{part}.csv"}}\nrequire: {report: lake/monitoring/report.json, min-rows: 500}': [
                    "require: needs when: drift-detected, not file-landed: a monitor's run is what leaves the report"
                ],
            },
        ),
        "writes": Row(
            built=lambda rules, rule: [written.text for written in rule.writes],
            example=["lake/scores/{batch}/"],
            default=[],
            answers={
                'collect: {by: "{batch}"}\nwrites: ["lake/in/{batch}/"]': [
                    "writes[1]: 'lake/in/{batch}/' may be what the rule itself waits for, such as lake/in/x/x.csv: it would start itself for ever; have the run write elsewhere, or exclude that"
                ],
                "writes: [/lake/scores/]": ["writes[1]: '/lake/scores' begins with a slash; leave it out"],
                "writes: lake/scores/": ["writes: must be a list, such as [a, b], not text"],
                'writes: ["lake/scores/{part}/"]': [
                    "writes[1]: {part} may differ between the events of one batch; write * in its place, or add it to collect.by"
                ],
                'writes: ["lake/scores/{manifest}"]': [
                    "writes[1]: must not use {manifest}: it has no meaning in this path"
                ],
                'when: {drift-detected: {monitor: "diabetes-{batch}"}}\nwrites: [lake/scores/]': [
                    "writes: has no effect without file-landed: only a rule about files could start itself"
                ],
            },
        ),
        "limits": Row(
            built=lambda rules, rule: rule.limits,
            example=Limits(cooldown=timedelta(hours=6)),
            default=Limits(),
            answers={
                "limits: none": ["limits: must be a mapping (indented keys and values), not text"],
                "limits: {quiet: 5m}": ["limits.quiet: does not belong here, but under collect"],
            },
        ),
        "retry": Row(
            built=lambda rules, rule: rule.retry,
            example=Retry(attempts=3, backoff=timedelta(minutes=1)),
            default=Retry(),
            answers={
                "retry: 3": ["retry: must be a mapping (indented keys and values), not a number"],
                "retry: {times: 3}": ["retry.times: does not belong here, but under when.drift-detected"],
            },
        ),
        "timeout": Row(
            built=lambda rules, rule: rule.timeout,
            example=timedelta(hours=2),
            default=timedelta(hours=24),
            answers={
                "timeout: 120": [
                    "timeout: 120 has no unit; write whole numbers with units, the longest first: 90s, 5m, 24h, 3d, 1h30m"
                ],
                "timeout: 2 hours": [
                    "timeout: '2 hours' is not a duration; write whole numbers with units, the longest first: 90s, 5m, 24h, 3d, 1h30m"
                ],
                "timeout: 0s": ["timeout: '0s' is no time at all; leave the key out"],
                "timeout: 400d": ["timeout: '400d' is longer than 365 days"],
            },
        ),
    },
    "reactions.NAME.when": {
        "file-landed": Row(
            built=lambda rules, rule: rule.trigger.kind,
            example="file-landed",
            default=ONE_OF,
            answers={
                "when: {file-landed: lake/in}": [
                    "when.file-landed: must be a mapping (indented keys and values), not text"
                ],
            },
        ),
        "drift-detected": Row(
            built=lambda rules, rule: rule.trigger.kind,
            example="drift-detected",
            default=ONE_OF,
            answers={
                "when: {drift-detected: {model: diabetes}}": [
                    "when.drift-detected.model: does not belong here, but under when.model-registered",
                    "when.drift-detected: monitor is missing",
                ],
            },
        ),
        "model-registered": Row(
            built=lambda rules, rule: rule.trigger.kind,
            example="model-registered",
            default=ONE_OF,
            answers={
                "when: {model-registered: {name: diabetes}}": [
                    "when.model-registered.name: is not a key; there are model, tags",
                    "when.model-registered: model is missing",
                ],
            },
        ),
        "file-overdue": Row(
            built=lambda rules, rule: rule.trigger.kind,
            example="file-overdue",
            default=ONE_OF,
            answers={
                'when: {file-overdue: {path: "lake/in/*.csv"}}\nnotify: nothing has come': [
                    "when.file-overdue: expect is missing"
                ],
                'when: {file-overdue: {path: "lake/in/*.csv", expect: every 24h}}\nnotify: late\ncollect: {quiet: 5m}': [
                    "collect.quiet: has no effect with file-overdue: an overdue file is told at once, by itself"
                ],
            },
        ),
    },
    "reactions.NAME.when.file-landed": {
        "path": Row(
            built=lambda rules, rule: rule.trigger.path.text,
            example="lake/in/{batch}/**/*.csv",
            default=REQUIRED,
            answers={
                "when: {file-landed: {path: /lake/in/a.csv}}": [
                    "when.file-landed.path: '/lake/in/a.csv' begins with a slash; leave it out"
                ],
                'when: {file-landed: {path: "*/in/a.csv"}}': [
                    "when.file-landed.path: '*/in/a.csv' must begin with the name of a container: 3 to 63 small letters, digits, hyphens"
                ],
                "when: {file-landed: {path: lake}}": [
                    "when.file-landed.path: 'lake' names a container only; add the files, such as lake/**/*.csv"
                ],
                'when: {file-landed: {path: "lake/{batch}{part}.csv"}}': [
                    "when.file-landed.path: '{batch}{part}.csv' has two captures or stars side by side; put text between them"
                ],
                'when: {file-landed: {path: "lake/{count}.csv"}}': [
                    "when.file-landed.path: must not capture {count}: Relearn itself gives that name a value"
                ],
                'when: {file-landed: {path: "lake/in-?.csv"}}': [
                    "when.file-landed.path: 'lake/in-?.csv' has a ?, which has no meaning in a pattern; write * or {name}"
                ],
            },
        ),
        "exclude": Row(
            built=lambda rules, rule: [glob.text for glob in rule.trigger.exclude],
            example=["_*", "*.tmp", "_temporary/"],
            default=[],
            answers={
                'when: {file-landed: {path: "lake/in/**", exclude: "_*"}}': [
                    "when.file-landed.exclude: must be a list, such as [a, b], not text"
                ],
                'when: {file-landed: {path: "lake/in/**", exclude: ["{batch}.tmp"]}}': [
                    "when.file-landed.exclude[1]: '{batch}.tmp' must not capture: an exclusion has only text and stars"
                ],
            },
        ),
    },
    "reactions.NAME.when.drift-detected": {
        "monitor": Row(
            built=lambda rules, rule: rule.trigger.monitor.text,
            example="diabetes-{batch}",
            default=REQUIRED,
            answers={
                "when: {drift-detected: {monitor: 5}}": [
                    "when.drift-detected.monitor: must be text, not a number; put it in quotes"
                ],
                'when: {drift-detected: {monitor: "diabetes-{signal}"}}': [
                    "when.drift-detected.monitor: must not capture {signal}: drift-detected itself gives that name a value"
                ],
                'when: {drift-detected: {monitor: "diabetes-**"}}': [
                    "when.drift-detected.monitor: 'diabetes-**' has ** in it; in a name * stands for any text"
                ],
            },
        ),
        "signals": Row(
            built=lambda rules, rule: rule.trigger.signals,
            example=("data_drift",),
            default=(),
            without="when: {drift-detected: {monitor: diabetes}}",
            answers={
                "when: {drift-detected: {monitor: diabetes, signals: data_drift}}": [
                    "when.drift-detected.signals: must be a list, such as [a, b], not text"
                ],
                'when: {drift-detected: {monitor: diabetes, signals: ["data_*"]}}': [
                    "when.drift-detected.signals[1]: 'data_*' must be the plain name of a signal, without *"
                ],
            },
        ),
        "times": Row(
            built=lambda rules, rule: rule.trigger.times,
            example=2,
            default=1,
            without="when: {drift-detected: {monitor: diabetes}}",
            answers={
                "when: {drift-detected: {monitor: diabetes, times: 2}}": [
                    "when.drift-detected.times: needs within: the time in which 2 breaches count, such as 3d"
                ],
                "when: {drift-detected: {monitor: diabetes, times: 0}}": [
                    "when.drift-detected.times: must be from 1 to 100, not 0"
                ],
                "when: {drift-detected: {monitor: diabetes, times: 3, within: 3d}}\ncollect: {max-events: 2}": [
                    "collect.max-events: is less than the 3 breaches of times, so no batch could hold what it waits for"
                ],
            },
        ),
        "within": Row(
            built=lambda rules, rule: rule.trigger.within,
            example=timedelta(days=3),
            default=None,
            without="when: {drift-detected: {monitor: diabetes}}",
            answers={
                "when: {drift-detected: {monitor: diabetes, within: 3d}}": [
                    "when.drift-detected.within: has no effect without times: 2 or more"
                ],
                "when: {drift-detected: {monitor: diabetes, times: 2, within: 3}}": [
                    "when.drift-detected.within: 3 has no unit; write whole numbers with units, the longest first: 90s, 5m, 24h, 3d, 1h30m"
                ],
            },
        ),
    },
    "reactions.NAME.when.model-registered": {
        "model": Row(
            built=lambda rules, rule: rule.trigger.model.text,
            example="diabetes-*",
            default=REQUIRED,
            answers={
                "when: {model-registered: {model: true}}": [
                    "when.model-registered.model: must be text, not true or false; put it in quotes"
                ],
                'when: {model-registered: {model: "{version}"}}': [
                    "when.model-registered.model: must not capture {version}: model-registered itself gives that name a value"
                ],
            },
        ),
        "tags": Row(
            built=lambda rules, rule: rule.trigger.tags,
            example={"stage": "candidate"},
            default={},
            without="when: {model-registered: {model: diabetes}}",
            answers={
                "when: {model-registered: {model: diabetes, tags: [candidate]}}": [
                    "when.model-registered.tags: must be a mapping (indented keys and values), not a list"
                ],
                "when: {model-registered: {model: diabetes, tags: {}}}": ["when.model-registered.tags: is empty"],
            },
        ),
    },
    "reactions.NAME.when.file-overdue": {
        "path": Row(
            built=lambda rules, rule: rule.trigger.path.text,
            example="lake/in/*.csv",
            default=REQUIRED,
            answers={
                "when: {file-overdue: {path: lake, expect: every 24h}}": [
                    "when.file-overdue.path: 'lake' names a container only; add the files, such as lake/**/*.csv"
                ],
                'when: {file-overdue: {path: "lake/{due}.csv", expect: every 24h}}': [
                    "when.file-overdue.path: must not capture {due}: file-overdue itself gives that name a value"
                ],
            },
        ),
        "exclude": Row(
            built=lambda rules, rule: [glob.text for glob in rule.trigger.exclude],
            example=["_*"],
            default=[],
            answers={
                'when: {file-overdue: {path: "lake/in/*.csv", exclude: "_*", expect: every 24h}}': [
                    "when.file-overdue.exclude: must be a list, such as [a, b], not text"
                ],
            },
        ),
        "expect": Row(
            built=lambda rules, rule: rule.trigger.every,
            example=timedelta(days=1),
            default=REQUIRED,
            answers={
                'when: {file-overdue: {path: "lake/in/*.csv", expect: 24h}}': [
                    "when.file-overdue.expect: must say how often a file is expected, such as every 24h, not '24h'"
                ],
                'when: {file-overdue: {path: "lake/in/*.csv", expect: every day}}': [
                    "when.file-overdue.expect: 'day' is not a duration; write whole numbers with units, the longest first: 90s, 5m, 24h, 3d, 1h30m"
                ],
            },
        ),
    },
    "reactions.NAME.collect": {
        "by": Row(
            built=lambda rules, rule: rule.collect.by,
            example=Template.parse("{batch}"),
            default=None,
            answers={
                'collect: {by: "{bach}"}': [
                    "collect.by: {bach} is not captured by 'lake/in/{batch}/{part}.csv'; did you mean {batch}?"
                ],
                "collect: {by: batch}": [
                    "collect.by: 'batch' has no {capture} in it, so every event would be in the same batch; leave `by` out for that"
                ],
                'collect: {by: "{batch}-{part}"}': [
                    "collect.by: '{batch}-{part}' may be the same text for different events; put a slash between its placeholders"
                ],
                'collect: {by: "{reaction_id}"}': [
                    "collect.by: must not use {reaction_id}, which is known only when a reaction starts"
                ],
            },
        ),
        "all-of": Row(
            built=lambda rules, rule: rule.collect.all_of,
            example=("ages.csv", "levels.csv"),
            default=(),
            answers={
                "collect: {all-of: ages.csv}": ["collect.all-of: must be a list, such as [a, b], not text"],
                'collect: {all-of: ["*.csv"]}': [
                    "collect.all-of[1]: '*.csv' must be the plain name of a file, without *"
                ],
                "collect: {all-of: [ages.txt]}": [
                    "collect.all-of[1]: 'ages.txt' can never come: lake/in/{batch}/ages.txt does not fit 'lake/in/{batch}/*.csv'"
                ],
                "collect: {all-of: [ages.csv, ages.csv]}": ["collect.all-of[2]: 'ages.csv' is named twice"],
                'when: {drift-detected: {monitor: "diabetes-{batch}"}}\ncollect: {all-of: [ages.csv]}': [
                    "collect.all-of: needs file-landed: only files have names to wait for"
                ],
            },
        ),
        "give-up-after": Row(
            built=lambda rules, rule: rule.collect.give_up_after,
            example=timedelta(hours=12),
            default=timedelta(hours=24),
            without="collect: {all-of: [ages.csv]}",
            answers={
                "collect: {give-up-after: 12h}": ["collect.give-up-after: has no effect without all-of"],
                "collect: {all-of: [ages.csv], give-up-after: 12}": [
                    "collect.give-up-after: 12 has no unit; write whole numbers with units, the longest first: 90s, 5m, 24h, 3d, 1h30m"
                ],
            },
        ),
        "quiet": Row(
            built=lambda rules, rule: rule.collect.quiet,
            example=timedelta(seconds=30),
            default=None,
            answers={
                "collect: {quiet: 30}": [
                    "collect.quiet: 30 has no unit; write whole numbers with units, the longest first: 90s, 5m, 24h, 3d, 1h30m"
                ],
                "collect: {quiet: 0s}": ["collect.quiet: '0s' is no time at all; leave the key out"],
                "collect: {quiet: half a minute}": [
                    "collect.quiet: 'half a minute' is not a duration; write whole numbers with units, the longest first: 90s, 5m, 24h, 3d, 1h30m"
                ],
            },
        ),
        "max-wait": Row(
            built=lambda rules, rule: rule.collect.max_wait,
            example=timedelta(minutes=10),
            default=timedelta(minutes=5),
            without="collect: {quiet: 30s}",
            answers={
                "collect: {max-wait: 10m}": ["collect.max-wait: has no effect without quiet"],
                "collect: {quiet: 30s, max-wait: 10s}": [
                    "collect.max-wait: is shorter than quiet (30s); make it longer"
                ],
            },
        ),
        "max-events": Row(
            built=lambda rules, rule: rule.collect.max_events,
            example=100,
            default=None,
            answers={
                "collect: {max-events: 0}": ["collect.max-events: must be from 1 to 1000000, not 0"],
                "collect: {max-events: 1.5}": ["collect.max-events: must be a whole number, not 1.5"],
                "collect: {all-of: [a.csv, b.csv], max-events: 1}": [
                    "collect.max-events: is less than the 2 files of all-of, so no batch could hold what it waits for"
                ],
            },
        ),
        "until": Row(
            built=lambda rules, rule: rule.collect.until,
            example=Cron.parse("0 2 * * *"),
            default=None,
            answers={
                "collect: {until: 02:00}": [
                    "collect.until: '02:00' is not a cron expression; write minute, hour, day, month and weekday: 0 2 * * * is every night at 02:00 UTC"
                ],
                'collect: {until: "0 25 * * *"}': [
                    "collect.until: '0 25 * * *' is not a cron expression (Bad hour); write minute, hour, day, month and weekday: 0 2 * * * is every night at 02:00 UTC"
                ],
                'collect: {until: "0 2 30 2 *"}': [
                    "collect.until: '0 2 30 2 *' is not a cron expression (Bad day-of-month); write minute, hour, day, month and weekday: 0 2 * * * is every night at 02:00 UTC"
                ],
                'collect: {until: "0 2 * * *", quiet: 30s}': [
                    "collect.until: closes the batch at a time, and quiet when nothing comes any more; keep one of them"
                ],
            },
        ),
    },
    "reactions.NAME.run-job": {
        "component": Row(
            built=lambda rules, rule: rule.action.component,
            example="azureml:train:1",
            default=REQUIRED,
            answers={
                'run-job: {component: "azureml:train@latest"}': [
                    "run-job.component: must be azureml:NAME:VERSION or an ARM id (/subscriptions/…/components/NAME/versions/VERSION), not 'azureml:train@latest'; the version must be a fixed one"
                ],
                "run-job: {component: train}": [
                    "run-job.component: must be azureml:NAME:VERSION or an ARM id (/subscriptions/…/components/NAME/versions/VERSION), not 'train'"
                ],
            },
        ),
        "compute": Row(
            built=lambda rules, rule: rule.action.compute,
            example="cpu-cluster",
            default=None,
            without='run-job: {component: "azureml:train:1"}',
            answers={
                'run-job: {component: "azureml:train:1", compute: cpu cluster}': [
                    "run-job.compute: 'cpu cluster' is not the name of a compute: 2 to 32 letters, digits and hyphens, a letter first"
                ],
            },
        ),
        "experiment": Row(
            built=lambda rules, rule: rule.action.experiment,
            example="diabetes",
            default=None,
            without='run-job: {component: "azureml:train:1"}',
            answers={
                'run-job: {component: "azureml:train:1", experiment: "{batch}"}': [
                    "run-job.experiment: '{batch}' is not the name of an experiment: up to 255 letters, digits, hyphens and underscores"
                ],
            },
        ),
    },
    "reactions.NAME.deploy-model": {
        "endpoint": Row(
            built=lambda rules, rule: rule.action.endpoint,
            example="diabetes-patients",
            default=REQUIRED,
            answers={
                "deploy-model: {…, endpoint: ab}": [
                    "deploy-model.endpoint: 'ab' is not the name of an endpoint: 3 to 32 letters, digits and single hyphens, a letter first"
                ],
                'deploy-model: {…, endpoint: "{model}"}': [
                    "deploy-model.endpoint: '{model}' is not the name of an endpoint: 3 to 32 letters, digits and single hyphens, a letter first"
                ],
            },
        ),
        "gate": Row(
            built=lambda rules, rule: rule.action.gate,
            example=Gate(metric="Accuracy", by=Decimal("0.002")),
            default=None,
            answers={
                "deploy-model: {…, gate: live}": [
                    "deploy-model.gate: must be a mapping (indented keys and values), not text"
                ],
            },
        ),
        "smoke-test": Row(
            built=lambda rules, rule: json.loads(rule.action.smoke_test).keys(),
            example={"data"},
            default=REQUIRED,
            answers={
                "deploy-model: {…, smoke-test: ../request.json}": [
                    "deploy-model.smoke-test: '../request.json' must be a file within the app's folder, such as ml/samples/request.json"
                ],
                "deploy-model: {…, smoke-test: host.json}": [
                    'deploy-model.smoke-test: host.json is not a request: it must be a JSON object with a list that is not empty: {"data": […]}'
                ],
                "deploy-model: {…, smoke-test: {data: [1]}}": ["deploy-model.smoke-test: must be text, not a mapping"],
            },
        ),
        "serving": Row(
            built=lambda rules, rule: rule.action.serving,
            example=Serving(code="azureml:patients:1", environment="azureml:sklearn:1"),
            default=REQUIRED,
            answers={
                "deploy-model: {…, serving: azureml:serving:1}": [
                    "deploy-model.serving: must be a mapping (indented keys and values), not text"
                ],
            },
        ),
        "keep-previous": Row(
            built=lambda rules, rule: rule.action.keep_previous,
            example=timedelta(minutes=10),
            default=timedelta(minutes=1),
            answers={
                "deploy-model: {…, keep-previous: 10}": [
                    "deploy-model.keep-previous: 10 has no unit; write whole numbers with units, the longest first: 90s, 5m, 24h, 3d, 1h30m"
                ],
                "deploy-model: {…, keep-previous: 2s}": [
                    "deploy-model.keep-previous: must be at least 5s: so long the previous deployment may still be answering"
                ],
            },
        ),
    },
    "reactions.NAME.deploy-model.gate": {
        "metric": Row(
            built=lambda rules, rule: rule.action.gate.metric,
            example="Accuracy",
            default=REQUIRED,
            answers={
                'deploy-model: {…, gate: {metric: "*", better-than: live}}': [
                    "deploy-model.gate.metric: '*' must be the plain name of a metric, without *"
                ],
            },
        ),
        "better-than": Row(
            built=lambda rules, rule: rule.action.gate,
            example=Gate(metric="Accuracy"),
            default=REQUIRED,
            answers={
                "deploy-model: {…, gate: {metric: Accuracy, better-than: previous}}": [
                    "deploy-model.gate.better-than: must be live, the model that the endpoint serves, not 'previous'"
                ],
            },
        ),
        "by": Row(
            built=lambda rules, rule: rule.action.gate.by,
            example=Decimal("0.002"),
            default=Decimal(0),
            without=GATE_WITHOUT_BY,
            answers={
                "deploy-model: {…, gate: {metric: Accuracy, better-than: live, by: 1%}}": [
                    "deploy-model.gate.by: must be a number such as 0.002, not '1%'"
                ],
                "deploy-model: {…, gate: {metric: Accuracy, better-than: live, by: -1}}": [
                    "deploy-model.gate.by: must be 0 or more, not -1"
                ],
            },
        ),
    },
    "reactions.NAME.deploy-model.serving": {
        "code": Row(
            built=lambda rules, rule: rule.action.serving.code,
            example="azureml:patients:1",
            default=REQUIRED,
            answers={
                'deploy-model: {…, serving: {code: ml/serving, environment: "azureml:sklearn:1"}}': [
                    "deploy-model.serving.code: must be azureml:NAME:VERSION or an ARM id (/subscriptions/…/codes/NAME/versions/VERSION), not 'ml/serving'"
                ],
            },
        ),
        "environment": Row(
            built=lambda rules, rule: rule.action.serving.environment,
            example="azureml:sklearn:1",
            default=REQUIRED,
            answers={
                'deploy-model: {…, serving: {code: "azureml:patients:1", environment: "azureml:sklearn@latest"}}': [
                    "deploy-model.serving.environment: must be azureml:NAME:VERSION or an ARM id (/subscriptions/…/environments/NAME/versions/VERSION), not 'azureml:sklearn@latest'; the version must be a fixed one"
                ],
            },
        ),
        "script": Row(
            built=lambda rules, rule: rule.action.serving.script,
            example="main.py",
            default="score.py",
            answers={
                'deploy-model: {…, serving: {code: "azureml:patients:1", environment: "azureml:sklearn:1", script: src/main.py}}': [
                    "deploy-model.serving.script: 'src/main.py' is not the name of a .py file within the code"
                ],
            },
        ),
        "instance-type": Row(
            built=lambda rules, rule: rule.action.serving.instance_type,
            example="Standard_F4s_v2",
            default="Standard_DS3_v2",
            answers={
                'deploy-model: {…, serving: {code: "azureml:patients:1", environment: "azureml:sklearn:1", instance-type: 4 cores}}': [
                    "deploy-model.serving.instance-type: '4 cores' is not a kind of machine, such as Standard_DS3_v2"
                ],
            },
        ),
        "instances": Row(
            built=lambda rules, rule: rule.action.serving.instances,
            example=2,
            default=1,
            answers={
                'deploy-model: {…, serving: {code: "azureml:patients:1", environment: "azureml:sklearn:1", instances: 0}}': [
                    "deploy-model.serving.instances: must be from 1 to 50, not 0"
                ],
            },
        ),
    },
    "reactions.NAME.require": {
        "report": Row(
            built=lambda rules, rule: rule.require.report,
            example=Template.parse("lake/monitoring/{batch}/{run_id}/report.json"),
            default=REQUIRED,
            answers={
                'require: {report: "lake/monitoring/{batch}/", min-rows: 500}': [
                    "require.report: 'lake/monitoring/{batch}/' is a folder; name the file in it"
                ],
                'require: {report: "lake/monitoring/*/report.json", min-rows: 500}': [
                    "require.report: 'lake/monitoring/*/report.json' must name one file, without *"
                ],
                'require: {report: "lake/monitoring/{reaction_id}.json", min-rows: 500}': [
                    "require.report: must not use {reaction_id}: it has no meaning in this path"
                ],
                'require: {report: "lake/monitoring/{bach}.json", min-rows: 500}': [
                    "require.report: {bach} is not captured by 'diabetes-{batch}'; did you mean {batch}?"
                ],
            },
        ),
        "min-rows": Row(
            built=lambda rules, rule: rule.require.min_rows,
            example=500,
            default=None,
            without="require: {report: lake/report.json, max-missing: 5%}",
            answers={
                "require: {report: lake/monitoring/report.json, min-rows: 0}": [
                    "require.min-rows: must be from 1 to 1000000000, not 0"
                ],
                "require: {report: lake/monitoring/report.json, min-rows: 10%}": [
                    "require.min-rows: must be a whole number, not text"
                ],
            },
        ),
        "max-missing": Row(
            built=lambda rules, rule: rule.require.max_missing,
            example=Decimal("0.05"),
            default=None,
            without="require: {report: lake/report.json, min-rows: 500}",
            answers={
                "require: {report: lake/monitoring/report.json, max-missing: 0.05}": [
                    "require.max-missing: must be a share from 0% to 100%, such as 5%, not '0.05'"
                ],
                "require: {report: lake/monitoring/report.json, max-missing: 120%}": [
                    "require.max-missing: must be a share from 0% to 100%, such as 5%, not '120%'"
                ],
            },
        ),
    },
    "reactions.NAME.limits": {
        "concurrency": Row(
            built=lambda rules, rule: rule.limits.concurrency,
            example=4,
            default=None,
            answers={
                "limits: {concurrency: 4}": [
                    "limits.concurrency: has no effect without collect.by: the rule runs one reaction at a time as it is"
                ],
                'collect: {by: "{batch}"}\nlimits: {concurrency: 0}': [
                    "limits.concurrency: must be from 1 to 10000, not 0"
                ],
                'collect: {by: "{batch}"}\nlimits: {concurrency: four}': [
                    "limits.concurrency: must be a whole number, not text"
                ],
                "notify: come\nlimits: {concurrency: 4}": ["limits.concurrency: does not go with notify: nothing runs"],
            },
        ),
        "resources": Row(
            built=lambda rules, rule: rule.limits.resources,
            example=("spark-pool",),
            default=(),
            answers={
                "limits: {resources: [spark-pol]}": [
                    "limits.resources[1]: 'spark-pol' is not among the resources at the top of the file; did you mean spark-pool?"
                ],
                "limits: {resources: spark-pool}": ["limits.resources: must be a list, such as [a, b], not text"],
                "limits: {resources: [spark-pool, spark-pool]}": [
                    "limits.resources[2]: 'spark-pool' is named twice: a reaction holds one permit of each"
                ],
            },
        ),
        "start-rate": Row(
            built=lambda rules, rule: rule.limits.start_rate,
            example=Rate(count=10, per=timedelta(minutes=1)),
            default=Rate(count=60, per=HOUR),
            answers={
                "limits: {start-rate: 10}": [
                    "limits.start-rate: 10 is not a rate; write how many in a time (s, m, h or d): 60/h, or unlimited"
                ],
                "limits: {start-rate: 0/h}": [
                    "limits.start-rate: 0/h is not a rate; write how many in a time (s, m, h or d): 60/h, or unlimited"
                ],
                "limits: {start-rate: 10/min}": [
                    "limits.start-rate: 10/min is not a rate; write how many in a time (s, m, h or d): 60/h, or unlimited"
                ],
            },
        ),
        "priority": Row(
            built=lambda rules, rule: rule.limits.priority,
            example=Priority.HIGH,
            default=Priority.NORMAL,
            answers={
                "limits: {resources: [spark-pool], priority: 1}": [
                    "limits.priority: must be high, normal or low, not '1'"
                ],
                "limits: {resources: [spark-pool], priority: urgent}": [
                    "limits.priority: must be high, normal or low, not 'urgent'"
                ],
                "limits: {priority: high}": [
                    "limits.priority: has no effect: there is nothing that rules wait for together; it takes limits.resources, or for run-pipeline a factory section"
                ],
            },
        ),
        "cooldown": Row(
            built=lambda rules, rule: rule.limits.cooldown,
            example=timedelta(hours=6),
            default=timedelta(0),
            answers={
                "limits: {cooldown: 6}": [
                    "limits.cooldown: 6 has no unit; write whole numbers with units, the longest first: 90s, 5m, 24h, 3d, 1h30m"
                ],
                "limits: {cooldown: 0s}": ["limits.cooldown: '0s' is no time at all; leave the key out"],
            },
        ),
        "during-cooldown": Row(
            built=lambda rules, rule: rule.limits.during_cooldown,
            example=DuringCooldown.SKIP,
            default=DuringCooldown.COLLECT,
            answers={
                "limits: {during-cooldown: skip}": ["limits.during-cooldown: has no effect without cooldown"],
                "limits: {cooldown: 6h, during-cooldown: queue}": [
                    "limits.during-cooldown: must be collect or skip, not 'queue'"
                ],
            },
        ),
        "while-running": Row(
            built=lambda rules, rule: rule.limits.while_running,
            example=WhileRunning.QUEUE,
            default=WhileRunning.COALESCE,
            answers={
                "limits: {while-running: wait}": [
                    "limits.while-running: must be coalesce, queue, skip or replace, not 'wait'"
                ],
                "notify: come\nlimits: {while-running: replace}": [
                    "limits.while-running: replace does not go with notify: nothing runs that could be cancelled"
                ],
                'when: {file-overdue: {path: "lake/in/{batch}/{part}.csv", expect: every 24h}}\nlimits: {while-running: replace}': [
                    "limits.while-running: replace does not go with file-overdue: that a file is still missing ends nothing"
                ],
            },
        ),
    },
    "reactions.NAME.retry": {
        "attempts": Row(
            built=lambda rules, rule: rule.retry.attempts,
            example=3,
            default=1,
            answers={
                "retry: {attempts: 0}": ["retry.attempts: must be from 1 to 20, not 0"],
                'retry: {attempts: "3"}': ["retry.attempts: must be a whole number, not text"],
            },
        ),
        "backoff": Row(
            built=lambda rules, rule: rule.retry.backoff,
            example=timedelta(minutes=5),
            default=timedelta(minutes=1),
            answers={
                "retry: {backoff: 5m}": ["retry.backoff: has no effect without attempts: 2 or more"],
                "retry: {attempts: 3, backoff: 5}": [
                    "retry.backoff: 5 has no unit; write whole numbers with units, the longest first: 90s, 5m, 24h, 3d, 1h30m"
                ],
            },
        ),
    },
}
