"""Patterns fit what they say and capture it, exclusions exclude it, templates put it in."""

from __future__ import annotations

import pickle
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.rules.patterns import Exclusion, PathPattern, PatternError, Template


def match(pattern, path, container="lake"):
    return PathPattern.parse(pattern).match(container, path)


@pytest.mark.parametrize(
    ("pattern", "path", "captured"),
    [
        ("lake/a.csv", "a.csv", {}),
        ("lake/a.csv", "b.csv", None),
        ("lake/a.csv", "aXcsv", None),
        ("lake/a.csv", "A.csv", None),
        ("lake/a.csv", "a.csv\n", None),
        ("lake/a.csv", "x/a.csv", None),
        ("lake/a(1)+$.csv", "a(1)+$.csv", {}),
        ("lake/*.csv", "a.csv", {}),
        ("lake/*.csv", ".csv", {}),
        ("lake/*.csv", "a/b.csv", None),
        ("lake/*", "a", {}),
        ("lake/*", "", None),
        ("lake/a/*/b", "a/x/b", {}),
        ("lake/a/*/b", "a//b", None),
        ("lake/a*b*c", "aXbYc", {}),
        ("lake/a*b*c", "abc", {}),
        ("lake/a*b*c", "acb", None),
        ("lake/**", "a/b/c", {}),
        ("lake/a/**", "a", None),
        ("lake/a/**", "a/b/c", {}),
        ("lake/**/*.csv", "a.csv", {}),
        ("lake/**/*.csv", "a/b/c.csv", {}),
        ("lake/a/**/b/*.csv", "a/b/x.csv", {}),
        ("lake/a/**/b/*.csv", "a/1/b/2/b/x.csv", {}),
        ("lake/a/**/b/*.csv", "a/1/2/x.csv", None),
        ("lake/**/**/a", "a", {}),
        ("lake/**/in/{x}/**/out/*", "1/in/2/3/out/4", {"x": "2"}),
        ("lake/0-raw/diabetes/{batch}/stage/*.csv", "0-raw/diabetes/b1/stage/patient-age.csv", {"batch": "b1"}),
        ("lake/0-raw/diabetes/{batch}/stage/*.csv", "0-raw/diabetes/b1/x/stage/patient-age.csv", None),
        ("lake/0-raw/diabetes/{batch}/stage/*.csv", "0-raw/diabetes//stage/patient-age.csv", None),
        ("lake/{year}-{month}/{name}.csv", "2026-11/a.b.csv", {"year": "2026", "month": "11", "name": "a.b"}),
        ("lake/{a}-{b}", "x-y-z", {"a": "x", "b": "y-z"}),
        ("lake/{a}-{b}", "-y", None),
        ("lake/{a}.tar.{b}", "x.tar.tar.gz", {"a": "x", "b": "tar.gz"}),
        ("lake/*-{a}-*", "x-y-z-", {"a": "y"}),
        ("lake/x{{1}}/{a}", "x{1}/y", {"a": "y"}),
        ("lake/{a}{{-{b}", "x{y{-z", {"a": "x{y", "b": "z"}),
        ("lake/{a}", "ä ö%20\n", {"a": "ä ö%20\n"}),
        ("$web/{a}", "x", None),
    ],
)
def test_a_pattern_fits_these_paths_and_captures_this(pattern, path, captured):
    assert match(pattern, path) == captured


def test_the_container_must_be_the_same():
    assert match("lake/{a}", "x", container="lake2") is None
    assert match("$web/{a}", "x", container="$web") == {"a": "x"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("lake", "names a container only"),
        ("lake/", "empty segment"),
        ("/lake/a", "begins with a slash"),
        ("lake//a", "empty segment"),
        ("lake/a/", "empty segment"),
        ("https://x.blob.core.windows.net/lake/a", "is an address; write the container and the path in it"),
        ("abfss://lake@x.dfs.core.windows.net/a", "is an address"),
        ("La/a", "name of a container"),
        ("la/a", "name of a container"),
        ("Lake/a", "name of a container"),
        ("my_lake/a", "name of a container"),
        ("my--lake/a", "name of a container"),
        ("-lake/a", "name of a container"),
        ("l" * 64 + "/a", "name of a container"),
        ("{lake}/a", "name of a container"),
        ("*/a", "name of a container"),
        ("**/a", "name of a container"),
        ("lake/{a", "brace without its other half; write {{"),
        ("lake/a}", "brace without its other half; write }}"),
        ("lake/{a/b}", "brace without its other half"),
        ("lake/{}", "is not a placeholder"),
        ("lake/{1a}", "is not a placeholder"),
        ("lake/{a b}", "is not a placeholder"),
        ("lake/{a-b}", "is not a placeholder"),
        ("lake/{ä}", "is not a placeholder"),
        ("lake/{" + "a" * 33 + "}", "is not a placeholder"),
        ("lake/{a:x}", "is not a placeholder"),
        ("lake/{live:endpoint}", "{live:endpoint} has no meaning in a pattern"),
        ("lake/{a}/{a}", "captures {a} twice"),
        ("lake/{a}{b}", "side by side"),
        ("lake/{a}*", "side by side"),
        ("lake/*{a}", "side by side"),
        ("lake/a**", "stands alone between slashes"),
        ("lake/***", "stands alone between slashes"),
        ("lake/**.csv", "stands alone between slashes"),
        ("lake/a?.csv", "has a ?"),
        ("lake/[ab].csv", "has a ["),
        ("lake\\a.csv", "has a \\"),
        ("lake/../a", ". or .. segment"),
        ("lake/./a", ". or .. segment"),
    ],
)
def test_what_is_no_pattern_is_refused_with_the_reason(text, message):
    with pytest.raises(PatternError, match=re.escape(message)):
        PathPattern.parse(text)


