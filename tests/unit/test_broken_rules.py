"""A rules file that is wrong is refused with every problem, each on its line and with what to do."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ConfigurationError
from shared.rules import Rules
from shared.rules import file as rules_file

MODIFIED = datetime(2026, 11, 22, tzinfo=UTC)
HEAD = "version: 1\nreactions:\n  score:\n"
WHEN = '    when: {file-landed: {path: "lake/in/{batch}/{part}/*.csv"}}\n'
RUN = "    run-pipeline: score-diabetes\n"
RULE = HEAD + WHEN + RUN
NO_ACTION = "reactions.score: has no action; write run-pipeline, run-job, deploy-model or notify"

# Each case is refused with exactly the problems it names: a part of the message, and the line.

WHOLE_FILES = [
    ("an empty file", "", [(1, "has no rules: it must begin with version: 1")]),
    ("a comment alone", "# nothing yet\n", [(1, "has no rules")]),
    ("null", "~", [(1, "has no rules")]),
    ("a text", "score everything", [(1, "has no rules")]),
    ("a list", "- version: 1\n", [(1, "has no rules")]),
    ("a tab", "version: 1\nreactions:\n\tscore: x\n", [(3, "a tab; indent with spaces")]),
    ("an open bracket", RULE + "    retry: {attempts: 2\n  x: 1\n", [(7, "is not YAML: ")]),
    ("an open quote", 'version: 1\nreactions: "x\n', [(2, "is not YAML: found unexpected end of stream")]),
    ("braces without quotes", RULE + "    collect: {by: {batch}/{part}}\n", [(6, "; put text with braces in quotes")]),
    ("a wrong indent", RULE + "   timeout: 5m\n", [(6, "is not YAML: ")]),
    ("an indent too far", HEAD + "   when: {}\n    timeout: 5m\n", [(5, "; indent the line as those beside it")]),
    ("a colon too many", "version: 1: 2\n", [(1, "mapping values are not allowed here")]),
    ("a control character", "version: 1\nreactions: \x07\n", [(2, "U+0007 must not occur")]),
    ("two documents", RULE + "---\nversion: 1\n", [(6, "has a second document")]),
    ("an unknown alias", RULE + "    retry: *again\n", [(6, "undefined alias 'again'")]),
    ("a star without quotes", RULE + "    notify: *.csv\n", [(6, "; put text that begins with * in quotes")]),
    ("text after braces", RULE + "    with:\n      a: {b}/c\n", [(7, "; put the whole text in quotes")]),
    ("braces after braces", RULE + "    with:\n      a: {b}{c}\n", [(7, "; put the whole text in quotes")]),
    ("a colon in braces", RULE + "    with: {a: b: c}\n", [(6, "; put text with a colon in quotes")]),
    ("a colon in text", RULE + "    notify: a: b\n", [(6, "; put text with a colon in quotes")]),
    ("a list inside itself", "version: 1\nreactions: &a [*a]\n", [(1, "aliases grow without end")]),
    (
        "a bomb of aliases",
        "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
        + "".join(
            f"{after}: &{after} [{', '.join([f'*{before}'] * 10)}]\n"
            for before, after in zip("abcde", "bcdef", strict=True)
        ),
        [(1, "aliases grow without end")],
    ),
    ("a thousand brackets", "[" * 1_000, [(1, "nested too deeply")]),
]

# A line with a problem ends in a comment of as many exclamation marks as it has problems.
FILES = [
    ("no version", "reactions: # !\n  score:\n" + WHEN + RUN, ["version is missing"]),
    ("version 2", RULE.replace("1\n", "2 # !\n", 1), ["version: must be 1"]),
    ("a version in quotes", RULE.replace("1\n", "'1' # !\n", 1), ["version: must be 1"]),
    ("a true version", RULE.replace("1\n", "true # !\n", 1), ["version: must be 1"]),
    ("no reactions", "version: 1 # !\n", ["reactions is missing"]),
    ("reactions without value", "version: 1\nreactions: # !\n", ["reactions: has no value"]),
    ("an empty mapping of reactions", "version: 1\nreactions: {} # !\n", ["reactions: is empty"]),
    ("a list of reactions", "version: 1\nreactions: [a] # !\n", ["reactions: must be a mapping"]),
    ("an unknown key beside", RULE + "reaction: 1 # !\n", ["reaction: is not a key; did you mean reactions?"]),
    ("no resources beside", RULE + "resources: {} # !\n", ["resources: is empty"]),
    (
        "a rule's key beside",
        RULE + "cooldown: 1h # !\n",
        ["cooldown: does not belong here, but under limits of a reaction"],
    ),
    (
        "a factory's key",
        RULE + "factory: {concurency: 4} # !\n",
        ["factory.concurency: is not a key; did you mean con"],
    ),
    ("a rule's key there", RULE + "factory: {timeout: 4h} # !\n", ["but under the name of a reaction"]),
    ("a key twice beside", RULE + "version: 1 # !\n", ["'version' appears twice in one place, first on line 1"]),
    ("a reaction twice", RULE + "  score: {} # !\n", ["'score' appears twice in one place, first on line 3"]),
    (
        "a merge key",
        RULE + "    <<: {timeout: 5m} # !\n",
        ["merges with <<"],
    ),
    ("a tag", RULE + "    timeout: !duration 5m # !\n", ["has the tag !duration"]),
    ("a key that is a list", RULE + "    ? [a] # !\n    : b\n", ["has a key that is not text"]),
    ("a reaction with a space", RULE.replace("score:", "score it: # !"), ["reactions.score it: is not the name"]),
    ("a reaction in upper case", RULE.replace("score:", "Score: # !"), ["is not the name of a reaction"]),
    ("a reaction with two hyphens", RULE.replace("score:", "score--it: # !"), ["is not the name of a reaction"]),
    (
        "a reaction of 65 letters",
        RULE.replace("score:", "a" * 65 + ": # !"),
        ["small letters, digits and single hyphens"],
    ),
    ("a reaction without a name", RULE.replace("score:", '"": # !'), ["is not the name of a reaction"]),
    ("a reaction that is text", "version: 1\nreactions:\n  score: yes # !\n", ["reactions.score: must be a mapping"]),
    ("a reaction without value", "version: 1\nreactions:\n  score: # !\n", ["reactions.score: has no value"]),
    ("no when", "version: 1\nreactions:\n  score: # !\n" + RUN, ["reactions.score: when is missing"]),
    ("no action", "version: 1\nreactions:\n  score: # !\n" + WHEN, [NO_ACTION]),
    ("an empty reaction", "version: 1\nreactions:\n  score: {} # !!\n", [NO_ACTION, "when is missing"]),
    (
        "by without quotes",
        RULE + "    collect: {by: {batch}} # !!\n",
        [
            "by.batch: has no value; write one, or leave the key out; if the text {batch} is meant, put it in quotes",
            "by: must be text, not a mapping",
        ],
    ),
    (
        "settings in a list",
        RULE + '    collect: {all-of: ["${A}.csv", "${B}"]} # !!\n',
        [
            "all-of[1]: the setting A is not set",
            "all-of[2]: the setting B is not set",
        ],
    ),
    (
        "a file that is excluded",
        RULE.replace('csv"', 'csv", exclude: ["_*"]') + "    collect: {all-of: [_a.csv]} # !\n",
        [
            "'_a.csv' can never come: it is excluded by '_*'",
        ],
    ),
    (
        "a capture beyond by",
        RULE + '    collect: {by: "{batch}"}\n    with: {a: "{part}"} # !\n',
        [
            "with.a: {part} may differ between the events of one batch; add it to collect.by, set collect.max-events",
        ],
    ),
    (
        "max-wait shorter than quiet",
        RULE + "    collect:\n      quiet: 5m\n      max-wait: 90s # !\n",
        ["than quiet (5m)"],
    ),
    (
        "a file twice",
        RULE + "    collect:\n      all-of:\n        - a.csv\n        - a.csv # !\n",
        ["all-of[2]: 'a.csv' is named twice"],
    ),
    (
        "a key in block style",
        RULE + "    limits:\n      concurrency: 0 # !\n",
        ["limits.concurrency: must be from 1 to 10000, not 0"],
    ),
    ("a parameter of ours", RULE + "    with:\n      a: 1\n      reaction_id: x # !\n", ["is sent by Relearn itself"]),
    (
        "parameters that differ in case",
        RULE + "    with:\n      batch: 1\n      Batch: 2 # !\n",
        ["the same parameter as batch"],
    ),
    ("a parameter without value", RULE + "    with:\n      a: # !\n", ["with.a: has no value"]),
]

# Lines added to a rule that is right.
MORE = [
    ("an unknown key", "colour: red", "colour: is not a key; there are when, collect"),
    ("a key in the wrong place", "quiet: 5s", "quiet: does not belong here, but under collect"),
    ("a key with two places", "by: x", "by: does not belong here, but under collect or deploy-model.gate"),
    ("a key of the factory too", "concurrency: 4", "does not belong here, but under factory or limits"),
    ("a key of the file too", "resources: [a]", "does not belong here, but under the top of the file or limits"),
    ("a key much like another", "code: azureml:a:1", "code: does not belong here, but under deploy-model.serving"),
    ("a key one level too deep", "retry: {timeout: 5m}", "but under the name of a reaction"),
    ("a key twice", "run-pipeline: score-diabetes", "'run-pipeline' appears twice in one place, first on line 5"),
    ("a key twice, deep", "retry: {attempts: 2, attempts: 3}", "'attempts' appears twice"),
    ("collect as a list", "collect: [batch]", "collect: must be a mapping (indented keys"),
    ("with as a list", "with: [a]", "with: must be a mapping"),
    ("no value", "timeout:", "timeout: has no value; write one, leave the key out"),
    ("two actions", "notify: x", "notify: is a second action beside run-pipeline"),
    ("a mode there is not", "mode: dry-run", "mode: must be act or observe, not 'dry-run'"),
    ("live without an endpoint", 'with: {m: "{live}"}', "{live} needs an endpoint: {live:ENDPOINT}"),
    ("live at an endpoint there cannot be", 'with: {m: "{live:-x}"}', "{live:-x}: '-x' is not the name of an endpoint"),
    ("live at a setting that is not set", 'with: {m: "{live:${MODEL}}"}', "with.m: the setting MODEL is not set"),
    ("by the live model", 'collect: {by: "{live:${ENDPOINT}}"}', "by: must not use {live:endpoint}, which is known"),
    ("expectations", "expect: {}", "expect: does not belong here, but under when.file-overdue"),
    ("a policy there is not", "limits: {while-running: no}", "must be coalesce, queue, skip or replace, not 'no'"),
    ("a policy that is a list", "limits: {while-running: [skip]}", "must be text, not a list"),
    ("a number for a duration", "timeout: 24", "timeout: 24 has no unit; write whole numbers"),
    ("an unknown unit", "timeout: 5min", "timeout: '5min' is not a duration"),
    ("a space in a duration", "timeout: 5 m", "timeout: '5 m' is not a duration"),
    ("half an hour", "timeout: 0.5h", "timeout: '0.5h' is not a duration"),
    ("no time", "limits: {cooldown: 0s}", "cooldown: '0s' is no time at all; leave the key out"),
    ("two years", "timeout: 730d", "timeout: '730d' is longer than 365 days"),
    ("a true duration", "timeout: true", "must be a duration such as 5m, not true or false"),
    ("attempts in quotes", "retry: {attempts: '3'}", "must be a whole number, not text"),
    ("no attempts", "retry: {attempts: 0}", "attempts: must be from 1 to 20, not 0"),
    ("true attempts", "retry: {attempts: true}", "must be a whole number, not true or false"),
    ("half an attempt", "retry: {attempts: 2.5}", "must be a whole number, not 2.5"),
    ("no events", "collect: {max-events: 0}", "max-events: must be from 1"),
    ("a setting that is not set", 'with: {m: "${MODEL}"}', "with.m: the setting MODEL is not set"),
    ("an empty setting", 'with: {m: "${EMPTY}"}', "with.m: the setting EMPTY is empty"),
    ("a setting with a space", 'with: {m: "${A B}"}', "${A B} is not a setting; write ${NAME}"),
    ("a setting left open", 'with: {m: "${END"}', "${END is not a setting"),
    ("by something that is not captured", 'collect: {by: "{bach}"}', "did you mean {batch}?"),
    ("by nothing", "collect: {by: batch}", "by: 'batch' has no {capture} in it"),
    ("by the reaction", 'collect: {by: "{reaction_id}"}', "must not use {reaction_id}"),
    ("by two captures run together", 'collect: {by: "{batch}-{part}"}', "put a slash between its placeholders"),
    ("give-up-after alone", "collect: {give-up-after: 1h}", "give-up-after: has no effect without all-of"),
    ("max-wait alone", "collect: {max-wait: 1h}", "max-wait: has no effect without quiet"),
    ("nothing in all-of", "collect: {all-of: []}", "all-of: is empty"),
    ("all-of as a text", "collect: {all-of: a.csv}", "all-of: must be a list"),
    ("a star in all-of", 'collect: {all-of: ["*.csv"]}', "must be the plain name of a file, without *"),
    ("a placeholder in all-of", 'collect: {all-of: ["{batch}.csv"]}', "plain name of a file, without {"),
    ("a slash before a name", "collect: {all-of: [/a.csv]}", "without a slash at its beginning"),
    ("a name that is a number", "collect: {all-of: [5]}", "all-of[1]: must be text, not a number"),
    ("a name that is empty", 'collect: {all-of: [""]}', "is empty; name a file"),
    (
        "a file that does not fit the path",
        "collect: {all-of: [a.txt]}",
        "'a.txt' can never come: lake/in/{batch}/{part}/a.txt does",
    ),
    ("a file in a folder that does not fit", "collect: {all-of: [x/a.csv]}", "can never come"),
    (
        "fewer events than files",
        "collect: {all-of: [a.csv, b.csv], max-events: 1}",
        "is less than the 2 files of all-of",
    ),
    ("backoff without attempts", "retry: {backoff: 5m}", "backoff: has no effect without attempts: 2 or more"),
    ("a parameter of ours in capitals", "with: {Attempt: 1}", "Attempt: is sent by Relearn itself"),
    ("a parameter without name", 'with: {"": 1}', "has no name"),
    ("a parameter that is a list", "with: {a: [1]}", "with.a: must be text, not a list"),
    (
        "49 parameters",
        "with: {" + ", ".join(f"p{i}: 1" for i in range(49)) + "}",
        "has 49 parameters; a pipeline takes 50",
    ),
    ("a parameter of an unknown capture", 'with: {a: "{bach}"}', "{bach} is not captured by"),
    ("a parameter of a capture without by", 'with: {a: "{batch}"}', "{batch} may differ between"),
    ("a parameter with an open brace", 'with: {a: "{batch"}', "has a brace without its other half; write {{"),
]

# Instead of its trigger.
TRIGGERS = [
    ("a misspelled trigger", "when: {file-laned: {path: lake/a}}", "did you mean file-landed?"),
    ("nothing happens", "when: {}", "reactions.score.when: has no event; write file-landed, drift"),
    ("when in words", "when: a file lands", "reactions.score.when: must be a mapping"),
    ("file-landed as a text", "when: {file-landed: lake/a}", "file-landed: must be a mapping"),
    ("exclude as a text", 'when: {file-landed: {path: lake/a, exclude: "_*"}}', "exclude: must be a list"),
    ("a number that is excluded", "when: {file-landed: {path: lake/a, exclude: [5]}}", "exclude[1]: must be text"),
    ("a run's end", "when: {run-ended: {}}", "when.run-ended: is not built yet"),
    ("no expectation", "when: {file-overdue: {path: lake/a}}", "when.file-overdue: expect is missing"),
    ("an event there is not", "when: {colour: red}", "colour: is not a key; there are file-landed, drift"),
    (
        "the live model in a path",
        'when: {file-landed: {path: "lake/{live:abc}"}}',
        "{live:abc} has no meaning in a pat",
    ),
    ("a path that begins with a slash", "when: {file-landed: {path: /lake/a}}", "path: '/lake/a' begins with a slash"),
    ("a path that is a container", "when: {file-landed: {path: lake}}", "path: 'lake' names a container only"),
    ("any container", 'when: {file-landed: {path: "*/a"}}', "must begin with the name of a container"),
    ("a capture twice", 'when: {file-landed: {path: "lake/{a}/{a}"}}', "captures {a} twice"),
    ("captures side by side", 'when: {file-landed: {path: "lake/{a}{b}"}}', "side by side; put text between them"),
    ("an open brace", 'when: {file-landed: {path: "lake/{a"}}', "has a brace without its other half"),
    ("a capture of a built-in", 'when: {file-landed: {path: "lake/{count}/a"}}', "must not capture {count}"),
    ("an exclusion that captures", 'when: {file-landed: {path: lake/a, exclude: ["{a}"]}}', "must not capture"),
    ("no path", "when: {file-landed: {exclude: []}}", "when.file-landed: path is missing"),
]

# Instead of its action.
ACTIONS = [
    ("a misspelled action", "run-pipelin: p", "run-pipelin: is not a key; did you mean run-pipeline?"),
    ("an underscore", "run_pipeline: p", "run_pipeline: is not a key; did you mean run-pipeline?"),
    ("a job", "run-job: j", "run-job: must be a mapping (indented keys"),
    ("a rollback", "roll-back: {}", "roll-back: is not built yet"),
    ("a pipeline that is a number", "run-pipeline: 5", "must be text, not a number; put it in quotes"),
    ("a pipeline that is a mapping", "run-pipeline: {name: p}", "must be text, not a mapping"),
    ("a pipeline without name", 'run-pipeline: ""', "1 to 260 characters, not 0"),
    ("a pipeline of 261 letters", f"run-pipeline: {'p' * 261}", "1 to 260 characters, not 261"),
    ("a pipeline with a slash", "run-pipeline: a/b", "'a/b' is not the name of a pipeline: it must not have /"),
    ("a pipeline from the event", 'run-pipeline: "{batch}"', "it must not have { }"),
]


def marked(text):
    """The lines of the problems: one for each exclamation mark in a comment."""
    found = ((line, re.search(r"# (!+)$", content)) for line, content in enumerate(text.splitlines(), start=1))
    return [line for line, mark in found if mark for _ in mark.group(1)]


CASES = [
    *WHOLE_FILES,
    *((name, text, list(zip(marked(text), messages, strict=True))) for name, text, messages in FILES),
    *((name, f"{RULE}    {line}\n", [(6, message)]) for name, line, message in MORE),
    *((name, f"{HEAD}    {line}\n{RUN}", [(4, message)]) for name, line, message in TRIGGERS),
    *((name, f"{HEAD}{WHEN}    {line}\n", [(5, message)]) for name, line, message in ACTIONS),
]


def problems_of(text):
    with pytest.raises(ConfigurationError) as refused:
        rules_file.load(text, file="reactions.yaml", settings={"EMPTY": "", "ENDPOINT": "endpoint"}, modified=MODIFIED)
    assert {problem.where for problem in refused.value.problems} == {"reactions.yaml"}
    return [(problem.line, problem.message) for problem in refused.value.problems]


def test_there_are_many_of_them():
    assert len(CASES) > 100
    assert len({name for name, _, _ in CASES}) == len(CASES)


@pytest.mark.parametrize(
    ("text", "expected"), [pytest.param(text, expected, id=name) for name, text, expected in CASES]
)
def test_it_is_refused_with_these_problems_and_no_others(text, expected):
    problems = problems_of(text)
    assert [line for line, _ in problems] == [line for line, _ in expected], problems
    for (_, message), (_, part) in zip(problems, expected, strict=True):
        assert part in message


@pytest.mark.parametrize(
    "more",
    [
        "",
        '    collect: {by: "{batch}/{part}"}\n    with: {a: "{batch}", b: "{part}", c: "{count}{reaction_id}"}\n',
        '    collect: {max-events: 1}\n    with: {a: "{batch}", b: "{part}"}\n',
        "    collect: {all-of: [a.csv, b.csv], max-events: 2}\n",
        "    collect: {quiet: 5m, max-wait: 300s}\n",
        f"    with: {{{', '.join(f'p{i}: 1' for i in range(48))}}}\n",
        "    retry: {attempts: 20, backoff: 365d}\n",
    ],
)
def test_what_is_just_right_is_not_refused(more):
    assert isinstance(rules_file.load(RULE + more, file="reactions.yaml", settings={}, modified=MODIFIED), Rules)


def test_every_problem_of_a_file_is_told_at_once():
    text = """version: 1
