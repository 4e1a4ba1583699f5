"""Patterns for names of monitors and models, and templates that ask for the model that is live."""

from __future__ import annotations

import pickle
import re
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.rules.patterns import NamePattern, PatternError, Template


@pytest.mark.parametrize(
    ("pattern", "name", "captured"),
    [
        ("diabetes", "diabetes", {}),
        ("diabetes", "Diabetes", None),
        ("diabetes", "diabetes2", None),
        ("diabetes", "my-diabetes", None),
        ("diabetes", "diabetes\n", None),
        ("a.b", "axb", None),
        ("diabetes-{batch}", "diabetes-2026-11", {"batch": "2026-11"}),
        ("diabetes-{batch}", "diabetes-", None),
        ("diabetes-*", "diabetes-2026-11", {}),
        ("diabetes-*", "diabetes-", {}),
        ("*", "any", {}),
        ("*", "", None),
        ("*-{batch}-*", "x-b1-y-z", {"batch": "b1"}),
        ("{a}-{b}", "x-y-z", {"a": "x", "b": "y-z"}),
        ("{a}-{b}", "x-", None),
        ("{{x}}-{a}", "{x}-1", {"a": "1"}),
        ("team/{a}", "team/b1", {"a": "b1"}),
        ("team/{a}", "team/b1/c", None),
        ("{a}-x/{b}", "a-x-x/b", {"a": "a-x", "b": "b"}),
        ("*", "team/b1", None),
        ("/a", "/a", {}),
        ("a//{b}", "a//1", {"b": "1"}),
        ("..", "..", {}),
    ],
)
def test_a_pattern_fits_these_names_and_captures_this(pattern, name, captured):
    assert NamePattern.parse(pattern).match(name) == captured


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("a**", "has ** in it; in a name * stands for any text"),
        ("**/a", "has ** in it"),
        ("{a}{b}", "two captures or stars side by side"),
        ("{a}*", "side by side"),
        ("{a}-{a}", "captures {a} twice"),
        ("{a", "brace without its other half; write {{"),
        ("a}", "brace without its other half; write }}"),
        ("{a b}", "is not a placeholder"),
        ("{}", "is not a placeholder"),
        ("{live:endpoint}", "{live:endpoint} has no meaning in a pattern; it is for parameters in `with`"),
        ("a?", "has a ?"),
        ("[ab]", "has a ["),
        ("a\\b", "has a \\"),
    ],
)
def test_what_is_no_pattern_is_refused_with_the_reason(text, message):
    with pytest.raises(PatternError, match=re.escape(message)):
        NamePattern.parse(text)


def test_it_can_be_pickled_and_compared():
    parsed = NamePattern.parse("a-{b}-*")
    assert pickle.loads(pickle.dumps(parsed)) == parsed
    assert parsed.captures == ("b",)


_literal = st.text("ab-/.{}", min_size=1, max_size=4)
_value = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1, max_size=6)


def escaped(literal):
    return literal.replace("{", "{{").replace("}", "}}")


@given(st.lists(st.tuples(st.sampled_from(["star", "capture"]), _literal, _value), min_size=1, max_size=4), _literal)
def test_a_name_made_from_a_pattern_fits_and_its_captures_make_it_again(parts, last):
    pattern = template = name = ""
    for i, (kind, literal, value) in enumerate(parts):
        wild = "*" if kind == "star" else f"{{c{i}}}"
        pattern += escaped(literal) + wild
        template += escaped(literal) + (value.replace("{", "{{").replace("}", "}}") if kind == "star" else wild)
        name += literal + value
    parsed = NamePattern.parse(pattern + escaped(last))
    captured = parsed.match(name + last)
    assert captured is not None
    assert set(captured) == set(parsed.captures)
    if "*" not in pattern:
        assert Template.parse(template + escaped(last)).render(captured) == name + last


@given(st.text("ab{}*/.?-[\\:live", max_size=14), st.text("ab/-", max_size=8))
def test_any_text_is_a_pattern_or_refused(text, name):
    try:
        parsed = NamePattern.parse(text)
    except PatternError:
        return
    captured = parsed.match(name)
    assert captured is None or set(captured) == set(parsed.captures)


@given(st.text("ab*", min_size=1, max_size=5).filter(lambda text: "**" not in text), st.text("ab", max_size=6))
def test_a_star_is_any_text(text, name):
    some = "[ab]+" if text == "*" else "[ab]*"
    assert (NamePattern.parse(text).match(name) is not None) == bool(re.fullmatch(text.replace("*", some), name))


@pytest.mark.parametrize("pattern", ["*a" * 30 + "b", "{a}-{b}-{c}-{d}-x", "*-*-*-{x}/y", "*a*a*a*a*a*a{x}c"])
def test_no_name_takes_long(pattern):
    # With backtracking these would outlive the universe, not only the second.
    started = perf_counter()
    assert NamePattern.parse(pattern).match("a-" * 20_000) is None
    assert perf_counter() - started < 1


# --- the live model ---------------------------------------------------------------------------------------------------


def test_a_template_asks_for_live_models_beside_its_placeholders():
    template = Template.parse("{a}{live:one-1}/{live:Two}{live:one-1}{{live:three}}")
    assert (template.placeholders, template.live) == (("a",), ("one-1", "Two"))
    values = {"a": "1", "live:one-1": "m:2", "live:Two": "{a}"}
    assert template.render(values) == "1m:2/{a}m:2{live:three}"


def test_a_template_without_a_live_model_asks_for_none():
    assert Template.parse("{live} {lives}").live == ()


def test_a_live_model_that_is_not_given_is_a_mistake_of_the_caller():
    with pytest.raises(KeyError, match="live:abc"):
        Template.parse("{live:abc}").render({"live": "x", "abc": "x"})


@pytest.mark.parametrize(
    "endpoint",
    ["", "ab", "a" * 33, "1ab", "a--b", "-ab", "ab-", "a_b", "a b", "äbc", "ab\n", "a:b", "abc ", "a" * 31 + "!"],
)
def test_an_endpoint_there_cannot_be_is_refused(endpoint):
    with pytest.raises(PatternError, match="is not the name of an endpoint: 3 to 32 letters, digits and single"):
        Template.parse(f"{{live:{endpoint}}}")


@pytest.mark.parametrize("endpoint", ["abc", "A1-b2-C3", "a" * 32])
def test_an_endpoint_is_taken_as_it_is_written(endpoint):
    assert Template.parse(f"x{{live:{endpoint}}}y").live == (endpoint,)


def test_live_models_can_be_pickled_and_side_by_side_are_ambiguous():
    template = Template.parse("{live:abc}{live:abd}")
    assert pickle.loads(pickle.dumps(template)) == template
    assert template.ambiguous