@pytest.mark.parametrize(
    ("pattern", "path", "name"),
    [
        ("lake/a/{b}/*.csv", "a/x/f.csv", "f.csv"),
        ("lake/a/{b}/*/c.csv", "a/x/y/c.csv", "y/c.csv"),
        ("lake/a/**/c.csv", "a/1/2/c.csv", "1/2/c.csv"),
        ("lake/a/{b}-*/c/*.csv", "a/x-1/c/f.csv", "x-1/c/f.csv"),
        ("lake/a/{b}.csv", "a/x.csv", "x.csv"),
        ("lake/a/{b}/c.csv", "a/x/c.csv", "c.csv"),
        ("lake/*.csv", "f.csv", "f.csv"),
    ],
)
def test_names_are_relative_to_the_folder_before_the_first_star(pattern, path, name):
    parsed = PathPattern.parse(pattern)
    assert parsed.match("lake", path) is not None
    assert parsed.relative_name(path) == name
    assert parsed.fits_within(name)
    assert not parsed.fits_within(f"deep/er/{name}") or "**" in pattern


@pytest.mark.parametrize(
    ("glob", "path", "excluded"),
    [
        ("_*", "a/_b", True),
        ("_*", "_a/b", False),
        ("*.tmp", "a/b.tmp", True),
        ("*.tmp", "b.tmp", True),
        ("*.tmp", "a//b.tmp", True),
        ("*.tmp", "a.tmp/b", False),
        ("*.tmp", "b.tmpx", False),
        ("_SUCCESS", "a/_SUCCESS", True),
        ("_temporary/", "a/_temporary/0/part-1", True),
        ("_temporary/", "a/my_temporary/part-1", False),
        ("_temporary/*", "_temporary/x", True),
        ("_temporary/*", "a/_temporary/x/y", True),
        ("a/*/c", "0/a/b/c/d", True),
        ("a/*/c", "a/b/b/c", False),
        ("a/**/c", "a/b/b/c", True),
    ],
)
def test_exclusions_are_for_names_and_with_a_slash_for_folders(glob, path, excluded):
    assert Exclusion.parse(glob).match(path) is excluded


@pytest.mark.parametrize(
    ("glob", "message"),
    [
        ("", "is empty"),
        ("/", "is empty"),
        ("/a", "begins with a slash"),
        ("a//b", "empty segment"),
        ("{a}", "must not capture"),
        ("a{", "brace"),
        ("a**", "stands alone"),
        ("a?", "has a ?"),
    ],
)
def test_what_is_no_exclusion_is_refused_with_the_reason(glob, message):
    with pytest.raises(PatternError, match=re.escape(message)):
        Exclusion.parse(glob)


@pytest.mark.parametrize(
    ("text", "values", "rendered", "placeholders"),
    [
        ("", {}, "", ()),
        ("plain *text?", {}, "plain *text?", ()),
        ("{a}", {"a": "1"}, "1", ("a",)),
        ("{b}/{a}/{b}", {"a": "1", "b": "{a}"}, "{a}/1/{a}", ("b", "a")),
        ('{{"x": "{a}"}}', {"a": "1"}, '{"x": "1"}', ("a",)),
        ("{{a}}", {"a": "1"}, "{a}", ()),
        ("{{{a}}}", {"a": "1"}, "{1}", ("a",)),
    ],
)
def test_a_template_puts_values_in_its_placeholders(text, values, rendered, placeholders):
    template = Template.parse(text)
    assert (template.render(values), template.placeholders) == (rendered, placeholders)


@pytest.mark.parametrize(("text", "message"), [("{", "{{"), ("}", "}}"), ("{a b}", "is not a placeholder")])
def test_what_is_no_template_is_refused_with_the_reason(text, message):
    with pytest.raises(PatternError, match=re.escape(message)):
        Template.parse(text)


