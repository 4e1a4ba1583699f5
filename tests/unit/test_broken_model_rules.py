"""What is wrong with a rule about drift, models or deployments is refused: every new key, and every contradiction."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ConfigurationError
from shared.rules import Rules, yaml_lines
from shared.rules import file as rules_file

ROOT = Path(__file__).parents[2]
MODIFIED = datetime(2026, 11, 22, tzinfo=UTC)
SETTINGS = {"ENDPOINT": "diabetes-relearn", "MARGIN": "0.002", "EMPTY": ""}

HEAD = "version: 1\nreactions:\n  rule:\n"
DRIFT = '    when: {drift-detected: {monitor: "diabetes-{batch}"}}\n'
MODEL = '    when: {model-registered: {model: "{family}-classifier"}}\n'
RUN = "    run-pipeline: p\n"
ENDPOINT = 'endpoint: "${ENDPOINT}"'
REQUEST = "smoke-test: ml/samples/diabetes-request.json"
SERVING = "serving: {code: azureml:diabetes-serving:1, environment: azureml:relearn-sklearn:1}"
DEPLOY = f"    deploy-model: {{{ENDPOINT}, {REQUEST}, {SERVING}}}\n"
CODE = "/subscriptions/1/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/w/codes/c/versions/1"
ENVIRONMENT = CODE.replace("/codes/", "/environments/")

# In every table: what stands where the rule has an @, and the one problem there is with it, on that line.

MONITORS = [
    ("a monitor that is a number", "monitor: 5", "monitor: must be text, not a number; put it in quotes"),
    ("monitors in a list", "monitor: [a, b]", "monitor: must be text, not a list"),
    ("a monitor without a name", 'monitor: ""', "monitor: is empty"),
    ("two stars", 'monitor: "diabetes-**"', "has ** in it; in a name * stands for any text"),
    ("captures side by side", 'monitor: "{a}{b}"', "side by side; put text between them"),
    ("a capture twice", 'monitor: "{a}-{a}"', "captures {a} twice"),
    ("an open brace", 'monitor: "diabetes-{batch"', "has a brace without its other half"),
    ("a question mark", 'monitor: "diabetes-?"', "has a ?, which has no meaning in a pattern"),
    ("the live model", 'monitor: "{live:${ENDPOINT}}"', "{live:diabetes-relearn} has no meaning in a pattern"),
    ("a capture of the signal", 'monitor: "x-{signal}"', "must not capture {signal}: drift-detected itself gives"),
    ("a capture of the monitor", 'monitor: "{monitor}"', "must not capture {monitor}"),
    ("a capture of the run", 'monitor: "{run_id}"', "must not capture {run_id}"),
    ("a capture of a built-in", 'monitor: "{count}"', "must not capture {count}: Relearn itself gives"),
    ("a setting that is not set", 'monitor: "${MONITOR}"', "monitor: the setting MONITOR is not set"),
]
DRIFTS = [
    ("a misspelled key", "signal: [a]", "signal: is not a key; did you mean signals?"),
    ("an unknown key", "colour: red", "colour: is not a key; there are monitor, signals, times, within"),
    ("a key of another event", "tags: {a: b}", "does not belong here, but under when.model-registered"),
    ("a signal that is not in a list", "signals: data_drift", "signals: must be a list"),
    ("no signals", "signals: []", "signals: is empty"),
    ("a signal that is a number", "signals: [5]", "signals[1]: must be text, not a number"),
    ("a signal without a name", 'signals: [a, " "]', "signals[2]: is empty; name a signal"),
    ("a star in a signal", 'signals: ["data_*"]', "must be the plain name of a signal, without *"),
    ("a placeholder in a signal", 'signals: ["{batch}"]', "must be the plain name of a signal, without {"),
    ("a signal twice", "signals: [a, b, a]", "signals[3]: 'a' is named twice"),
    ("no times", "times: 0", "times: must be from 1 to 100, not 0"),
    ("too many times", "times: 101, within: 1d", "times: must be from 1 to 100, not 101"),
    ("one and a half times", "times: 1.5", "times: must be a whole number, not 1.5"),
    ("true times", "times: true", "times: must be a whole number, not true or false"),
    ("times in words", "times: twice", "times: must be a whole number, not text"),
    ("times without within", "times: 2", "times: needs within: the time in which 2 breaches count"),
    ("within alone", "within: 3d", "within: has no effect without times: 2 or more"),
    ("within for one", "times: 1, within: 3d", "within: has no effect without times: 2 or more"),
    ("a within without unit", "times: 2, within: 3", "within: 3 has no unit"),
    ("a within in weeks", "times: 2, within: 2w", "within: '2w' is not a duration"),
    ("a within without value", "times: 2, within: ", "within: has no value"),
]
OF_DRIFT = [
    ("waiting for files", "collect: {all-of: [a.csv]}", "all-of: needs file-landed: only files have names"),
    ("giving up on files", "collect: {give-up-after: 1h}", "give-up-after: needs file-landed"),
    ("max-wait alone", "collect: {max-wait: 1h}", "max-wait: has no effect without quiet"),
    (
        "by something that is not captured",
        'collect: {by: "{bach}"}',
        "captured by 'diabetes-{batch}'; did you mean {batch}",
    ),
    ("by what another event gives", 'collect: {by: "{version}"}', "{version} is not captured by"),
    ("by nothing", "collect: {by: batch}", "so every event would be in the same batch"),
    ("by the live model", 'collect: {by: "{live:${ENDPOINT}}"}', "by: must not use {live:diabetes-relearn}"),
    ("by captures run together", 'collect: {by: "{batch}-{signal}"}', "put a slash between its placeholders"),
    ("a parameter of an unknown capture", 'with: {a: "{runid}"}', "did you mean {run_id}?"),
    ("a parameter of a model", 'with: {a: "{model}"}', "{model} is not captured by"),
    ("a parameter of no live model", 'with: {a: "{live:x}"}', "with.a: {live:x}: 'x' is not the name of an endpoint"),
    ("a second action", DEPLOY.strip(), "is a second action beside run-pipeline; write a rule for each"),
    ("a second way to tell", "notify: x", "notify: is a second action beside run-pipeline"),
]
MODELS = [
    ("a misspelled key", "tag: {a: b}", "tag: is not a key; did you mean tags?"),
    ("tags in a list", "tags: [candidate]", "tags: must be a mapping (indented keys"),
    ("tags in a text", "tags: candidate", "tags: must be a mapping"),
    ("no tags", "tags: {}", "tags: is empty"),
    ("a tag that is a list", "tags: {stage: [a]}", "tags.stage: must be text, not a list"),
    ("a tag without value", "tags: {stage: }", "tags.stage: has no value"),
    ("a tag without name", 'tags: {"": a}', "has no name"),
    ("a tag of the setting that is empty", "tags: {stage: '${EMPTY}'}", "tags.stage: the setting EMPTY is empty"),
    ("a setting's tag that is not set", "tags: {stage: '${STAGE}'}", "tags.stage: the setting STAGE is not set"),
    ("a model's property", "properties: {a: b}", "properties: is not a key; there are model, tags"),
]
NAMES_OF_MODELS = [
    ("a capture of the version", 'model: "{version}"', "must not capture {version}: model-registered itself gives"),
    ("a capture of the model", 'model: "{model}"', "must not capture {model}"),
    ("a model that is true", "model: true", "model: must be text, not true or false"),
]
OF_MODELS = [
    ("waiting for files", "collect: {all-of: [a.csv]}", "all-of: needs file-landed"),
    ("a parameter of drift", 'with: {a: "{signal}"}', "{signal} is not captured by '{family}-classifier'"),
]
OF_A_DEPLOYMENT = [
    ("parameters", "with: {a: 1}", "with: does not go with deploy-model: all it takes stands there"),
    ("a batch", "collect: {quiet: 5s}", "collect: does not go with deploy-model: every model is decided on by itself"),
    ("an empty batch", "collect: {}", "collect: does not go with deploy-model"),
    ("skipping", "limits: {while-running: skip}", "limits.while-running: does not go with deploy-model: a newer model"),
    ("a pipeline too", "run-pipeline: p", "run-pipeline: is a second action beside deploy-model"),
    ("a gate in the wrong place", "gate: {metric: a}", "gate: does not belong here, but under deploy-model"),
    ("an endpoint in the wrong place", "endpoint: abc", "endpoint: does not belong here, but under deploy-model"),
    ("code in the wrong place", "code: azureml:a:1", "does not belong here, but under deploy-model.serving"),
    ("a timeout without unit", "timeout: 5", "timeout: 5 has no unit"),
]
DEPLOYMENTS = [
    ("approval", "approval: required", "deploy-model.approval: is not built yet"),
    ("steps of traffic", "traffic: [10, 50, 100]", "deploy-model.traffic: is not built yet"),
    ("soaking", "soak: {for: 10m}", "deploy-model.soak: is not built yet"),
    ("a misspelled key", "smoke_tests: x", "did you mean smoke-test?"),
    ("an unknown key", "colour: red", "there are endpoint, gate, smoke-test, serving, keep-previous"),
    ("no seconds to keep it", "keep-previous: 0s", "keep-previous: '0s' is no time at all"),
    ("too short to keep it", "keep-previous: 4s", "must be at least 5s: so long the previous deployment may still be"),
    ("keeping it without unit", "keep-previous: 60", "keep-previous: 60 has no unit"),
    ("keeping it truly", "keep-previous: true", "keep-previous: must be a duration"),
]
ENDPOINTS = [
    ("an endpoint of two letters", "endpoint: ab", "'ab' is not the name of an endpoint: 3 to 32 letters, digits"),
    ("an endpoint of 33 letters", f"endpoint: {'a' * 33}", "is not the name of an endpoint"),
    ("an endpoint that begins with a digit", "endpoint: 1abc", "is not the name of an endpoint"),
    ("an endpoint with two hyphens", "endpoint: a--b", "is not the name of an endpoint"),
    ("an endpoint that ends in a hyphen", "endpoint: abc-", "is not the name of an endpoint"),
    ("an endpoint with an underscore", "endpoint: a_b", "is not the name of an endpoint"),
    ("an endpoint from the model", 'endpoint: "{model}"', "is not the name of an endpoint"),
    ("an endpoint that is a number", "endpoint: 123", "endpoint: must be text, not a number"),
    ("an endpoint of an empty setting", 'endpoint: "${EMPTY}"', "endpoint: the setting EMPTY is empty"),
]
GATES = [
    ("a gate that is text", "gate: live", "gate: must be a mapping"),
    ("a gate without metric", "gate: {better-than: live}", "gate: metric is missing"),
    ("a gate without rival", "gate: {metric: a}", "gate: better-than is missing"),
    ("another rival", "gate: {metric: a, better-than: 0.8}", "better-than: must be text, not a number"),
    (
        "the previous one",
        "gate: {metric: a, better-than: previous}",
        "must be live, the model that the endpoint serves",
    ),
    ("a metric that is empty", 'gate: {metric: "", better-than: live}', "metric: is empty; name a metric"),
    ("a metric of the event", 'gate: {metric: "{m}", better-than: live}', "the plain name of a metric, without {"),
    ("metrics in a list", "gate: {metric: [a], better-than: live}", "metric: must be text, not a list"),
    ("less than nothing", "gate: {metric: a, better-than: live, by: -0.1}", "by: must be 0 or more, not -0.1"),
    ("a percentage", "gate: {metric: a, better-than: live, by: 1%}", "by: must be a number such as 0.002, not '1%'"),
    (
        "a true margin",
        "gate: {metric: a, better-than: live, by: true}",
        "by: must be a number such as 0.002, not 'true'",
    ),
    (
        "a margin that is a list",
        "gate: {metric: a, better-than: live, by: [1]}",
        "must be a number such as 0.002, not a",
    ),
    (
        "an endless margin",
        "gate: {metric: a, better-than: live, by: .inf}",
        "must be a number such as 0.002, not '.inf'",
    ),
    ("no number", "gate: {metric: a, better-than: live, by: nan}", "must be a number such as 0.002, not 'nan'"),
    ("a margin in computers' digits", "gate: {metric: a, better-than: live, by: 0x1F}", "not '0x1F'"),
    ("a misspelled gate", "gate: {metric: a, beter-than: live}", "beter-than: is not a key; did you mean better-than?"),
    (
        "a key of a batch",
        "gate: {metric: a, better-than: live, quiet: 5s}",
        "quiet: does not belong here, but under col",
    ),
]
CODES = [
    (
        "the newest code",
        "code: azureml:diabetes-serving@latest",
        "not 'azureml:diabetes-serving@latest'; the version must",
    ),
    ("code without version", "code: azureml:diabetes-serving", "code: must be azureml:NAME:VERSION or an ARM id"),
    ("code without azureml", "code: diabetes-serving:1", "code: must be azureml:NAME:VERSION"),
    ("a folder", "code: ml/serving", "code: must be azureml:NAME:VERSION"),
    ("code that is an environment", f"code: {ENVIRONMENT}", "/subscriptions/…/codes/NAME/versions/VERSION"),
    ("code that is a mapping", "code: {name: a}", "code: must be text, not a mapping"),
]
ENVIRONMENTS = [
    ("an environment that is code", f"environment: {CODE}", "/subscriptions/…/environments/NAME/versions/VERSION"),
    ("the newest environment", "environment: azureml:e@latest", "the version must be a fixed one"),
    ("an image", "environment: mcr.microsoft.com/azureml/x:1", "environment: must be azureml:NAME:VERSION"),
]
MACHINES = [
    ("no machine", "instances: 0", "instances: must be from 1 to 50, not 0"),
    ("too many machines", "instances: 51", "instances: must be from 1 to 50, not 51"),
    ("half a machine", "instances: 0.5", "instances: must be a whole number"),
    ("a machine with a space", "instance-type: Standard DS3", "is not a kind of machine, such as Standard_DS3_v2"),
    ("a machine that is a number", "instance-type: 3", "instance-type: must be text, not a number"),
    ("a script that is none", "script: score.sh", "script: 'score.sh' is not the name of a .py file within the code"),
    ("a script in a folder", "script: src/score.py", "script: 'src/score.py' is not the name of a .py file"),
    ("a misspelled key", "instance: 1", "instance: is not a key; did you mean instances?"),
]
REQUESTS = [
    (
        "a request that is not there",
        "smoke-test: ml/samples/no.json",
        "there is no file ml/samples/no.json in the app's",
    ),
    ("a request that is a folder", "smoke-test: ml/samples", "there is no file ml/samples in the app's folder"),
    ("a request outside", "smoke-test: ../request.json", "'../request.json' must be a file within the app's folder"),
    ("a request by a detour", "smoke-test: ml/../../request.json", "must be a file within the app's folder"),
    ("a request from the root", "smoke-test: /etc/passwd", "must be a file within the app's folder"),
    ("a request from a drive", 'smoke-test: "C:/request.json"', "must be a file within the app's folder"),
    ("a request with backslashes", "smoke-test: ml\\samples", "must be a file within the app's folder"),
    ("a request without name", 'smoke-test: ""', "must be a file within the app's folder"),
    ("a request in the file", "smoke-test: {data: [1]}", "smoke-test: must be text, not a mapping"),
    ("a request that is no JSON", "smoke-test: reactions.yaml", "smoke-test: reactions.yaml is not JSON: "),
    (
        "a request without data",
        "smoke-test: host.json",
        "host.json is not a request: it must be a JSON object with a list",
    ),
]


def deployment(*parts):
    return HEAD + MODEL + f"    deploy-model: {{{', '.join(parts)}}}\n"


CODE_AND_ENVIRONMENT = SERVING.removesuffix("}")
TABLES = [
    (HEAD + "    when: {drift-detected: {@}}\n" + RUN, MONITORS),
    (HEAD + '    when: {drift-detected: {monitor: "diabetes-{batch}", @}}\n' + RUN, DRIFTS),
    (HEAD + DRIFT + RUN + "    @\n", OF_DRIFT),
    (HEAD + "    when: {model-registered: {@}}\n" + RUN, NAMES_OF_MODELS),
    (HEAD + "    when: {model-registered: {model: m, @}}\n" + RUN, MODELS),
    (HEAD + MODEL + RUN + "    @\n", OF_MODELS),
    (HEAD + MODEL + DEPLOY + "    @\n", OF_A_DEPLOYMENT),
    (deployment(ENDPOINT, REQUEST, SERVING, "@"), [*DEPLOYMENTS, *GATES]),
    (deployment("@", REQUEST, SERVING), ENDPOINTS),
    (deployment(ENDPOINT, "@", SERVING), REQUESTS),
    (deployment(ENDPOINT, REQUEST, "serving: {@, environment: azureml:e:1}"), CODES),
    (deployment(ENDPOINT, REQUEST, "serving: {@, code: azureml:c:1}"), ENVIRONMENTS),
    (deployment(ENDPOINT, REQUEST, CODE_AND_ENVIRONMENT + ", @}"), MACHINES),
]
CASES = [
    pytest.param(text.replace("@", part), text[: text.index("@")].count("\n") + 1, message, id=f"{name}: {part}")
    for text, cases in TABLES
    for name, part, message in cases
]


def problems_of(text):
    with pytest.raises(ConfigurationError) as refused:
        rules_file.load(text, file="reactions.yaml", settings=SETTINGS, modified=MODIFIED, folder=ROOT)
    return [(problem.line, problem.message) for problem in refused.value.problems]


@pytest.mark.parametrize(("text", "line", "message"), CASES)
def test_it_is_refused_with_this_problem_and_no_other(text, line, message):
    problems = problems_of(text)
    assert [found for found, _ in problems] == [line], problems
    assert message in problems[0][1]


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (HEAD + "    when: {drift-detected: {}}\n" + RUN, ["when.drift-detected: monitor is missing"]),
        (HEAD + "    when: {drift-detected: [a]}\n" + RUN, ["when.drift-detected: must be a mapping"]),
        (HEAD + "    when: {drift-detected: }\n" + RUN, ["when.drift-detected: has no value"]),
        (HEAD + "    when: {model-registered: {tags: {a: b}}}\n" + RUN, ["when.model-registered: model is missing"]),
        (HEAD + MODEL + "    deploy-model: diabetes\n", ["deploy-model: must be a mapping"]),
        (HEAD + MODEL + "    deploy-model:\n", ["deploy-model: has no value"]),
        (
            HEAD + MODEL + "    deploy-model: {}\n",
            ["deploy-model: endpoint is missing", "serving is missing", "smoke-test is missing"],
        ),
        (
            deployment(ENDPOINT, REQUEST, "serving: {}"),
            ["deploy-model.serving: code is missing", "deploy-model.serving: environment is missing"],
        ),
        (deployment(ENDPOINT, REQUEST, "serving: azureml:c:1"), ["deploy-model.serving: must be a mapping"]),
        (
            HEAD + DRIFT + DEPLOY,
            ["deploy-model: needs when: model-registered, not drift-detected: it deploys the model that was"],
        ),
        (
            HEAD + '    when: {file-landed: {path: "lake/*.pkl"}}\n' + DEPLOY,
            ["deploy-model: needs when: model-registered, not file-landed"],
        ),
        (
            HEAD
            + "    when: {file-landed: {path: lake/a}, model-registered: {model: m}, drift-detected: {monitor: m}}\n"
            + RUN,
            ["when.drift-detected: is a second event beside file-landed", "when.model-registered: is a second event"],
        ),
        (
            HEAD + DRIFT.replace('"}}', '", times: 3, within: 1d}}') + RUN + "    collect: {max-events: 2}\n",
            ["collect.max-events: is less than the 3 breaches of times, so no batch could hold what it waits for"],
        ),
    ],
)
def test_it_is_refused_as_a_whole(text, messages):
    problems = problems_of(text)
    assert len(problems) == len(messages), problems
    for (_, message), part in zip(problems, messages, strict=True):
        assert part in message


@pytest.mark.parametrize(
    "text",
    [
        HEAD + DRIFT + RUN + '    collect: {by: "{monitor}/{signal}", quiet: 5s, max-wait: 1m, max-events: 2}\n',
        HEAD + DRIFT + RUN + '    with: {a: "{batch}{monitor}{signal}{run_id}{manifest}{count}{live:${ENDPOINT}}"}\n',
        HEAD + DRIFT.replace('"}}', '", times: 100, within: 365d, signals: [a, b]}}') + RUN,
        HEAD + DRIFT.replace('"}}', '", times: 1}}') + RUN,
        HEAD + MODEL + RUN + '    with: {a: "{family}{model}{version}"}\n    collect: {by: "{family}/{version}"}\n',
        HEAD + MODEL + DEPLOY + "    limits: {cooldown: 1h}\n    retry: {attempts: 2, backoff: 1m}\n    timeout: 3h\n",
        deployment("endpoint: abc", REQUEST, SERVING, "keep-previous: 5s"),
        deployment("endpoint: A1-b2-c3", REQUEST, SERVING, 'gate: {metric: a, better-than: live, by: "${MARGIN}"}'),
        deployment(ENDPOINT, REQUEST, f"serving: {{code: {CODE}, environment: azureml:{ENVIRONMENT}, instances: 50}}"),
    ],
)
def test_what_is_just_right_is_not_refused(text):
    found = rules_file.load(text, file="reactions.yaml", settings=SETTINGS, modified=MODIFIED, folder=ROOT)
    assert isinstance(found, Rules)


# --- requests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "request.json is not JSON: Expecting value"),
        (b"{'data': [1]}", "request.json is not JSON: "),
        (b'{"data": [1]} x', "request.json is not JSON: Extra data"),
        (b'{"data": [NaN]}', "request.json is not JSON: NaN is no number there"),
        (b'\xef\xbb\xbf{"data": [1]}', "request.json is not JSON: "),
        (b'{"data": ["\xe4"]}', "request.json is not UTF-8: "),
        (b"[" * 10_000, "request.json is not a request: it is nested too deeply"),
        (b'{"data": [' + b"9" * 5_000 + b"]}", "request.json is not JSON: "),
        (b'[{"data": [1]}]', "request.json is not a request: it must be a JSON object with a list that is not empty"),
        (b'{"data": []}', "that is not empty"),
        (b'{"data": {"a": 1}}', "that is not empty"),
        (b'{"Data": [1]}', "that is not empty"),
        (b'{"data": [1]}' + b" " * 16 * 1024, "request.json is larger than 16 KB"),
    ],
)
def test_a_request_that_cannot_be_sent_is_refused_where_it_is_named(tmp_path, content, message):
    (tmp_path / "request.json").write_bytes(content)
    text = deployment(ENDPOINT, "smoke-test: request.json", SERVING)
    with pytest.raises(ConfigurationError) as refused:
        rules_file.load(text, file="reactions.yaml", settings=SETTINGS, modified=MODIFIED, folder=tmp_path)
    [problem] = refused.value.problems
    assert problem.line == 5
    assert problem.message.startswith("reactions.rule.deploy-model.smoke-test: request.json ")
    assert message in problem.message


def test_a_request_with_a_name_no_file_can_have_is_refused(tmp_path):
    for name in ("a" * 300, '"a\\0b"'):
        text = deployment(ENDPOINT, f"smoke-test: {name}", SERVING)
        with pytest.raises(ConfigurationError, match="smoke-test: "):
            rules_file.load(text, file="reactions.yaml", settings=SETTINGS, modified=MODIFIED, folder=tmp_path)


def test_without_a_folder_no_request_is_read():
    with pytest.raises(ConfigurationError, match="nothing says which folder the app is in"):
        rules_file.load(HEAD + MODEL + DEPLOY, file="reactions.yaml", settings=SETTINGS, modified=MODIFIED)


# --- the shipped file, with something changed -------------------------------------------------------------------------


def places(value, path=()):
    yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(item, (*path, key))


def changed(value, path, other):
    """The value with another one at that place; without the place, if the other is the word remove."""
    if not path:
        return other
    copy = dict(value) if isinstance(value, dict) else list(value)
    if len(path) == 1 and other == "remove":
        del copy[path[0]]
    else:
        copy[path[0]] = changed(copy[path[0]], path[1:], other)
    return copy


SHIPPED = yaml_lines.read((ROOT / "reactions.yaml").read_text(encoding="utf-8")).value
PLACES = [path for path in places(SHIPPED) if path]
OTHERS = [
    "remove",
    None,
    True,
    0,
    2,
    0.5,
    "",
    "5m",
    "{batch}",
    "{live:abc}",
    "{live:}",
    "${X}",
    [],
    ["a"],
    {},
    {"a": 1},
]


@given(st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(OTHERS)), min_size=1, max_size=3))
def test_whatever_is_changed_in_the_shipped_file_is_right_or_refused(changes):
    value = SHIPPED
    for path, other in changes:
        if path in places(value):
            value = changed(value, path, other)
    assert refused_or_right(json.dumps(value))


def refused_or_right(text):
    settings = {"DIABETES_ENDPOINT": "diabetes-relearn", "DIABETES_OVERNIGHT": "0 2 * * *"}
    try:
        return rules_file.load(text, file="reactions.yaml", settings=settings, modified=MODIFIED, folder=ROOT)
    except ConfigurationError as refused:
        return refused.problems
