"""The page about lineage: where each model comes from, what became of it, and which model scored which files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from local.demo.pictures.boxes import ARROW_HEAD, STYLE, Box, arrow, draw, picture
from local.demo.pictures.models import DEPLOYMENT, endpoint_box, lane_title, links
from local.demo.pictures.page import folded, page, safe, table

Json = Mapping[str, Any]
WIDTH: Final = 1080.0
EDGE: Final = 1.0  # so that no frame is cut
GAP: Final = 26.0
BETWEEN: Final = 30.0


def lineage_page(result: Json) -> str:
    """The page about a whole demo, from its facts."""
    live, refused = result["live_after"], result["refused_model"]
    answers = f"{live['model']}:{live['version']}"
    lead = [
        f"<strong>{safe(answers)} answers at {safe(result['endpoint']['name'])}.</strong> "
        "Each step below names the record it was found in; point at a box for all of its text.",
    ]
    if refused:
        lead.append(f"Version {safe(refused['version'])} never took a request: {safe(refused['reason'])}.")
    figures = [ARROW_HEAD, _figure("From the data to what answers", _lanes(result), _lanes_in_words(result))]
    if _scoring(result):
        figures.append(_figure("What was scored, and with which model", _scored(result), _scored_in_words(result)))
    return page(f"Lineage of {live['model']}", lead, figures, STYLE)


def _figure(title: str, drawn: str, in_words: str) -> str:
    """It can be scrolled with the keyboard, too, where the window is narrow."""
    words = folded("The same in words", in_words)
    return f'<figure tabindex="0"><h2>{safe(title)}</h2>\n{drawn}\n{words}</figure>'


# --- the models, a lane each ------------------------------------------------------------------------------------------


def _lanes(result: Json) -> str:
    lanes = [links(model, result) for model in result["models"]]
    width = (WIDTH - 2 * EDGE - BETWEEN * (len(lanes) - 1)) / len(lanes)
    rows = max(max(lane) for lane in lanes) + 1
    heights = [max((lane[row].height(width) for lane in lanes if row in lane), default=0.0) for row in range(rows)]
    tops = [36.0 + sum(heights[:row]) + GAP * row for row in range(rows + 1)]
    parts: list[str] = []
    for number, (lane, model) in enumerate(zip(lanes, result["models"], strict=True)):
        x = EDGE + number * (width + BETWEEN)
        parts.append(f'<text class="name" x="{x:.0f}" y="18">{safe(lane_title(model))}</text>')
        parts += _lane(lane, x, width, tops)
    endpoint = endpoint_box(result)
    parts.append(draw(endpoint, EDGE, tops[rows], WIDTH - 2 * EDGE))
    for number, lane in enumerate(lanes):
        if DEPLOYMENT in lane:
            middle = EDGE + number * (width + BETWEEN) + width / 2
            bottom = tops[DEPLOYMENT] + lane[DEPLOYMENT].height(width)
            parts.append(arrow((middle, bottom), (middle, tops[rows])))
    size = (WIDTH, tops[rows] + endpoint.height(WIDTH) + 4)
    told = " ".join(
        f"{lane_title(model)}: {_chained(lane)}." for lane, model in zip(lanes, result["models"], strict=True)
    )
    return picture("lanes", "From the data to what answers, a column for each model", told, size, parts)


def _lane(lane: Mapping[int, Box], x: float, width: float, tops: Sequence[float]) -> list[str]:
    parts, before = [], None
    for row, box in sorted(lane.items()):
        parts.append(draw(box, x, tops[row], width))
        if before is not None:
            bottom = tops[before] + lane[before].height(width)
            parts.append(arrow((x + width / 2, bottom), (x + width / 2, tops[row])))
        before = row
    return parts


def _chained(lane: Mapping[int, Box]) -> str:
    return ", then ".join(f"{box.kind} {box.name}" for _, box in sorted(lane.items()))


def _lanes_in_words(result: Json) -> str:
    rows = [
        [model["version"], box.kind, box.name, "; ".join(box.more)]
        for model in result["models"]
        for _, box in sorted(links(model, result).items())
    ]
    return table(["model", "link", "name", "more"], rows)


# --- what was scored --------------------------------------------------------------------------------------------------


def _scored(result: Json) -> str:
    chains = _scoring(result)
    width = (WIDTH - 2 * EDGE - 3 * BETWEEN) / 4
    y, parts = 8.0, []
    for chain in chains:
        boxes = _scored_boxes(chain)
        height = max(box.height(width) for box in boxes)
        for number, box in enumerate(boxes):
            x = EDGE + number * (width + BETWEEN)
            parts.append(draw(box, x, y, width, height))
            if number:
                parts.append(arrow((x - BETWEEN, y + height / 2), (x, y + height / 2)))
        y += height + GAP
    told = " ".join(f"{_chained(dict(enumerate(_scored_boxes(chain))))}." for chain in chains)
    return picture("scored", "What was scored, and with which model", told, (WIDTH, y - GAP + 4), parts)


def _scoring(result: Json) -> list[Json]:
    return [chain for chain in result["lineage"] if chain.get("silver")]


def _scored_boxes(chain: Json) -> list[Box]:
    files, used = chain["files"], chain["models_used"]
    folder = files[0]["path"].rpartition("/")[0] if files else "no file"
    names = [file["path"].rpartition("/")[2] for file in files]
    listed = ", ".join(names) if len(names) <= 3 else f"{names[0]} … {names[-1]}"
    run = chain["pipeline_run"]
    models = ", ".join(f"{model['name']}:{model['version']}" for model in used) or "no model"
    return [
        Box(kind=f"{len(files)} files landed", name=f"{folder}/", more=(listed,)),
        Box(kind="reaction", name=chain["rule"], more=(chain["reaction"], chain["state"])),
        Box(
            kind="pipeline run and its jobs",
            name=run["pipeline"],
            more=(run["run_id"], *(f"{job['endpoint']}: {job['status']}" for job in chain["jobs"])),
        ),
        Box(kind="scored file", name=f"scored with {models}", more=tuple(chain["silver"]), tone="good"),
    ]


def _scored_in_words(result: Json) -> str:
    rows = [
        [chain["rule"], box.kind, box.name, "; ".join(box.more)]
        for chain in _scoring(result)
        for box in _scored_boxes(chain)
    ]
    return table(["rule", "link", "name", "more"], rows)
