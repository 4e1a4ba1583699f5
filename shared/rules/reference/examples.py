"""Every key of the language once rightly used, and what people write instead. The page and the tests load them all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

Lines = Mapping[str, str]

FILES: Final[Lines] = {
    "when": 'when: {file-landed: {path: "lake/in/{batch}/{part}.csv"}}',
    "does": "run-pipeline: score",
}
DRIFT: Final[Lines] = {"when": 'when: {drift-detected: {monitor: "diabetes-{batch}"}}', "does": "run-pipeline: train"}
MODELS: Final[Lines] = {"when": "when: {model-registered: {model: diabetes}}", "does": "run-pipeline: check"}
OVERDUE: Final[Lines] = {
    "when": 'when: {file-overdue: {path: "lake/in/{batch}/{part}.csv", expect: every 24h}}',
    "does": "notify: nothing has come",
}
JOB: Final[Lines] = {**FILES, "does": 'run-job: {component: "azureml:score:1"}'}
NOTIFY: Final[Lines] = {**FILES, "does": "notify: something has come"}

_ENDPOINT: Final = "endpoint: diabetes"
_SERVING: Final = 'serving: {code: "azureml:serving:1", environment: "azureml:sklearn:1"}'
_SMOKE_TEST: Final = "smoke-test: ml/samples/diabetes-request.json"


def shown(name: str, lines: str) -> str:
    """Lines as they are shown for a key: without what every deployment has to say."""
    if name == "deploy-model" and lines == _deployment():
        return lines
    short = lines
    for part in (_ENDPOINT, _SMOKE_TEST, _SERVING):
        if not part.startswith(f"{name}:"):
            short = short.replace(f"{part}, ", "").replace(f", {part}", "")
    if short == lines:
        return lines
    return short.replace("deploy-model: {", "deploy-model: {…, ").replace(f"{{…, {_SERVING}}}", "{…}")


def _deployment(text: str = "", *, endpoint: str = _ENDPOINT, test: str = _SMOKE_TEST) -> str:
    given = (endpoint, test, "" if "serving:" in text else _SERVING, text)
    return f"deploy-model: {{{', '.join(part for part in given if part)}}}"


DEPLOYMENT: Final[Lines] = {"when": MODELS["when"], "does": _deployment()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key.

    Attributes:
        example: lines that use it, of a rule, or of the top of the file.
        wrong: the same with something wrong.
        base: the rest of the rule.
        beside: lines of the other kind that the example needs: of the top of the file, or of its rule.
        against: what is wrong together with other lines beside it.
    """

    example: str
    wrong: tuple[str, ...] = ()
    base: Lines = field(default_factory=lambda: FILES)
    beside: str = ""
    against: tuple[tuple[str, str], ...] = ()
    of_the_file: bool = False

    def wrongly(self) -> Iterator[tuple[str, str]]:
        """Lines with something wrong, and the whole file with them."""
        yield from ((lines, self.file(lines)) for lines in self.wrong)
        for lines, beside in self.against:
            yield lines, replace(self, beside=beside).file(lines)

    def file(self, lines: str) -> str:
        """A whole file with these lines in it, in place of those that they take the place of."""
        top, rule = (lines, self.beside) if self.of_the_file else (self.beside, lines)
        version = "" if top.startswith("version") else "version: 1\n"
        if any(line.startswith("reactions") for line in top.splitlines()):
            return f"{version}{top}\n"
        keys = {line.partition(":")[0] for line in rule.splitlines()}
        given = {"does" if key in {"run-pipeline", "run-job", "deploy-model", "notify"} else key for key in keys}
        kept = [line for key, line in self.base.items() if key not in given]
        body = "".join(f"    {line}\n" for line in [*kept, *rule.splitlines()])
        return f"{version}{top}{chr(10) if top else ''}reactions:\n  score:\n{body}"


def _top(example: str, *wrong: str, base: Lines = FILES, beside: str = "") -> Key:
    return Key(example=example, wrong=wrong, base=base, beside=beside, of_the_file=True)


