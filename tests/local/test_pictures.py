"""The demo's pictures: what they must show, whatever the names in the facts are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from local.demo.pictures import drift_page, lineage_page
from local.demo.pictures.axes import Scale, ticks
from local.demo.pictures.boxes import MOST_LINES, Box, wrapped
from tests.local.demo_facts import LANE, MODEL, feature, good
from tests.local.pages import Page, must_be_a_good_page

HOSTILE = "<script>alert(\"1\")</script> & 'x' ]]> \x00 \u202e end"
SHOWN = HOSTILE.replace("\x00", "\ufffd").replace("\u202e", "\ufffd")

Spoil = Callable[[dict[str, Any]], None]


def drift(spoil: Spoil = lambda facts: None) -> Page:
    facts = good()["drift"]
    spoil(facts)
    return must_be_a_good_page(drift_page(facts))


def lineage(spoil: Spoil = lambda facts: None) -> Page:
    facts = good()
    spoil(facts)
    return must_be_a_good_page(lineage_page(facts))


# --- drift ------------------------------------------------------------------------------------------------------------


def test_each_feature_has_its_distance_threshold_and_verdict() -> None:
    page = drift()
    assert "1 of 2 features have moved further than 0.1" in page.text
    assert "Age drifted Jensen-Shannon distance 0.672, threshold 0.1." in page.text
    assert "BMI within the threshold Jensen-Shannon distance 0.041, threshold 0.1." in page.text
    assert "monitor-run-7" in page.text


def test_both_sides_are_named_and_a_day_that_is_not_known_is_left_out() -> None:
    page = drift()
    assert "Baseline: baseline.csv, 5,000 rows, 2022-01-01" in page.text
    assert "Target: target.csv, 4,999 rows" in page.text
    assert "None" not in page.text


def test_the_bars_are_as_high_as_the_shares() -> None:
    charts = [svg for svg in drift().svgs() if "Histogram of Age" in "".join(svg.itertext())]
    bars = {
        kind: [bar for bar in charts[0].iter("rect") if bar.get("class") == kind] for kind in ("baseline", "target")
    }
    assert [float(bar.get("height", 0)) for bar in bars["baseline"]] == pytest.approx(
        [190 / 0.75 * s for s in _BASE], 0.01
    )
    assert [float(bar.get("height", 0)) for bar in bars["target"]] == pytest.approx(
        [190 / 0.75 * s for s in _NEW], 0.01
    )
    left = [float(bar.get("x", 0)) for bar in bars["baseline"]]
    assert left == sorted(left)


_BASE, _NEW = [0.5, 0.25, 0.25], [0.25, 0.75]


def test_the_figures_are_there_for_those_who_do_not_see_the_bars() -> None:
    page = drift()
    assert "20 22.5 50.0% 0.0%" in page.text
    assert "27.5 30 0.0% 75.0%" in page.text
    assert "Age: most of the baseline (50%) from 20 to 22.5; most of the target (75%) from 27.5 to 30." in page.text


def test_a_feature_with_one_value_only_is_drawn_too() -> None:
    def constant(facts: dict[str, Any]) -> None:
        width = 1 / 20
        facts["features"] = [
            feature("Same", 0.0) | {"edges": [3 - 0.5 + width * n for n in range(21)], "baseline": _ONE, "target": _ONE}
        ]

    assert "0 of 1 features have moved further than 0.1" in drift(constant).text


_ONE = [*[0.0] * 10, 1.0, *[0.0] * 9]


def test_hostile_names_in_a_report_stay_text() -> None:
    def hostile(facts: dict[str, Any]) -> None:
        facts["monitor"] = facts["run_id"] = facts["signal"] = facts["metric"] = HOSTILE
        facts["baseline"]["files"] = [HOSTILE]
        facts["features"][0]["name"] = HOSTILE

    page = drift(hostile)
    assert page.text.count(" ".join(SHOWN.split())) >= 5


# --- lineage ----------------------------------------------------------------------------------------------------------


def test_every_link_from_the_file_to_the_endpoint_is_there() -> None:
    page = lineage()
    chain = [
        *("0-raw/diabetes/clinic/target/target.csv", "monitor-run-7", "training-reaction-1", "pipeline-run-9"),
        *("train-job-2", f"{MODEL}:2", f"{LANE}-2", "deployment-2", "relearn-here"),
    ]
    assert [link for link in chain if link not in page.text] == []
    assert f"{MODEL}:2 answers at relearn-here" in page.text
    assert "asked 1,412 times since the first model went live; failed: 0" in page.text
    assert "Accuracy 0.7840, version 1 on the same rows 0.7753" in page.text
    assert "logistic, regularisation 100,000" in page.text


def test_each_model_says_what_became_of_it() -> None:
    page = lineage()
    assert [f"Version {n}: {fate}" in page.text for n, fate in ((1, "replaced"), (2, "live"), (3, "refused"))] == [
        True
    ] * 3
    assert "Version 3 never took a request: gate: Accuracy 0.6780 against 0.7840." in page.text
    assert "gate passed: first-model: nothing" in page.text
    assert "about to" not in page.text


def test_scored_files_name_the_model_that_scored_them() -> None:
    page = lineage()
    assert page.text.count(f"scored with {MODEL}:1") >= 2
    assert "2 files landed" in page.text
    assert "4 files landed" in page.text
    assert "2-silver/monday/000000000000000000000001-1-1/diabetes.csv" in page.text


def test_a_model_that_was_refused_has_no_deployment() -> None:
    page = lineage()
    assert "deployment-1" in page.text
    assert "deployment-3" not in page.text


def test_boxes_stay_inside_the_picture_and_their_text_inside_the_box() -> None:
    for svg in lineage().svgs():
        _, _, width, height = map(float, (svg.get("viewBox") or "0 0 0 0").split())
        for group in svg.iter("g"):
            [frame] = group.iter("rect")
            x, y, w, h = (float(frame.get(name, 0)) for name in ("x", "y", "width", "height"))
            assert (x >= 0, y >= 0, x + w <= width, y + h <= height) == (True, True, True, True)
            lines = [float(line.get("y", 0)) for line in group.iter("text")]
            assert all(y < at < y + h for at in lines)


@pytest.mark.parametrize("count", [1, 2, 6])
def test_any_number_of_models_fits(count: int) -> None:
    def some(facts: dict[str, Any]) -> None:
        facts["models"] = (facts["models"] * 2)[1 : count + 1]

    lineage(some)


def test_without_refusal_and_scored_files_the_page_is_still_one() -> None:
    def less(facts: dict[str, Any]) -> None:
        facts["refused_model"] = {}
        facts["lineage"] = [chain for chain in facts["lineage"] if not chain.get("silver")]

    assert "never took a request" not in lineage(less).text


def test_hostile_names_in_the_lineage_stay_text() -> None:
    def hostile(facts: dict[str, Any]) -> None:
        facts["endpoint"]["name"] = facts["live_after"]["model"] = HOSTILE
        for model in facts["models"]:
            model["name"] = model["version"] = model["properties"]["regularisation"] = HOSTILE
            model["tags"] |= {"target": HOSTILE, "relearn_reason": HOSTILE}
            model["rollouts"][0]["state"] = HOSTILE
        for chain in facts["lineage"]:
            chain["rule"] = HOSTILE
            for file in chain["files"]:
                file["path"] = HOSTILE

    page = lineage(hostile)
    assert page.text.count(" ".join(SHOWN.split())) >= 10


# --- parts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "about", "expected"),
    [
        (0, 0.53, 4, [0, 0.1, 0.2, 0.3, 0.4, 0.5]),
        (0, 0.3, 4, [0, 0.1, 0.2, 0.3]),
        (21, 92, 7, [30, 40, 50, 60, 70, 80, 90]),
        (-1, 1, 4, [-1, -0.5, 0, 0.5, 1]),
        (5, 5, 4, [5]),
    ],
)
def test_ticks_are_round_numbers_within_the_range(low: float, high: float, about: int, expected: list[float]) -> None:
    assert ticks(low, high, about) == pytest.approx(expected)


def test_a_scale_turns_values_into_places() -> None:
    scale = Scale(low=10, high=20, start=100, end=0)
    assert [scale(10), scale(15), scale(20)] == [100, 50, 0]
    assert Scale(low=1, high=1, start=0, end=10)(1) == 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("short", ["short"]),
        ("", [""]),
        ("one two three", ["one two", "three"]),
        ("0-raw/diabetes/x", ["0-raw/", "diabetes/x"]),
        ("abcdefghijklmnop", ["abcdefghij", "klmnop"]),
        ("aaaa bbbb cccc dddd eeee ffff gggg hhhh", ["aaaa bbbb", "cccc dddd", "eeee ffff…"]),
    ],
)
def test_text_is_broken_where_it_reads_well(text: str, expected: list[str]) -> None:
    assert wrapped(text, 10) == expected
    assert len(wrapped(text * 50, 10)) <= MOST_LINES
    assert all(len(line) <= 10 for line in wrapped(text * 50, 10))


def test_a_box_keeps_what_does_not_fit_for_whoever_points_at_it() -> None:
    box = Box(kind="job", name="n" * 200, more=("m" * 200,))
    assert box.told() == f"job: {'n' * 200}; {'m' * 200}"
    assert len(box.lines(200)) == 1 + 2 * MOST_LINES
