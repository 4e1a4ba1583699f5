"""Keys that go together, and keys that do not: what the table of single keys has no room for."""

from __future__ import annotations

import pytest

from shared.rules.reference.examples import DEPLOYMENT, DRIFT, FILES, JOB, MODELS, NOTIFY, OVERDUE, Key, Lines
from shared.rules.reference.loading import answers, load

BY = 'collect: {by: "{batch}"}'


def answered(lines: str, base: Lines = FILES, top: str = "") -> list[str]:
    return answers(Key(example=lines, base=base, beside=top).file(lines))


@pytest.mark.parametrize(
    ("base", "lines", "top"),
    [
        pytest.param(FILES, lines, "", id=lines)
        for lines in (
            'collect: {until: "0 2 * * *", max-events: 100}',
            f"{BY}\nlimits: {{concurrency: 4, cooldown: 1h, during-cooldown: collect, while-running: replace}}",
            "limits: {start-rate: unlimited, priority: normal}",
            "limits: {cooldown: 1h, while-running: queue}",
            'with: {landed: "lake/in/{batch}/{part}.csv"}\ncollect: {max-events: 1}',
            'with: {folder: "lake/in/{batch}", out: "lake/out/{batch}/scores.csv", note: "v1.0"}\n' + BY,
            'with: {page: "https://relearn.example/in/a.csv", model: "{live:diabetes}"}',
            'writes: ["lake/out/{batch}/{part}.csv"]\ncollect: {max-events: 1}',
            'writes: ["lake/out/*/{reaction_id}/**", "silver/"]',
        )
    ]
    + [
        pytest.param(base, lines, top, id=f"{lines} {top}")
        for base, lines, top in (
            (FILES, "mode: observe", "mode: observe"),
            (FILES, "mode: act", "mode: act"),
            (FILES, "limits: {priority: low}", "factory: {start-rate: 1/s}"),
            (FILES, "limits: {resources: [a, b]}", "resources: {a: 1, b: 2}"),
            (JOB, "limits: {resources: [a], priority: low}", "resources: {a: 1}"),
            (JOB, f"{BY}\nlimits: {{concurrency: 2}}\nretry: {{attempts: 2}}\ntimeout: 1h", ""),
            (JOB, "limits: {concurrency: 1}", ""),
            (JOB, 'with: {_rate: 0.1, Rate_2: "{manifest}"}', ""),
            (NOTIFY, "limits: {cooldown: 1h, during-cooldown: skip, start-rate: 1/h, while-running: queue}", ""),
            (NOTIFY, 'notify: "{count} {reaction_id} {live:diabetes}"', ""),
            (OVERDUE, f'{BY}\nnotify: "{{batch}}: none since {{last}}, due {{due}}"', ""),
            (OVERDUE, "limits: {while-running: skip, cooldown: 1h}", ""),
            (OVERDUE, "limits: {while-running: queue}", ""),
            (OVERDUE, "run-pipeline: fetch", "factory: {concurrency: 1}"),
            (DRIFT, 'require: {report: "lake/{monitor}/{batch}/{signal}/{run_id}.json", max-missing: 0%}', ""),
            (DRIFT, "collect: {quiet: 1m, max-events: 9}\nlimits: {while-running: replace}", ""),
            (MODELS, 'collect: {by: "{model}/{version}"}\nlimits: {concurrency: 1}', ""),
            (
                DEPLOYMENT,
                "limits: {resources: [a], cooldown: 1h, during-cooldown: skip, start-rate: 1/d}",
                "resources: {a: 1}",
            ),
        )
    ],
)
def test_these_go_together(base: Lines, lines: str, top: str) -> None:
    assert answered(lines, base, top) == []