def _rule(
    example: str, *wrong: str, base: Lines = FILES, beside: str = "", against: tuple[tuple[str, str], ...] = ()
) -> Key:
    return Key(example=example, wrong=wrong, base=base, beside=beside, against=against)


_A_RULE: Final = '{when: {file-landed: {path: "lake/in/*.csv"}}, run-pipeline: score}'

TOP: Final = {
    "version": _top("version: 1", "version: 2", 'version: "1"'),
    "mode": _top("mode: observe", "mode: dry-run", "mode: off"),
    "factory": _top("factory: {concurrency: 40, start-rate: 300/h}", "factory: 40", "factory: {cooldown: 1h}"),
    "resources": _top(
        "resources: {spark-pool: 2}",
        "resources: {spark-pool: 0}",
        "resources: {Spark Pool: 2}",
        "resources: {spark-pool: 2, gpu: 1}",
        "resources: [spark-pool]",
        beside="limits: {resources: [spark-pool]}",
    ),
    "reactions": _top(
        f"reactions: {{score: {_A_RULE}}}",
        f"reactions: {{Score It: {_A_RULE}}}",
        "reactions: {}",
        f"reactions: [{_A_RULE}]",
    ),
}
FACTORY: Final = {
    "concurrency": _top("factory: {concurrency: 40}", "factory: {concurrency: 0}", "factory: {concurrency: many}"),
    "start-rate": _top("factory: {start-rate: 300/h}", "factory: {start-rate: 300}", "factory: {start-rate: 5/min}"),
}
RULE: Final = {
    "when": _rule(
        'when: {file-landed: {path: "lake/in/*.csv"}}',
        'when: {file-landed: {path: "lake/in/*.csv"}, drift-detected: {monitor: m}}',
        "when: {}",
        "when: {run-ended: {}}",
    ),
    "collect": _rule("collect: {quiet: 30s}", "collect: 30s", "collect: {cooldown: 1h}"),
    "run-pipeline": _rule(
        "run-pipeline: score-diabetes",
        "run-pipeline: score/diabetes",
        "run-pipeline: {name: score-diabetes}",
        "run-pipeline: score\nnotify: started",
    ),
    "with": _rule(
        'collect: {by: "{batch}"}\nwith: {batch: "{batch}", files: "{manifest}", rate: 0.10}',
        'with: {batch: "{batch}"}',
        'collect: {by: "{batch}"}\nwith: {batch: "{bach}"}',
        "with: {reaction_id: mine}",
        "with: {batch: a, Batch: b}",
        'with: {model: "{live}"}',
        'collect: {by: "{batch}"}\nwith: {out: "lake/in/{batch}/scores.csv"}',
    ),
    "run-job": _rule(
        'run-job: {component: "azureml:train:1", compute: cpu-cluster}',
        'run-job: "azureml:train:1"',
        'run-job: {component: "azureml:train:1", with: {a: 1}}',
        'run-job: {component: "azureml:train:1"}\nwith: {learning-rate: 0.1}',
    ),
    "deploy-model": _rule(
        _deployment(),
        _deployment("approval: required"),
        _deployment() + "\nwith: {a: 1}",
        _deployment() + "\ncollect: {quiet: 5m}",
        f"{FILES['when']}\n{_deployment()}",
        base=DEPLOYMENT,
    ),
    "notify": _rule(
        'collect: {by: "{batch}"}\nnotify: "{count} file(s) of batch {batch}: {manifest}"',
        "notify: [a, b]",
        "notify: 5",
        'notify: "batch {batch}"',
        "notify: come\nwith: {a: 1}",
        "notify: come\ntimeout: 5m",
        "notify: come\nretry: {attempts: 2}",
    ),
    "mode": _rule("mode: observe", "mode: dry-run", "mode: true", against=(("mode: act", "mode: observe"),)),
    "require": _rule(
        'require: {report: "lake/monitoring/{batch}/report.json", min-rows: 500}',
        'require: {report: "lake/monitoring/{batch}/report.json"}',
        "require: {min-rows: 500}",
        f"{FILES['when']}\nrequire: {{report: lake/monitoring/report.json, min-rows: 500}}",
        base=DRIFT,
    ),
    "writes": _rule(
        'collect: {by: "{batch}"}\nwrites: ["lake/scores/{batch}/"]',
        'collect: {by: "{batch}"}\nwrites: ["lake/in/{batch}/"]',
        "writes: [/lake/scores/]",
        "writes: lake/scores/",
        'writes: ["lake/scores/{part}/"]',
        'writes: ["lake/scores/{manifest}"]',
        f"{DRIFT['when']}\nwrites: [lake/scores/]",
    ),
    "limits": _rule("limits: {cooldown: 6h}", "limits: none", "limits: {quiet: 5m}"),
    "retry": _rule("retry: {attempts: 3, backoff: 1m}", "retry: 3", "retry: {times: 3}"),
    "timeout": _rule("timeout: 2h", "timeout: 120", "timeout: 2 hours", "timeout: 0s", "timeout: 400d"),
}
WHEN: Final = {
    "file-landed": _rule('when: {file-landed: {path: "lake/in/*.csv"}}', "when: {file-landed: lake/in}"),
    "drift-detected": _rule(
        'when: {drift-detected: {monitor: "diabetes-*"}}', "when: {drift-detected: {model: diabetes}}"
    ),
    "model-registered": _rule(
        "when: {model-registered: {model: diabetes}}", "when: {model-registered: {name: diabetes}}"
    ),
    "file-overdue": _rule(
        'when: {file-overdue: {path: "lake/in/*.csv", expect: every 24h}}\nnotify: nothing has come',
        'when: {file-overdue: {path: "lake/in/*.csv"}}\nnotify: nothing has come',
        'when: {file-overdue: {path: "lake/in/*.csv", expect: every 24h}}\nnotify: late\ncollect: {quiet: 5m}',
    ),
}
FILE_LANDED: Final = {
    "path": _rule(
        'when: {file-landed: {path: "lake/in/{batch}/**/*.csv"}}',
        "when: {file-landed: {path: /lake/in/a.csv}}",
        'when: {file-landed: {path: "*/in/a.csv"}}',
        "when: {file-landed: {path: lake}}",
        'when: {file-landed: {path: "lake/{batch}{part}.csv"}}',
        'when: {file-landed: {path: "lake/{count}.csv"}}',
        'when: {file-landed: {path: "lake/in-?.csv"}}',
    ),
    "exclude": _rule(
        'when: {file-landed: {path: "lake/in/**", exclude: ["_*", "*.tmp", "_temporary/"]}}',
        'when: {file-landed: {path: "lake/in/**", exclude: "_*"}}',
        'when: {file-landed: {path: "lake/in/**", exclude: ["{batch}.tmp"]}}',
    ),
}
DRIFT_DETECTED: Final = {
    "monitor": _rule(
        'when: {drift-detected: {monitor: "diabetes-{batch}"}}',
        "when: {drift-detected: {monitor: 5}}",
        'when: {drift-detected: {monitor: "diabetes-{signal}"}}',
        'when: {drift-detected: {monitor: "diabetes-**"}}',
    ),
    "signals": _rule(
        "when: {drift-detected: {monitor: diabetes, signals: [data_drift]}}",
        "when: {drift-detected: {monitor: diabetes, signals: data_drift}}",
        'when: {drift-detected: {monitor: diabetes, signals: ["data_*"]}}',
    ),
    "times": _rule(
        "when: {drift-detected: {monitor: diabetes, times: 2, within: 3d}}",
        "when: {drift-detected: {monitor: diabetes, times: 2}}",
        "when: {drift-detected: {monitor: diabetes, times: 0}}",
        "when: {drift-detected: {monitor: diabetes, times: 3, within: 3d}}\ncollect: {max-events: 2}",
    ),
    "within": _rule(
        "when: {drift-detected: {monitor: diabetes, times: 2, within: 3d}}",
        "when: {drift-detected: {monitor: diabetes, within: 3d}}",
        "when: {drift-detected: {monitor: diabetes, times: 2, within: 3}}",
    ),
}
MODEL_REGISTERED: Final = {
    "model": _rule(
        'when: {model-registered: {model: "diabetes-*"}}',
        "when: {model-registered: {model: true}}",
        'when: {model-registered: {model: "{version}"}}',
    ),
    "tags": _rule(
        "when: {model-registered: {model: diabetes, tags: {stage: candidate}}}",
        "when: {model-registered: {model: diabetes, tags: [candidate]}}",
        "when: {model-registered: {model: diabetes, tags: {}}}",
    ),
}
FILE_OVERDUE: Final = {
    "path": _rule(
        'when: {file-overdue: {path: "lake/in/*.csv", expect: every 24h}}\nnotify: "none since {last}"',
        "when: {file-overdue: {path: lake, expect: every 24h}}",
        'when: {file-overdue: {path: "lake/{due}.csv", expect: every 24h}}',
        base=OVERDUE,
    ),
    "exclude": _rule(
        'when: {file-overdue: {path: "lake/in/*.csv", exclude: ["_*"], expect: every 24h}}',
        'when: {file-overdue: {path: "lake/in/*.csv", exclude: "_*", expect: every 24h}}',
        base=OVERDUE,
    ),
    "expect": _rule(
        'when: {file-overdue: {path: "lake/in/*.csv", expect: every 24h}}',
        'when: {file-overdue: {path: "lake/in/*.csv", expect: 24h}}',
        'when: {file-overdue: {path: "lake/in/*.csv", expect: every day}}',
        base=OVERDUE,
    ),
}
COLLECT: Final = {
    "by": _rule(
        'collect: {by: "{batch}"}',
        'collect: {by: "{bach}"}',
        "collect: {by: batch}",
        'collect: {by: "{batch}-{part}"}',
        'collect: {by: "{reaction_id}"}',
    ),
    "all-of": _rule(
        'collect: {by: "{batch}", all-of: [ages.csv, levels.csv]}',
        "collect: {all-of: ages.csv}",
        'collect: {all-of: ["*.csv"]}',
        "collect: {all-of: [ages.txt]}",
        "collect: {all-of: [ages.csv, ages.csv]}",
        f"{DRIFT['when']}\ncollect: {{all-of: [ages.csv]}}",
        base={**FILES, "when": 'when: {file-landed: {path: "lake/in/{batch}/*.csv"}}'},
    ),
    "give-up-after": _rule(
        "collect: {all-of: [ages.csv], give-up-after: 12h}",
        "collect: {give-up-after: 12h}",
        "collect: {all-of: [ages.csv], give-up-after: 12}",
        base={**FILES, "when": 'when: {file-landed: {path: "lake/in/{batch}/*.csv"}}'},
    ),
    "quiet": _rule(
        "collect: {quiet: 30s}", "collect: {quiet: 30}", "collect: {quiet: 0s}", "collect: {quiet: half a minute}"
    ),
    "max-wait": _rule(
        "collect: {quiet: 30s, max-wait: 10m}",
        "collect: {max-wait: 10m}",
        "collect: {quiet: 30s, max-wait: 10s}",
    ),
    "max-events": _rule(
        "collect: {max-events: 100}",
        "collect: {max-events: 0}",
        "collect: {max-events: 1.5}",
        "collect: {all-of: [a.csv, b.csv], max-events: 1}",
        base={**FILES, "when": 'when: {file-landed: {path: "lake/in/{batch}/*.csv"}}'},
    ),
    "until": _rule(
        'collect: {until: "0 2 * * *"}',
        "collect: {until: 02:00}",
        'collect: {until: "0 25 * * *"}',
        'collect: {until: "0 2 30 2 *"}',
        'collect: {until: "0 2 * * *", quiet: 30s}',
    ),
}
RUN_JOB: Final = {
    "component": _rule(
        'run-job: {component: "azureml:train:1"}',
        'run-job: {component: "azureml:train@latest"}',
        "run-job: {component: train}",
    ),
    "compute": _rule(
        'run-job: {component: "azureml:train:1", compute: cpu-cluster}',
        'run-job: {component: "azureml:train:1", compute: cpu cluster}',
    ),
    "experiment": _rule(
        'run-job: {component: "azureml:train:1", experiment: diabetes}',
        'run-job: {component: "azureml:train:1", experiment: "{batch}"}',
    ),
}
DEPLOY_MODEL: Final = {
    "endpoint": _rule(
        _deployment(endpoint="endpoint: diabetes-patients"),
        _deployment(endpoint="endpoint: ab"),
        _deployment(endpoint='endpoint: "{model}"'),
        base=DEPLOYMENT,
    ),
    "gate": _rule(
        _deployment("gate: {metric: Accuracy, better-than: live, by: 0.002}"),
        _deployment("gate: live"),
        base=DEPLOYMENT,
    ),
    "smoke-test": _rule(
        _deployment(test="smoke-test: ml/samples/diabetes-request.json"),
        _deployment(test="smoke-test: ../request.json"),
        _deployment(test="smoke-test: host.json"),
        _deployment(test="smoke-test: {data: [1]}"),
        base=DEPLOYMENT,
    ),
    "serving": _rule(
        _deployment('serving: {code: "azureml:patients:1", environment: "azureml:sklearn:1"}'),
        _deployment("serving: azureml:serving:1"),
        base=DEPLOYMENT,
    ),
    "keep-previous": _rule(
        _deployment("keep-previous: 10m"),
        _deployment("keep-previous: 10"),
        _deployment("keep-previous: 2s"),
        base=DEPLOYMENT,
    ),
}
GATE: Final = {
    "metric": _rule(
        _deployment("gate: {metric: Accuracy, better-than: live}"),
        _deployment('gate: {metric: "*", better-than: live}'),
        base=DEPLOYMENT,
    ),
    "better-than": _rule(
        _deployment("gate: {metric: Accuracy, better-than: live}"),
        _deployment("gate: {metric: Accuracy, better-than: previous}"),
        base=DEPLOYMENT,
    ),
    "by": _rule(
        _deployment("gate: {metric: Accuracy, better-than: live, by: 0.002}"),
        _deployment("gate: {metric: Accuracy, better-than: live, by: 1%}"),
        _deployment("gate: {metric: Accuracy, better-than: live, by: -1}"),
        base=DEPLOYMENT,
    ),
}
SERVING: Final = {
    "code": _rule(
        _deployment('serving: {code: "azureml:patients:1", environment: "azureml:sklearn:1"}'),
        _deployment('serving: {code: ml/serving, environment: "azureml:sklearn:1"}'),
        base=DEPLOYMENT,
    ),
    "environment": _rule(
        _deployment('serving: {code: "azureml:patients:1", environment: "azureml:sklearn:1"}'),
        _deployment('serving: {code: "azureml:patients:1", environment: "azureml:sklearn@latest"}'),
        base=DEPLOYMENT,
    ),
    "script": _rule(
        _deployment('serving: {code: "azureml:patients:1", environment: "azureml:sklearn:1", script: main.py}'),
        _deployment('serving: {code: "azureml:patients:1", environment: "azureml:sklearn:1", script: src/main.py}'),
        base=DEPLOYMENT,
    ),
    "instance-type": _rule(
        _deployment(
            'serving: {code: "azureml:patients:1", environment: "azureml:sklearn:1", instance-type: Standard_F4s_v2}'
        ),
        _deployment('serving: {code: "azureml:patients:1", environment: "azureml:sklearn:1", instance-type: 4 cores}'),
        base=DEPLOYMENT,
    ),
    "instances": _rule(
        _deployment('serving: {code: "azureml:patients:1", environment: "azureml:sklearn:1", instances: 2}'),
        _deployment('serving: {code: "azureml:patients:1", environment: "azureml:sklearn:1", instances: 0}'),
        base=DEPLOYMENT,
    ),
}
REQUIRE: Final = {
    "report": _rule(
        'require: {report: "lake/monitoring/{batch}/{run_id}/report.json", min-rows: 500}',
        'require: {report: "lake/monitoring/{batch}/", min-rows: 500}',
        'require: {report: "lake/monitoring/*/report.json", min-rows: 500}',
        'require: {report: "lake/monitoring/{reaction_id}.json", min-rows: 500}',
        'require: {report: "lake/monitoring/{bach}.json", min-rows: 500}',
        base=DRIFT,
    ),
    "min-rows": _rule(
        "require: {report: lake/monitoring/report.json, min-rows: 500}",
        "require: {report: lake/monitoring/report.json, min-rows: 0}",
        "require: {report: lake/monitoring/report.json, min-rows: 10%}",
        base=DRIFT,
    ),
    "max-missing": _rule(
        "require: {report: lake/monitoring/report.json, max-missing: 5%}",
        "require: {report: lake/monitoring/report.json, max-missing: 0.05}",
        "require: {report: lake/monitoring/report.json, max-missing: 120%}",
        base=DRIFT,
    ),
}
LIMITS: Final = {
    "concurrency": _rule(
        'collect: {by: "{batch}"}\nlimits: {concurrency: 4}',
        "limits: {concurrency: 4}",
        'collect: {by: "{batch}"}\nlimits: {concurrency: 0}',
        'collect: {by: "{batch}"}\nlimits: {concurrency: four}',
        "notify: come\nlimits: {concurrency: 4}",
    ),
    "resources": _rule(
        "limits: {resources: [spark-pool]}",
        "limits: {resources: [spark-pol]}",
        "limits: {resources: spark-pool}",
        "limits: {resources: [spark-pool, spark-pool]}",
        beside="resources: {spark-pool: 2}",
    ),
    "start-rate": _rule(
        "limits: {start-rate: 10/m}",
        "limits: {start-rate: 10}",
        "limits: {start-rate: 0/h}",
        "limits: {start-rate: 10/min}",
    ),
    "priority": _rule(
        "limits: {resources: [spark-pool], priority: high}",
        "limits: {resources: [spark-pool], priority: 1}",
        "limits: {resources: [spark-pool], priority: urgent}",
        beside="resources: {spark-pool: 2}",
        against=(("limits: {priority: high}", ""),),
    ),
    "cooldown": _rule("limits: {cooldown: 6h}", "limits: {cooldown: 6}", "limits: {cooldown: 0s}"),
    "during-cooldown": _rule(
        "limits: {cooldown: 6h, during-cooldown: skip}",
        "limits: {during-cooldown: skip}",
        "limits: {cooldown: 6h, during-cooldown: queue}",
    ),
    "while-running": _rule(
        "limits: {while-running: queue}",
        "limits: {while-running: wait}",
        "notify: come\nlimits: {while-running: replace}",
        f"{OVERDUE['when']}\nlimits: {{while-running: replace}}",
    ),
}
RETRY: Final = {
    "attempts": _rule("retry: {attempts: 3}", "retry: {attempts: 0}", 'retry: {attempts: "3"}'),
    "backoff": _rule("retry: {attempts: 3, backoff: 5m}", "retry: {backoff: 5m}", "retry: {attempts: 3, backoff: 5}"),
}

EXAMPLES: Final[Mapping[str, Mapping[str, Key]]] = {
    "": TOP,
    "factory": FACTORY,
    "reactions.NAME": RULE,
    "reactions.NAME.when": WHEN,
    "reactions.NAME.when.file-landed": FILE_LANDED,
    "reactions.NAME.when.drift-detected": DRIFT_DETECTED,
    "reactions.NAME.when.model-registered": MODEL_REGISTERED,
    "reactions.NAME.when.file-overdue": FILE_OVERDUE,
    "reactions.NAME.collect": COLLECT,
    "reactions.NAME.run-job": RUN_JOB,
    "reactions.NAME.deploy-model": DEPLOY_MODEL,
    "reactions.NAME.deploy-model.gate": GATE,
    "reactions.NAME.deploy-model.serving": SERVING,
    "reactions.NAME.require": REQUIRE,
    "reactions.NAME.limits": LIMITS,
    "reactions.NAME.retry": RETRY,
}
"""By section, as `schema.sections` names it, and key."""


def every() -> Iterator[tuple[str, str, Key]]:
    """Section, name and example of each key."""
    for section, keys in EXAMPLES.items():
        for name, key in keys.items():
            yield section, name, key
