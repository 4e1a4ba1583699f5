"""The loop guard says of every path that a rule would start itself, and of no other."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.rules import file as rules_file
from shared.rules import lake_paths
from shared.rules.loops import example, own_event, value_tokens, why_not, written_tokens
from shared.rules.patterns import Exclusion, PathPattern, Template

MODIFIED = datetime(2026, 11, 22, tzinfo=UTC)


def rule(path, exclude=(), more=""):
    text = (
        f"version: 1\nreactions:\n  score:\n    when: {{file-landed: {{path: '{path}', exclude: {list(exclude)}}}}}\n"
    )
    text += f"    run-pipeline: p\n{more}"
    loaded = rules_file.load(text, file="reactions.yaml", settings={}, modified=MODIFIED)
    return loaded.rules["score"]


def found(path, written, exclude=()):
    globs = [Exclusion.parse(text) for text in exclude]
    return example(PathPattern.parse(path), globs, written_tokens(lake_paths.written(written)))


@pytest.mark.parametrize(
    ("path", "written", "such_as"),
    [
        ("lake/0-raw/{batch}/**", "lake/0-raw/{batch}/out/", "lake/0-raw/x/out/x"),
        ("lake/0-raw/{batch}/**", "lake/0-raw/", "lake/0-raw/x/x"),
        ("lake/{layer}/{batch}/*.csv", "lake/2-silver/{batch}/", "lake/2-silver/x/.csv"),
        ("lake/in/{name}.csv", "lake/in/{name}-scored.csv", "lake/in/x-scored.csv"),
        ("lake/in/*", "lake/in/{reaction_id}", "lake/in/x"),
        ("lake/**", "lake/", "lake/x"),
        ("lake/**/scores.csv", "lake/2-silver/{batch}/*.csv", "lake/2-silver/x/scores.csv"),
        ("lake/in/*.csv", "lake/**/*.csv", "lake/in/.csv"),
        ("lake/in/*.csv", "lake/**", "lake/in/.csv"),
        ("lake/in/{{a}}.csv", "lake/in/", "lake/in/{a}.csv"),
        ("lake/a/b", "lake/{x}/{y}", "lake/a/b"),
    ],
)
def test_what_may_be_written_and_is_waited_for_is_named(path, written, such_as):
    assert found(path, written) == such_as


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ("lake/0-raw/{batch}/**", "lake/2-silver/{batch}/"),
        ("lake/0-raw/{batch}/stage/*.csv", "lake/0-raw/{batch}/scores/"),
        ("lake/in/{name}.csv", "lake/in/{name}.parquet"),
        ("lake/in/{name}.csv", "lake/in/{name}/"),
        ("lake/in/*.csv", "lake/in/**/deep/*.csv"),
        ("lake/{a}/{b}", "lake/{a}"),
        ("lake/{a}", "lake/{a}/{b}"),
        ("lake/in/*.csv", "silver/in/"),
        ("lake/in/*.csv", "lake/In/"),
        ("lake/**/a/*.csv", "lake/b/{x}.csv"),
    ],
)
def test_what_is_not_waited_for_gives_no_alarm(path, written):
    assert found(path, written) is None


@pytest.mark.parametrize(
    ("exclude", "such_as"),
    [
        (["out/"], None),
        (["_*"], "lake/in/out/.csv"),
        (["*.csv"], None),
        (["x.csv"], "lake/in/out/.csv"),
        (["in/out/*"], None),
        (["out/x"], "lake/in/out/.csv"),
        ([".csv", "x.csv"], "lake/in/out/x/.csv"),
        (["**/out/*"], None),
        (["lake/in/"], "lake/in/out/.csv"),
    ],
)
def test_what_is_excluded_is_not_waited_for(exclude, such_as):
    path = found("lake/in/**/*.csv", "lake/in/out/", exclude)
    assert (path is None) == (such_as is None)
    if path is not None:
        assert not any(Exclusion.parse(text).match(path.removeprefix("lake/")) for text in exclude)


# --- against brute force ----------------------------------------------------------------------------------------------

SEGMENTS = ["a", "b", "ab", "ba", "aab"]
PATHS = ["/".join(segments) for n in (1, 2, 3, 4) for segments in product(SEGMENTS, repeat=n)]
_piece = st.sampled_from(["a", "b", "{}", "*"])
_segment = st.lists(_piece, min_size=1, max_size=3).filter(
    lambda pieces: not any({one, two} <= {"{}", "*"} for one, two in pairwise(pieces))
)
_segments = st.lists(st.just(["**"]) | _segment, min_size=1, max_size=3)


def spelled(segments, container="lake"):
    names = iter("pqrstuvwxyz")
    text = "/".join("".join(segment) for segment in segments)
    while "{}" in text:
        text = text.replace("{}", f"{{{next(names)}}}", 1)
    return f"{container}/{text}" if container else text


def as_pattern(written):
    """The pattern that matches what is written: a folder is everything in it."""
    return PathPattern.parse(f"{written}**" if written.endswith("/") else written)


@settings(max_examples=300, deadline=None)
@given(_segments, _segments, st.booleans(), st.lists(_segments.map(lambda s: [["*"] if "{}" in p else p for p in s])))
def test_it_agrees_with_trying_every_path(waits, writes, folder, excluded):
    path, written = spelled(waits), spelled(writes) + ("/" if folder else "")
    globs = [Exclusion.parse(spelled(segments, container="")) for segments in excluded]
    pattern, output = PathPattern.parse(path), as_pattern(written)
    tried = [
        each
        for each in PATHS
        if pattern.match("lake", each) is not None
        and output.match("lake", each) is not None
        and not any(glob.match(each) for glob in globs)
    ]
    such_as = example(pattern, globs, written_tokens(lake_paths.written(written)))
    assert such_as is not None or not tried, f"{tried[0]} would start it"
    if such_as is not None:
        rest = such_as.removeprefix("lake/")
        assert pattern.match("lake", rest) is not None
        assert output.match("lake", rest) is not None
        assert not any(glob.match(rest) for glob in globs)


# --- when the rules are read ------------------------------------------------------------------------------------------


def test_a_value_is_a_path_and_its_stars_are_text():
    pattern = PathPattern.parse("lake/in/*.csv")
    assert example(pattern, [], value_tokens(Template.parse("lake/in/{a}.csv"))) == "lake/in/x.csv"
    assert example(pattern, [], value_tokens(Template.parse("lake/*/a.csv"))) is None


# --- before a start ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "own"),
    [
        ("lake/in/p1.csv", True),
        ("lake/in/", True),
        ("lake/", True),
        ("lake/in/*.csv", True),
        ("lake/**", True),
        ("lake/in/p1.txt", False),
        ("lake/in/tmp-1.csv", False),
        ("lake/in/p1.csv/", False),
        ("lake/out/", False),
        ("other/in/p1.csv", False),
        ("lake/in/{p}.csv", True),
    ],
)
def test_it_is_known_whether_a_path_is_one_the_rule_waits_for(path, own):
    assert own_event(rule("lake/in/{name}.csv", ["tmp-*"]), path) is own


def test_a_rule_that_waits_for_no_file_has_no_own_file():
    text = "version: 1\nreactions:\n  r:\n    when: {file-overdue: {path: lake/a, expect: every 1d}}\n    notify: x\n"
    overdue = rules_file.load(text, file="f", settings={}, modified=MODIFIED).rules["r"]
    assert not own_event(overdue, "lake/a")  # that it comes is what is hoped for
    assert why_not(overdue, ["lake/a"], {"a": "lake/a"}, []) is None


def test_a_run_that_would_write_what_its_rule_waits_for_is_not_started():
    scored = rule("lake/{name}.csv", more="    collect: {max-events: 1}\n    with: {to: '{name}/scored.csv'}\n")
    assert why_not(scored, [], {"to": "p1/scored.csv"}, ["lake/p1.csv"]) is None
    why = why_not(scored, [], {"to": "lake/scored.csv"}, ["lake/lake.csv"])
    assert why == (
        "loop guard: with.to: lake/scored.csv is a path that the rule itself waits for (lake/{name}.csv), so its run "
        "would start it again, for ever; have the run write elsewhere, or exclude the path"
    )
    assert "loop guard: writes: lake/" in (why_not(scored, ["lake/"], {}, []) or "")


def test_what_landed_and_what_the_batch_needs_is_read_and_not_written():
    stage = rule("lake/in/{batch}/*.csv", more="    collect: {by: '{batch}', all-of: [a.csv, b.csv]}\n")
    values = {"a": "lake/in/1/a.csv", "landed": "lake/in/1/c.csv", "folder": "lake/in/1", "text": "v1.2 of a/b"}
    assert why_not(stage, [], values, ["lake/in/1/c.csv"]) is None
    assert why_not(stage, [], values, []) is not None
