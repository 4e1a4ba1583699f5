"""The evaluator of Bicep (tests/infra/bicep): what it works out, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.infra.bicep import Refused, Runtime, deploy, problems

ROOT = Path(__file__).resolve().parents[2]
GROUP = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-relearn"
ACCOUNT = f"{GROUP}/providers/Microsoft.Storage/storageAccounts"
STORAGE = """
resource account 'Microsoft.Storage/storageAccounts@2024-01-01' = {
  name: 'st1'
  location: 'westeurope'
  properties: {
    minimumTlsVersion: 'TLS1_2'
  }
}
"""


@pytest.fixture
def write(tmp_path):
    def written(main, **others):
        (tmp_path / "main.bicep").write_text(main)
        for name, text in others.items():
            (tmp_path / name.replace("__", ".")).write_text(text)
        return tmp_path / "main.bicep"

    return written


def outputs(path, **parameters):
    return deploy(path, parameters).outputs


VALUES = {
    "'a${1 + 2}b${true}'": "a3bTrue",
    "'it\\'s \\${x} \\u{e4}\\n'": "it's ${x} ä\n",
    "'''\nraw ${x}\n'''": "raw ${x}\n",
    "1 + 2 * 3 - 4 % 3": 6,
    "7 / 2": 3,
    "-(2)": -2,
    "1 < 2 && !(2 < 1) || false": True,
    "true || length([]) / 0 == 1": True,
    "'A' =~ 'a'": True,
    "'A' == 'a'": False,
    "null ?? 'b'": "b",
    "{ a: 1 }.?b ?? 2": 2,
    "{ a: { b: 1 } }.?x.b.c ?? 'none'": "none",
    "{ a: [1, 2] }.a[1]": 2,
    "[1][?3] ?? 0": 0,
    "{ a: 1 }['a']": 1,
    "true ? 'yes' : fail('no')": "yes",
    "map([{ n: 'a' }, { n: 'b' }], x => x.n)": ["a", "b"],
    "map(['a'], x => '${x}!')": ["a!"],
    "map([{ n: 1 }], x => x.n == 1 ? x.n : 0)": [1],
    "map(['a', 'b'], (x) => { n: x })": [{"n": "a"}, {"n": "b"}],
    "filter([{ n: 'a', on: true }, { n: 'b', on: false }], x => x.on && x.n == 'a')": [{"n": "a", "on": True}],
    "filter([{ n: 'a' }], x => contains(['a'], x.n) || x.n == 'z')": [{"n": "a"}],
    "filter([1, 2, 3], x => 1 + x * 2 > 4)": [2, 3],
    "filter([{ a: 1 }], x => !contains(x, 'b'))": [{"a": 1}],
    "reduce([1, 2, 3], 0, (sum, x) => sum + x)": 6,
    "toObject([{ k: 'a', v: 1 }], x => x.k, x => x.v)": {"a": 1},
    "sort([3, 1, 2], (a, b) => a < b)": [1, 2, 3],
    "items({ b: 1, a: 2 })": [{"key": "a", "value": 2}, {"key": "b", "value": 1}],
    "union({ a: { x: 1 }, b: 1 }, { a: { y: 2 } })": {"a": {"x": 1, "y": 2}, "b": 1},
    "union(['a'], ['a', 'b'])": ["a", "b"],
    "concat(['a'], ['b'])": ["a", "b"],
    "concat('a', 'b')": "ab",
    "contains({ Key: 1 }, 'key')": True,
    "contains('abc', 'b')": True,
    "empty('') && empty([]) && empty({}) && !empty('a')": True,
    "format('{0}-{1}', 'a', 2)": "a-2",
    "join(['a', 'b'], ', ')": "a, b",
    "split('a/b/c', '/')[1]": "b",
    "last(split('a/b/c', '/'))": "c",
    "take(replace('a-b-c', '-', ''), 2)": "ab",
    "toLower('ABC')": "abc",
    "length(uniqueString('a'))": 13,
    "uniqueString('a') == uniqueString('a') && uniqueString('a') != uniqueString('b')": True,
    "length(guid('a', 'b'))": 36,
    "range(1, 3)": [1, 2, 3],
    "flatten([[1], [2]])": [1, 2],
    "string(1)": "1",
    "int('3')": 3,
    "json('{\"a\": 1}').a": 1,
    "any('a')": "a",
    "sys.toUpper('a')": "A",
    "resourceGroup().location": "westeurope",
    "subscription().subscriptionId": "00000000-0000-0000-0000-000000000001",
    "environment().suffixes.storage": "core.windows.net",
    "resourceId('Microsoft.Storage/storageAccounts', 'a')": f"{ACCOUNT}/a",
    "resourceId('rg2', 'A.B/cs/ds', 'c', 'd')": f"{GROUP[:-10]}rg2/providers/A.B/cs/c/ds/d",
    "subscriptionResourceId('A.B/cs', 'c')": "/subscriptions/00000000-0000-0000-0000-000000000001/providers/A.B/cs/c",
    "[\n  any('a')\n  'b'\n]": ["a", "b"],
    "[subscription().subscriptionId, format('{0}', 1)]": ["00000000-0000-0000-0000-000000000001", "1"],
    "[format('{0}-{1}', 1, 2), concat('a', 'b')]": ["1-2", "ab"],
    "[first(['a']), [[1, 2]][0][1] + 1, ['x'][0] == 'x' ? 'y' : 'z']": ["a", 3, "y"],
    "[for x in ['a', 'b']: 'n-${x}']": ["n-a", "n-b"],
    "[for (x, i) in ['a', 'b']: { n: x, i: i }]": [{"n": "a", "i": 0}, {"n": "b", "i": 1}],
    "loadJsonContent('data.json').a[0]": "first",
    "loadTextContent('data.json')": '{"a": ["first"]}',
}


@pytest.mark.parametrize("expression", VALUES)
def test_an_expression_has_the_value_that_bicep_gives_it(expression, write):
    path = write(f"var it = {expression}\noutput it object = any(it)\n", data__json='{"a": ["first"]}')
    path.write_text(path.read_text().replace("output it object = any(it)", "output it array = [{ it: it }]"))
    assert outputs(path)["it"] == [{"it": VALUES[expression]}]


def test_a_resource_comes_with_its_id_and_its_values(write):
    found = deploy(write("param tls string = 'TLS1_2'\n" + STORAGE.replace("'TLS1_2'\n  }", "tls\n  }")))
    [account] = found.resources
    assert (account.type, account.api_version) == ("Microsoft.Storage/storageAccounts", "2024-01-01")
    assert (account.id, account.symbol, account.file) == (f"{ACCOUNT}/st1", "account", "main.bicep")
    assert account.body == {"location": "westeurope", "properties": {"minimumTlsVersion": "TLS1_2"}}


def test_a_loop_makes_a_resource_of_each_item_and_a_condition_leaves_one_out(write):
    text = """
    param names array
    param wanted bool
    resource service 'Microsoft.Storage/storageAccounts/queueServices@2024-01-01' = if (wanted) {
      parent: account
      name: 'default'
    }
    resource queueOf 'Microsoft.Storage/storageAccounts/queueServices/queues@2024-01-01' = [
      for (each, i) in names: if (wanted && i > 0) {
        parent: service
        name: '${each}-${i}'
      }
    ]
    output second string = queueOf[1].id
    """
    path = write(STORAGE + text)
    found = deploy(path, {"names": ["a", "b", "c"], "wanted": True})
    queues = found.of_type("Microsoft.Storage/storageAccounts/queueServices/queues")
    assert [each.name for each in queues] == ["st1/default/b-1", "st1/default/c-2"]
    assert queues[0].parent == f"{ACCOUNT}/st1/queueServices/default"
    assert found.outputs["second"] == f"{ACCOUNT}/st1/queueServices/default/queues/b-1"
    assert queues[0].depends_on == {"service"}
    assert [each.name for each in deploy(path, {"names": ["a", "b"], "wanted": False}).resources] == ["st1"]


def test_nested_resources_are_named_by_their_parents(write):
    nested = """
      resource blobs 'blobServices' = {
        name: 'default'
        resource of 'containers' = [for each in ['a', 'b']: { name: each }]
      }
    }
    output one string = account::blobs::of[1].id
    """
    found = deploy(write(STORAGE.rstrip().removesuffix("}") + nested))
    assert found.outputs["one"] == f"{ACCOUNT}/st1/blobServices/default/containers/b"
    containers = found.of_type("Microsoft.Storage/storageAccounts/blobServices/containers")
    assert [each.name for each in containers] == ["st1/default/a", "st1/default/b"]
    assert containers[0].api_version == "2024-01-01"


def test_what_only_azure_knows_is_said_as_a_text(write):
    text = """
    resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = { name: 'id1', location: 'x' }
    output principal string = 'p=${identity.properties.principalId}'
    output blob string = account.properties.primaryEndpoints.blob
    output tls string = account.properties.minimumTlsVersion
    output part string = split(identity.properties.clientId, '-')[0]
    """
    found = outputs(write(STORAGE + text))
    expected = f"p=${{{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id1.properties.principalId}}"
    assert found["principal"] == expected
    assert isinstance(found["principal"], Runtime)
    assert isinstance(found["part"], Runtime)
    assert found["blob"] == "https://st1.blob.core.windows.net/"
    assert found["tls"] == "TLS1_2"


MODULE = """
param name string
@allowed(['a', 'b'])
param kind string = 'a'
param sizes int[] = []
resource account 'Microsoft.Storage/storageAccounts@2024-01-01' = { name: name, location: kind, tags: { s: sizes } }
output id string = account.id
output where string = resourceGroup().name
"""


def test_modules_are_carried_out_in_their_scopes(write):
    main = """
    targetScope = 'subscription'
    resource group 'Microsoft.Resources/resourceGroups@2024-11-01' = { name: 'rg-a', location: deployment().location }
    module one 'part.bicep' = { name: 'one', scope: group, params: { name: 'st1' } }
    module two 'part.bicep' = if (false) { name: 'two', scope: group, params: { name: 'st2' } }
    module many 'part.bicep' = [for n in ['x', 'y']: {
      name: 'many-${n}'
      scope: resourceGroup('rg-b')
      params: { name: n, kind: 'b', sizes: [1] }
    }]
    output ids array = [one.outputs.id, many[1].outputs.id, many[0].outputs.where]
    """
    found = deploy(write(main, part__bicep=MODULE))
    prefix = GROUP.removesuffix("rg-relearn")
    assert [each.name for each in found.resources] == ["rg-a", "st1", "x", "y"]
    assert found.outputs["ids"] == [
        f"{prefix}rg-a/providers/Microsoft.Storage/storageAccounts/st1",
        f"{prefix}rg-b/providers/Microsoft.Storage/storageAccounts/y",
        "rg-b",
    ]
    assert found.resources[1].trail == ("one",)
    assert found.resources[2].body == {"location": "b", "tags": {"s": [1]}}


ARM = {
    "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
    "contentVersion": "1.0.0.0",
    "parameters": {
        "scope": {"type": "string"},
        "kind": {"type": "string", "allowedValues": ["a", "b"], "defaultValue": "a"},
    },
    "variables": {
        "text": "[if(equals(parameters('kind'), 'a'), concat('it''s ', parameters('kind')), createArray(1))]"
    },
    "resources": [
        {
            "type": "Microsoft.Authorization/roleAssignments",
            "apiVersion": "2022-04-01",
            "name": "[guid(parameters('scope'))]",
            "scope": "[parameters('scope')]",
            "properties": {"description": "[variables('text')]", "plain": "[[x]"},
        }
    ],
    "outputs": {"name": {"type": "string", "value": "[split('a/b', '/')[1]]"}},
}


def test_a_module_may_be_arm_json(write):
    main = STORAGE + (
        "module one 'part.json' = { name: 'one', params: { scope: account.id } }\noutput n string = one.outputs.name\n"
    )
    found = deploy(write(main, part__json=json.dumps(ARM)))
    role = found.resources[-1]
    assert role.id.startswith(f"{ACCOUNT}/st1/providers/Microsoft.Authorization/roleAssignments/")
    assert role.scope == f"{ACCOUNT}/st1"
    assert role.properties == {"description": "it's a", "plain": "[x]"}
    assert found.outputs["n"] == "b"


EXISTING = """
param there string
resource old 'Microsoft.MachineLearningServices/workspaces@2025-06-01' existing = {
  name: last(split(there, '/'))
  scope: resourceGroup(split(there, '/')[4])
}
output id string = old.id
output registry string = contains(old.properties, 'containerRegistry') ? old.properties.containerRegistry : 'none'
"""


def test_what_exists_can_be_told(write):
    there = f"{GROUP}-old/providers/Microsoft.MachineLearningServices/workspaces/w"
    path = write(EXISTING)
    told = {there: {"properties": {"containerRegistry": "cr"}}}
    assert deploy(path, {"there": there}, existing=told).outputs == {"id": there, "registry": "cr"}
    assert deploy(path, {"there": there}, existing={there: {"properties": {}}}).outputs["registry"] == "none"
    with pytest.raises(Refused, match="a condition is true or false"):
        deploy(path, {"there": there})
    assert [each.id for each in deploy(path, {"there": there}, existing=told).existing] == [there]


REFUSED = {
    ("syntax", "syntax error"): "param a string = {",
    ("duplicate", "a is declared more than once"): "param a string\nvar a = 1\noutput b string = a",
    ("duplicate", "property x is given more than once"): "output b object = { x: 1, x: 2 }",
    ("undefined", "nothing is called b"): "output a string = b",
    ("undefined", "nothing is called y"): "output a array = map([1], x => y)",
    ("undefined", "nothing is called lost"): "output a string = true ? 'a' : lost.name",
    ("undefined", "no type is called kind"): "param a kind\noutput b string = a",
    ("undefined", "no nested resource is called none"): STORAGE + "output a string = account::none.id",
    ("unknown-function", "lower is no function"): "output a string = lower('A')",
    ("unknown-function", "a resource has no getKeys"): STORAGE + "output a object = account.getKeys()",
    ("arguments", "split takes 2 to 2 arguments, not 1"): "output a array = split('a')",
    ("arguments", "utcNow can only be used in a parameter's default"): "output a string = utcNow()",
    ("decorator", "there is no decorator @alowed"): "@alowed(['a'])\nparam a string\noutput b string = a",
    ("cycle", "a leads back to itself"): "var a = b\nvar b = a\noutput c string = a",
    ("parameter-default", "a default cannot use v"): "var v = 'a'\nparam p string = v\noutput o string = p",
    ("loop-place", "a loop cannot stand here"): "output a array = concat([for x in [1]: x], [])",
    ("file", "there is no file gone.json"): "output a object = loadJsonContent('gone.json')",
    ("collection", "service is many"): STORAGE
    + "resource service 'Microsoft.Storage/storageAccounts/queueServices@2024-01-01' = "
    "[for x in ['a']: { parent: account, name: x }]\noutput a string = service.id",
    ("start", "the name of other needs account.properties"): STORAGE
    + "resource other 'A.B/cs@2024-01-01' = { name: account.properties.accessTier }",
    ("start", "the condition of other needs account.location"): STORAGE
    + "resource other 'A.B/cs@2024-01-01' = if (account.location == 'x') { name: 'a' }",
    ("start", "the loop of other needs account.tags"): STORAGE
    + "var all = account.tags.all\nresource other 'A.B/cs@2024-01-01' = [for x in all: { name: x }]",
    ("start", "the loop of all needs account.properties"): STORAGE
    + "var all = [for x in [1]: account.properties.accessTier]\noutput a array = all",
    ("start", "the name of other needs listKeys()"): STORAGE
    + "resource other 'A.B/cs@2024-01-01' = { name: account.listKeys().keys[0].value }",
    ("parent", "A.B/cs/ds is no child of Microsoft.Storage/storageAccounts"): STORAGE
    + "resource other 'A.B/cs/ds@2024-01-01' = { parent: account, name: 'a' }",
    ("body", "other has no name"): "resource other 'A.B/cs@2024-01-01' = { location: 'a' }",
    ("body", "other depends on what is no resource"): "param a string\n"
    "resource other 'A.B/cs@2024-01-01' = { name: a, dependsOn: [a] }",
    ("body", "other has no api version"): "resource other 'A.B/cs' = { name: 'a' }",
    ("unused", "parameter a is not used"): "param a string",
    ("unused", "variable a is not used"): "var a = 1",
    ("module-path", "there is no file gone.bicep"): "module m 'gone.bicep' = { name: 'm' }",
    ("module-parameter", "part.bicep has no parameter nam"): "module m 'part.bicep' = { name: 'm', params: "
    "{ name: 'a', nam: 'b' } }",
    ("module-parameter", "part.bicep needs the parameter name"): "module m 'part.bicep' = { name: 'm' }",
    ("module-output", "part.bicep has no output ids"): "module m 'part.bicep' = { name: 'm', params: { name: 'a' } }\n"
    "output a string = m.outputs.ids",
    ("module-output", "a module has no id"): "module m 'part.bicep' = { name: 'm', params: { name: 'a' } }\n"
    "output a string = m.id",
    ("module-scope", "part.bicep is for a resourceGroup"): "targetScope = 'subscription'\n"
    "module m 'part.bicep' = { name: 'm', params: { name: 'a' } }",
    ("start", "the name of m needs one.outputs"): "module one 'part.bicep' = { name: 'one', params: { name: 'a' } }\n"
    "module m 'part.bicep' = { name: one.outputs.id, params: { name: 'a' } }",
    ("body", "a module has no parms"): "module m 'part.bicep' = { name: 'm', params: { name: 'a' }, parms: {} }",
}


@pytest.mark.parametrize(("kind", "said"), REFUSED)
def test_what_a_compiler_refuses_is_refused(kind, said, write):
    path = write(REFUSED[kind, said], part__bicep=MODULE)
    found = [each for each in problems(path) if each.kind == kind and said in each.message]
    assert len(found) >= 1, problems(path)
    if kind == "unused":
        return
    with pytest.raises(Refused):
        deploy(path)


def test_a_problem_in_a_module_is_found_with_its_line(write):
    main = "module m 'part.bicep' = { name: 'm', params: { name: 'a' } }"
    [problem] = problems(write(main, part__bicep=MODULE + "\noutput more string = nowhere"))
    assert str(problem) == "part.bicep:10: undefined: nothing is called nowhere"


DENIED = {
    "the parameter name is missing": (MODULE, {}),
    "there is no parameter nam": (MODULE, {"name": "a", "nam": "b"}),
    "parameter name: 3 is not of type string": (MODULE, {"name": 3}),
    "parameter kind: 'c' is none of the allowed values": (MODULE, {"name": "a", "kind": "c"}),
    "parameter sizes: 'x' is not of type int": (MODULE, {"name": "a", "sizes": ["x"]}),
    "parameter n: True is not of type int": ("param n int\noutput o int = n", {"n": True}),
    "parameter n: 0 is below minValue 1": ("@minValue(1)\nparam n int\noutput o int = n", {"n": 0}),
    "parameter n: 'abc' is above maxLength 2": ("@maxLength(2)\nparam n string\noutput o string = n", {"n": "abc"}),
    "parameter k: 'c' is none of 'a', 'b'": ("type ab = 'a' | 'b'\nparam k ab\noutput o string = k", {"k": "c"}),
    "parameter o: b is missing": ("param o { a: string?, b: int }\noutput x object = o", {"o": {}}),
    "this is refused": ("param n bool\noutput o string = n ? fail('this is refused') : ''", {"n": True}),
    "output o: [1] is not of type string": ("output o string = any([1])", {}),
    "there is no 'b' in {'a': 1}": ("var v = { a: 1 }\noutput o int = v.b", {}),
    "there is no 2 in [1]": ("output o int = [1][2]", {}),
    "a loop wants an array, not 'abc'": ("output o array = [for x in any('abc'): x]", {}),
    "a text can hold texts and numbers only": ("output o string = 'a${['b']}'", {}),
    "the name of a is ''": ("resource a 'A.B/cs@2024-01-01' = { name: '' }", {}),
    "A.B/cs/ds wants a name of 2 parts, not 'a'": ("resource a 'A.B/cs/ds@2024-01-01' = { name: 'a' }", {}),
    "only a module for that scope can deploy it": (
        "resource a 'A.B/cs@2024-01-01' = { name: 'a', scope: resourceGroup('other') }",
        {},
    ),
    "it has no location": (
        "resource a 'A.B/cs@2024-01-01' = if (false) { name: 'a', location: 'x' }\noutput o string = a.location",
        {},
    ),
    "there is no system-assigned identity": (STORAGE + "output o string = account.identity.principalId", {}),
    "a is deployed, its parent account is not": (
        STORAGE.replace("= {\n  name", "= if (false) {\n  name")
        + "resource a 'Microsoft.Storage/storageAccounts/queueServices@2024-01-01' = { parent: account, name: 'd' }",
        {},
    ),
    f"deployed more than once: {ACCOUNT}/st1".lower(): (STORAGE + STORAGE.replace("account ", "again "), {}),
    "resourceGroup() has no meaning": ("targetScope = 'subscription'\noutput o string = resourceGroup().name", {}),
    "a resource id of A.B/cs wants 1 names, not 2": ("output o string = resourceId('A.B/cs', 'a', 'b')", {}),
}


@pytest.mark.parametrize("said", DENIED)
def test_what_a_deployment_refuses_is_refused(said, write):
    text, parameters = DENIED[said]
    with pytest.raises(Refused) as refused:
        deploy(write(text), parameters)
    assert said.lower() in str(refused.value).lower()


BETWEEN = {
    "parameter kind: 'c' is none of the allowed values": "{ name: 'm', params: { name: 'a', kind: 'c' } }",
    "parameter name: ['a'] is not of type string": "{ name: 'm', params: { name: any(['a']) } }",
    "a deployment's name has 1 to 64 characters": "{ name: '${uniqueString('a')}%s', params: { name: 'a' } }"
    % ("x" * 60),
    "module m is not deployed": "if (false) { name: 'm', params: { name: 'a' } }\noutput o string = m.outputs.id",
    "is for a resourceGroup, not subscription": "{ name: 'm', scope: subscription(), params: { name: 'a' } }",
    "deployed more than once: m in": "{ name: 'm', params: { name: 'a' } }\n"
    "module n 'part.bicep' = { name: 'm', params: { name: 'b' } }",
}


@pytest.mark.parametrize("said", BETWEEN)
def test_what_does_not_fit_between_files_is_refused(said, write):
    with pytest.raises(Refused) as refused:
        deploy(write(f"module m 'part.bicep' = {BETWEEN[said]}", part__bicep=MODULE))
    assert said in str(refused.value)


def test_a_role_in_another_group_needs_a_module_there(write):
    main = "param id string\nmodule one 'part.json' = { name: 'one', params: { scope: id } }"
    with pytest.raises(Refused, match="only a module for that scope"):
        deploy(write(main, part__json=json.dumps(ARM)), {"id": f"{GROUP}-other/providers/A.B/cs/c"})


@pytest.mark.parametrize("text", ["output o array = [\n  any\n  ('a')\n]", "import * as x from 'y.bicep'"])
def test_what_it_does_not_know_it_does_not_guess(text, write):
    assert [each.kind for each in problems(write(text))] in (["syntax"], ["undefined"])