@pytest.mark.parametrize(
    ("base", "lines", "top", "answer"),
    [
        (OVERDUE, 'collect: {by: "{due}"}', "", "collect.by: must not use {due}, which is known only once a file is"),
        (OVERDUE, 'notify: "{batch} is late"', "", "notify: {batch} may differ between the files that are expected"),
        (OVERDUE, "collect: {max-events: 1}", "", "collect.max-events: has no effect with file-overdue"),
        (OVERDUE, 'collect: {until: "0 2 * * *"}', "", "collect.until: has no effect with file-overdue"),
        (OVERDUE, "collect: {all-of: [a.csv]}", "", "collect.all-of: has no effect with file-overdue"),
        (OVERDUE, "limits: {while-running: replace}", "", "replace does not go with file-overdue"),
        (OVERDUE, "run-pipeline: fetch\nwrites: [lake/in/]", "", "writes: has no effect without file-landed"),
        (DRIFT, "notify: x\nrequire: {report: lake/a.json, min-rows: 1}", "", "require: does not go with notify"),
        (NOTIFY, "writes: [lake/out/]", "", "writes: does not go with notify: nothing runs"),
        (NOTIFY, "limits: {resources: [a]}", "resources: {a: 1}", "limits.resources: does not go with notify"),
        (NOTIFY, 'notify: ""', "", "notify: is empty"),
        (DEPLOYMENT, "limits: {concurrency: 2}", "", "limits.concurrency: does not go with deploy-model: an endpoint"),
        (DEPLOYMENT, "limits: {while-running: queue}", "", "limits.while-running: does not go with deploy-model"),
        (DEPLOYMENT, "limits: {priority: high}", "", "limits.priority: has no effect"),
        (DEPLOYMENT, "timeout: 5h", "factory: {concurrency: 1}", "factory: has no effect: no rule has run-pipeline"),
        (JOB, "limits: {concurrency: 2}", "", "limits.concurrency: has no effect without collect.by"),
        (JOB, "with: {1st: a}", "", "with.1st: is not the name of an input"),
        (JOB, "with: {attempt: 1}", "", "with.attempt: is sent by Relearn itself"),
        (JOB, 'with: {out: "lake/in/1/scores.csv"}', "", "with.out: 'lake/in/1/scores.csv' may be a file that"),
        (FILES, "limits: {resources: [a]}", "", "'a' is not among the resources at the top of the file; add it there"),
        (FILES, 'writes: ["lake/out/{live:diabetes}/"]', "", "writes[1]: must not use {live:diabetes}"),
        (FILES, 'writes: ["{batch}/"]\n' + BY, "", "writes[1]: '{batch}/' must begin with the lake's container"),
        (FILES, "writes: [lake]", "", "writes[1]: 'lake' names a container only"),
        (FILES, "writes: [lake/a**]", "", "** stands alone between slashes"),
        (FILES, "writes: [lake//a]", "", "has an empty segment"),
        (FILES, "writes: [lake/]", "", "such as lake/in/x/x.csv"),
        (FILES, "writes: []", "", "writes: is empty"),
        (FILES, "limits: {resources: []}", "", "limits.resources: is empty"),
        (DRIFT, "require: {report: report.json, min-rows: 1}", "", "must begin with the lake's container"),
        (DRIFT, 'require: {report: "lake/{live:diabetes}.json", min-rows: 1}', "", "must not use {live:diabetes}"),
        (DRIFT, 'collect: {until: "0 2 * * *", quiet: 1m}', "", "collect.until: closes the batch at a time"),
    ],
)
def test_these_do_not(base: Lines, lines: str, top: str, answer: str) -> None:
    found = answered(lines, base, top)
    assert len(found) == 1, found
    assert answer in found[0]


def test_an_endpoint_that_two_rules_deploy_to_is_waited_for_by_priority() -> None:
    rule = "\n".join(f"    {line}" for line in (*DEPLOYMENT.values(), "limits: {priority: high}"))
    assert answers(f"version: 1\nreactions:\n  score:\n{rule}\n  other:\n{rule}\n") == []


def test_a_misspelled_resource_is_told_once() -> None:
    found = answered("limits: {resources: [spark-pol]}", top="resources: {spark-pool: 1}")
    assert [answer.partition(";")[2] for answer in found] == [" did you mean spark-pool?"]


def test_inputs_of_a_job_are_texts_as_they_are_written() -> None:
    rule = load(
        Key(example="with: {rate: 0.10, on: true, n: 1e3}", base=JOB).file("with: {rate: 0.10, on: true, n: 1e3}")
    )
    inputs = rule.rules["score"].action.with_
    assert {name: text.text for name, text in inputs.items()} == {"rate": "0.10", "on": "true", "n": "1e3"}