def test_values_that_are_not_given_are_a_mistake_of_the_caller():
    with pytest.raises(KeyError):
        Template.parse("{a}").render({})


@pytest.mark.parametrize(
    ("text", "ambiguous"),
    [("x", False), ("{a}", False), ("{a}/{b}", False), ("{a}-/-{b}", False), ("{a}{b}", True), ("{a}-{b}/{c}", True)],
)
def test_only_a_slash_keeps_two_captures_apart(text, ambiguous):
    assert Template.parse(text).ambiguous is ambiguous


def test_patterns_can_be_pickled_and_compared():
    for parsed in (PathPattern.parse("lake/{a}/**/*.csv"), Exclusion.parse("_*"), Template.parse("{a}")):
        assert pickle.loads(pickle.dumps(parsed)) == parsed


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("lake/" + "*a" * 30 + "b", "a" * 1024),
        ("lake/*a*a*a*a*a*a*a*a{x}c", "a" * 50_000),
        ("lake/" + "**/*a*a*b/" * 20 + "c", "/".join(["aaaa"] * 200)),
        ("lake/" + "**/a/" * 12 + "x", "a/" * 300 + "y"),
        ("lake/**/{a}-{b}-{c}-{d}-x", "-".join("a" * 500) + "/"),
    ],
)
def test_no_path_takes_long(pattern, path):
    # With backtracking these would outlive the universe, not only the test's time limit.
    assert match(pattern, path) is None


def test_no_path_takes_long_to_exclude():
    assert not Exclusion.parse("*a*a*a*a*a*a*a*a*b").match("/".join(["a" * 100] * 1000))


# --- against an oracle ------------------------------------------------------------------------------------------------


def fits_text(glob, text):
    """Whether a glob of characters and None (one star) fits; plain recursion, as slow as it is obvious."""
    if not glob:
        return not text
    if glob[0] is None:
        return any(fits_text(glob[1:], text[i:]) for i in range(len(text) + 1))
    return bool(text) and text[0] == glob[0] and fits_text(glob[1:], text[1:])


def fits(segments, parts):
    if not segments:
        return not parts
    if segments[0] == "**":
        below = parts and all(parts)
        return (
            bool(below)
            if len(segments) == 1
            else any(all(parts[:i]) and fits(segments[1:], parts[i:]) for i in range(len(parts) + 1))
        )
    glob = [None if c == "*" else c for c in segments[0]]
    return bool(parts) and parts[0] != "" and fits_text(glob, parts[0]) and fits(segments[1:], parts[1:])


_segment = st.text("ab*", min_size=1, max_size=4).filter(lambda s: "**" not in s) | st.just("**")
_path = st.lists(st.text("ab", max_size=4), min_size=1, max_size=5)


@given(st.lists(_segment, min_size=1, max_size=5), _path)
def test_a_pattern_fits_exactly_what_its_words_say(segments, parts):
    fitted = match("lake/" + "/".join(segments), "/".join(parts)) is not None
    assert fitted == fits(segments, parts)


@given(st.lists(_segment, min_size=1, max_size=5), st.data())
def test_a_pattern_fits_what_is_made_from_it(segments, data):
    parts = []
    for i, segment in enumerate(segments, start=1):
        if segment == "**":
            fewest = 1 if i == len(segments) else 0
            parts += data.draw(st.lists(st.text("ab", min_size=1, max_size=3), min_size=fewest, max_size=3))
        else:
            parts.append(re.sub(r"\*", lambda _: data.draw(st.text("abc", min_size=1, max_size=3)), segment))
    assume(parts)
    assert match("lake/" + "/".join(segments), "/".join(parts)) == {}


_names = st.lists(st.sampled_from(["a", "b", "year", "Batch_2"]), min_size=1, max_size=3, unique=True)
_value = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1, max_size=6)


@given(_names, st.data())
def test_what_a_pattern_captures_renders_the_path_again(names, data):
    between = [data.draw(st.sampled_from(["/", "-", "/x-", ".", "{{/}}"])) for _ in names]
    text = "0-raw/" + "".join("{" + name + "}" + literal for name, literal in zip(names, between, strict=True)) + "end"
    values = {name: data.draw(_value) for name in names}
    path = Template.parse(text).render(values)
    captured = match(f"lake/{text}", path)
    assert captured is not None
    assert Template.parse(text).render(captured) == path


@given(st.text("ab{}*/.?-", max_size=12), st.text("ab/-", max_size=8))
def test_any_text_is_a_pattern_or_refused(text, path):
    for parse in (PathPattern.parse, Exclusion.parse, Template.parse):
        try:
            parsed = parse(f"lake/{text}")
        except PatternError:
            continue
        if isinstance(parsed, PathPattern):
            captured = parsed.match("lake", path)
            assert captured is None or parsed.fits_within(parsed.relative_name(path))
