"""Every key of the language does what its row says: its example, its default, what a wrong value gets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import jsonschema
import pytest

from shared.reactions import State
from shared.rules import DuringCooldown, Mode, Priority, WhileRunning, yaml_lines
from shared.rules.reference import examples
from shared.rules.reference.examples import Key, shown
from shared.rules.reference.loading import APP, answers, load
from shared.rules.reference.page import described, written
from shared.rules.reference.policies import POLICIES
from shared.rules.schema import json_schema, sections
from tests.language.table import ONE_OF, REQUIRED, TABLE, Row

SCHEMA = {(".".join(place), key.name): key for place, section in sections() for key in described(section)}
ROWS = {(section, name): row for section, rows in TABLE.items() for name, row in rows.items()}
KEYS = {(section, name): key for section, name, key in examples.every()}


def each(keys: Iterator[tuple[str, str]] | None = None) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("key", "row"),
        [pytest.param(KEYS[where], ROWS[where], id=".".join(where)) for where in keys or KEYS],
    )


def test_every_key_of_the_schema_has_a_row_and_an_example_and_no_other_has() -> None:
    assert list(ROWS) == list(SCHEMA), "a new key: add its example, its row, and run: python -m shared.rules docs"
    assert list(KEYS) == list(SCHEMA)


@each()
def test_its_example_is_taken_and_reaches_the_rule(key: Key, row: Row) -> None:
    rules = load(key.file(key.example))
    assert row.built(rules, rules.rules["score"]) == row.example
    jsonschema.Draft202012Validator(json_schema()).validate(yaml_lines.read(key.file(key.example)).value)


@each(where for where, row in ROWS.items() if row.default not in (REQUIRED, ONE_OF))
def test_left_out_it_has_its_default(key: Key, row: Row) -> None:
    alone = Key(example="", base=key.base)
    rules = load(alone.file(row.without))
    assert row.built(rules, rules.rules["score"]) == row.default
    assert row.default != row.example


def changed(text: str, place: list[str], name: str, instead: str | None) -> str:
    """A file with another name for a key, or without it."""
    content = yaml_lines.read(text).value
    section = content
    for part in place:
        assert isinstance(section, dict)
        section = section["score" if part == "NAME" else part]
    assert isinstance(section, dict)
    value = section.pop(name)
    if instead is not None:
        section[instead] = value
    return json.dumps(content)


@pytest.mark.parametrize("where", [where for where, row in ROWS.items() if row.default is REQUIRED], ids=".".join)
def test_where_it_is_required_a_file_without_it_is_refused(where: tuple[str, str]) -> None:
    section, name = where
    found = answers(changed(KEYS[where].file(KEYS[where].example), section.split(".") if section else [], name, None))
    place = section.removeprefix("reactions.NAME").removeprefix(".")
    expected = f"{place}: {name} is missing" if place else f"{name} is missing"
    assert [expected in each or each.endswith(f"score: {name} is missing") for each in found].count(True) == 1


@pytest.mark.parametrize("where", KEYS, ids=".".join)
def test_misspelled_it_is_told_what_was_meant(where: tuple[str, str]) -> None:
    section, name = where
    text = changed(KEYS[where].file(KEYS[where].example), section.split(".") if section else [], name, f"{name}s")
    assert any(f"{name}s: is not a key; did you mean {name}?" in answer for answer in answers(text))


@each()
def test_a_wrong_value_gets_this_answer_and_no_other(key: Key, row: Row) -> None:
    name = next(name for (_, name), each in KEYS.items() if each is key)
    found = {shown(name, lines): answers(text) for lines, text in key.wrongly()}
    assert found == row.answers
    assert list(found) == list(row.answers)


def test_every_key_is_shown_with_what_is_wrong() -> None:
    assert [".".join(where) for where, row in ROWS.items() if not all(row.answers.values()) or not row.answers] == []


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_says_what_the_code_says() -> None:
    page = (APP / "docs" / "rules.md").read_text(encoding="utf-8")
    assert written(page) == page, "run: python -m shared.rules docs docs/rules.md"


def test_a_page_without_a_place_for_them_is_not_written() -> None:
    page = (APP / "docs" / "rules.md").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="has no place for the keys"):
        written(page.replace("<!-- keys", "<!-- key"))


def test_the_page_has_every_key_and_every_answer() -> None:
    page = (APP / "docs" / "rules.md").read_text(encoding="utf-8")
    for (section, name), row in ROWS.items():
        title = section.removeprefix("reactions.NAME.")
        part = page[page.index({"": "### The top", "reactions.NAME": "### A rule"}.get(title, f"### `{title}`")) :]
        assert f"| `{name}` |" in part
        assert all(answer.replace("|", "\\|") in part for found in row.answers.values() for answer in found)


def test_every_policy_has_a_sentence_with_states_that_there_are() -> None:
    told = " ".join(key for key, _ in POLICIES)
    for policy in (*WhileRunning, *DuringCooldown, *Mode, *(each.name.lower() for each in Priority)):
        assert str(policy) in told
    skipped = {"while-running", "cooldown", "incomplete", "below-times", "arrived", "high", "normal", "low"}
    for key, sentence in POLICIES:
        named = set(re.findall(r"`([a-z-]+)`", sentence))
        assert named <= {str(state) for state in State} | skipped, key


@pytest.mark.parametrize("page", ["README.md", "docs/rules.md"])
def test_the_rules_that_a_page_shows_are_taken(page: str) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (APP / page).read_text(encoding="utf-8"), re.DOTALL)
    shown_rules = [block for block in blocks if "reactions:" in block]
    assert shown_rules
    for text in shown_rules:
        assert answers(text) == [], text