reactions:
  score:
    when:
      file-landed:
        path: "lake/{batch}/*.csv"
        exclude: ["{x}"]
    collect:
      by: "{batsh}"
      quite: 5s
      all-of: [a.csv, a.csv]
    run-pipeline: a/b
    with:
      model: "${MODEL}"
      attempt: 1
    limits: {while-running: queues}
    timeout: 5
  Second:
    when: {run-ended: {}}
    roll-back: {}
"""
    lines = [line for line, _ in problems_of(text)]
    assert lines == [7, 9, 10, 11, 12, 14, 15, 16, 17, 18, 19, 20]


def test_a_problem_of_an_alias_is_where_its_value_is_written():
    text = RULE + "    retry: &again {attempts: 0}\n  other:\n" + WHEN + RUN + "    retry: *again\n"
    assert problems_of(text) == [
        (6, "reactions.other.retry.attempts: must be from 1 to 20, not 0"),
        (6, "reactions.score.retry.attempts: must be from 1 to 20, not 0"),
    ]


def test_problems_read_like_a_compilers():
    with pytest.raises(ConfigurationError, match=r"reactions\.yaml:6: reactions\.score\.timeout: 24 has no unit"):
        rules_file.load(RULE + "    timeout: 24\n", file="reactions.yaml", settings={}, modified=MODIFIED)


def problems_or_none(text):
    try:
        rules_file.load(text, file="reactions.yaml", settings={}, modified=MODIFIED)
    except ConfigurationError as refused:
        return refused.problems
    return None


_sign = st.text(alphabet="abc:-[]{}*&!|>'\"#%@`, \n\t\r\x00\ufeff$", max_size=40)


@given(_sign | st.text(max_size=20))
def test_any_text_is_rules_or_refused_with_lines_that_exist(text):
    for whole in (text, RULE + text):
        problems = problems_or_none(whole)
        lines = whole.count("\n") + whole.count("\r") + 1
        assert problems is None or all(1 <= problem.line <= lines + 1 for problem in problems)
        assert problems != ()


_KEYS = [
    *("when", "file-landed", "path", "exclude", "collect", "by", "all-of", "quiet", "max-wait", "max-events"),
    *("drift-detected", "monitor", "signals", "times", "within", "model-registered", "model", "tags", "deploy-model"),
    *("endpoint", "gate", "metric", "better-than", "smoke-test", "serving", "code", "environment", "keep-previous"),
    *("run-pipeline", "with", "limits", "cooldown", "while-running", "retry", "attempts", "backoff", "timeout", "x"),
    *("file-overdue", "expect", "until", "give-up-after", "run-job", "component", "notify", "writes", "mode"),
    *("require", "report", "min-rows", "max-missing", "concurrency", "resources", "start-rate", "priority"),
    *("during-cooldown", "factory", "signals", "times", "within"),
]
_LEAVES = [
    *("", "5m", "1", "2", "live", "true", "~", '""', "[]", "{}", "[a, b]"),
    *("{batch}", '"{batch}"', "lake/{batch}/*.csv", "${A}"),
    *(
        "[lake/]",
        "[lake/a/, 5, []]",
        "replace",
        "queue",
        "skip",
        "high",
        "observe",
        "every 1h",
        "0 2 * * *",
        "[{}, [a]]",
    ),
]


@given(st.lists(st.tuples(st.integers(2, 5), st.sampled_from(_KEYS), st.sampled_from(_LEAVES)), max_size=8))
def test_any_arrangement_of_keys_is_rules_or_refused(lines):
    problems = problems_or_none(HEAD + "".join(f"{'  ' * depth}{key}: {leaf}\n" for depth, key, leaf in lines))
    assert problems != ()


_inner = st.recursive(
    st.sampled_from(_LEAVES), lambda inner: st.dictionaries(st.sampled_from(_KEYS), inner, max_size=4)
)
_mapping = st.dictionaries(st.sampled_from(_KEYS), _inner, max_size=4)


def flow(value):
    """A value as YAML's flow style has it."""
    return (
        f"{{{', '.join(f'{key}: {flow(item)}' for key, item in value.items())}}}" if isinstance(value, dict) else value
    )


@given(_mapping, _mapping, _mapping, _inner, _inner, _inner)
def test_any_sections_are_rules_or_refused(event, collect, limits, resources, factory, does):
    text = (
        f"version: 1\nresources: {flow(resources)}\nfactory: {flow(factory)}\nreactions:\n  score:\n"
        f"    when: {{file-landed: {flow({'path': 'lake/in/*', **event})}}}\n    collect: {flow(collect)}\n"
        f"    limits: {flow(limits)}\n    run-pipeline: p\n    writes: {flow(does)}\n    with: {flow(does)}\n"
    )
    assert problems_or_none(text) != ()
