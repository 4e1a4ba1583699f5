"""The expression evaluator: Microsoft's documented examples, interpolation, and errors that name the culprit."""

from __future__ import annotations

import re

import pytest

from local.data_factory.definitions import parse
from local.data_factory.interpreter import Execution, Surroundings
from local.data_factory.scopes import ActivityRun, Scope, Variables
from local.data_factory.values import ExpressionError
from local.data_factory.web import WebClient
from tests.local.adf import NOON

SYSTEM = {
    "DataFactory": "adf",
    "Pipeline": "score",
    "RunId": "run-1",
    "TriggerTime": "2026-11-22T12:00:00.0000000Z",
    "parameters": {"myNumber": 42, "myString": "foo", "quoted": "it's", "firstName": "Ada"},
    "globalParameters": {"pollSeconds": 5},
}
DECLARED = {
    "status": {"type": "String", "defaultValue": "Running"},
    "names": {"type": "Array", "defaultValue": ["a", "b"]},
    "unset": {"type": "String"},
}


def scope() -> Scope:
    made = Scope(system=SYSTEM, variables=Variables(DECLARED), now=lambda: NOON)
    web = ActivityRun(name="Web1", type="WebActivity", start=NOON, status="Succeeded")
    web.output = {"id": "/jobs/job-9", "properties": {"status": "Completed", "a.b": 1}, "value": [{"n": 1}, {"n": 2}]}
    failed = ActivityRun(name="Broken", type="WebActivity", start=NOON, status="Failed")
    failed.error = {"message": "no", "errorCode": "2108"}
    made.runs = {"Web1": web, "Broken": failed}
    return made


# The examples of "Expressions and functions in Azure Data Factory" (Microsoft Learn), argument by argument. Where the
# page's own result has a slip (addDays and its kin show a colon before the fraction, and the first addDays example
# loses its 13 hours; uriComponent loses an s), the right result is expected instead. Where Microsoft's own
# evaluator disagrees with the page it counts (tests/infra/test_adf_expressions.py): it refuses .3, and true is not 1.
DOCUMENTED = [
    ("add(1, 1.5)", 2.5),
    ("addDays('2018-03-15T13:00:00Z', 10)", "2018-03-25T13:00:00.0000000Z"),
    ("addDays('2018-03-15T00:00:00Z', -5)", "2018-03-10T00:00:00.0000000Z"),
    ("addHours('2018-03-15T00:00:00Z', 10)", "2018-03-15T10:00:00.0000000Z"),
    ("addHours('2018-03-15T15:00:00Z', -5)", "2018-03-15T10:00:00.0000000Z"),
    ("addMinutes('2018-03-15T00:10:00Z', 10)", "2018-03-15T00:20:00.0000000Z"),
    ("addMinutes('2018-03-15T00:20:00Z', -5)", "2018-03-15T00:15:00.0000000Z"),
    ("addSeconds('2018-03-15T00:00:00Z', 10)", "2018-03-15T00:00:10.0000000Z"),
    ("addSeconds('2018-03-15T00:00:30Z', -5)", "2018-03-15T00:00:25.0000000Z"),
    ("and(true, true)", True),
    ("and(false, true)", False),
    ("and(equals(1, 1), equals(1, 2))", False),
    ("array('hello')", ["hello"]),
    ("base64('hello')", "aGVsbG8="),
    ("base64ToString('aGVsbG8=')", "hello"),
    ("bool(1)", True),
    ("bool(0)", False),
    ("coalesce(null, true, false)", True),
    ("coalesce(null, 'hello', 'world')", "hello"),
    ("coalesce(null, null, null)", None),
    ("concat('Hello', 'World')", "HelloWorld"),
    ("concat('Baba', '''s ', 'book store')", "Baba's book store"),
    ("contains('hello world', 'world')", True),
    ("contains('hello world', 'universe')", False),
    ("createArray('h', 'e', 'l', 'l', 'o')", ["h", "e", "l", "l", "o"]),
    ("div(10, 5)", 2),
    ("div(11, 5)", 2),
    ("empty('')", True),
    ("empty('abc')", False),
    ("endsWith('hello world', 'world')", True),
    ("endsWith('hello world', 'universe')", False),
    ("equals('abc', 'abcd')", False),
    ("first('hello')", "h"),
    ("first(createArray(0, 1, 2))", 0),
    ("float('10.333')", 10.333),
    ("formatDateTime('03/15/2018 12:00:00', 'yyyy-MM-ddTHH:mm:ss')", "2018-03-15T12:00:00"),
    ("greater(10, 5)", True),
    ("greater('apple', 'banana')", False),
    ("greaterOrEquals(5, 5)", True),
    ("greaterOrEquals('apple', 'banana')", False),
    ("if(equals(1, 1), 'yes', 'no')", "yes"),
    ("indexOf('hello world', 'world')", 6),
    ("int('10')", 10),
    ("json('[1, 2, 3]')", [1, 2, 3]),
    ('json(\'{"fullName": "Sophia Owen"}\')', {"fullName": "Sophia Owen"}),
    ("join(createArray('a', 'b', 'c'), '.')", "a.b.c"),
    ("last('abcd')", "d"),
    ("last(createArray(0, 1, 2, 3))", 3),
    ("lastIndexOf('hello world', 'world')", 6),
    ("length('abcd')", 4),
    ("length(createArray(0, 1, 2, 3))", 4),
    ("less(5, 10)", True),
    ("less('banana', 'apple')", False),
    ("lessOrEquals(10, 10)", True),
    ("lessOrEquals('apply', 'apple')", False),
    ("max(1, 2, 3)", 3),
    ("max(createArray(1, 2, 3))", 3),
    ("min(1, 2, 3)", 1),
    ("min(createArray(1, 2, 3))", 1),
    ("mod(3, 2)", 1),
    ("mul(1, 2)", 2),
    ("mul(1.5, 2)", 3),
    ("not(false)", True),
    ("not(equals(1, 1))", False),
    ("or(true, false)", True),
    ("or(equals(1, 2), equals(1, 3))", False),
    ("range(1, 4)", [1, 2, 3, 4]),
    ("replace('the old string', 'old', 'new')", "the new string"),
    ("skip(createArray(0, 1, 2, 3), 1)", [1, 2, 3]),
    ("split('a_b_c', '_')", ["a", "b", "c"]),
    ("startsWith('hello world', 'hello')", True),
    ("startsWith('hello world', 'greetings')", False),
    ("string(10)", "10"),
    ("sub(10.3, 0.3)", 10),
    ("substring('hello world', 6, 5)", "world"),
    ("take('abcde', 3)", "abc"),
    ("take(createArray(0, 1, 2, 3, 4), 3)", [0, 1, 2]),
    ("toLower('Hello World')", "hello world"),
    ("toUpper('Hello World')", "HELLO WORLD"),
    ("trim(' Hello World  ')", "Hello World"),
    ("uriComponent('https://contoso.com')", "https%3A%2F%2Fcontoso.com"),
    ("uriComponentToString('http%3A%2F%2Fcontoso.com')", "http://contoso.com"),
]


@pytest.mark.parametrize(("expression", "expected"), DOCUMENTED)
def test_a_documented_example(expression, expected):
    assert scope().resolve(f"@{expression}") == expected


# Microsoft's tables of literals, escapes and interpolation (the same page, "Expressions").
VALUES = [
    ("parameters", "parameters"),
    ("parameters[1]", "parameters[1]"),
    ("@@", "@"),
    (" @", " @"),
    ("@pipeline().parameters.myString", "foo"),
    ("@{pipeline().parameters.myString}", "foo"),
    ("@pipeline().parameters.myNumber", 42),
    ("@{pipeline().parameters.myNumber}", "42"),
    ("Answer is: @{pipeline().parameters.myNumber}", "Answer is: 42"),
    ("@concat('Answer is: ', string(pipeline().parameters.myNumber))", "Answer is: 42"),
    ("Answer is: @@{pipeline().parameters.myNumber}", "Answer is: @{pipeline().parameters.myNumber}"),
    ("First Name: @{pipeline().parameters.firstName} End: @{variables('status')}", "First Name: Ada End: Running"),
    (
        '{ \n  "type": "@{if(equals(1, 2), \'Blob\', \'Table\' )}",\n  "name": "@{toUpper(\'myData\')}"\n}',
        '{ \n  "type": "Table",\n  "name": "MYDATA"\n}',
    ),
    # Ours: what those rules imply.
    ("@@{x}", "@{x}"),
    ("@@name", "@name"),
    ("@@a @{1}", "@a @{1}"),
    ("a @{1} @@{2}", "a 1 @{2}"),
    ("@", "@"),
    ("@{'}'}", "}"),
    ("@{concat('it''s', '}')}!", "it's}!"),
    ("@{variables('names')}", '["a","b"]'),
    ({"value": "@add(1, 2)", "type": "Expression"}, 3),
    ({"a": ["@add(1, 2)", {"b": "x@{4}"}], "n": 5}, {"a": [3, {"b": "x4"}], "n": 5}),
    ({"value": "@add(1, 2)", "type": "Expression", "more": 1}, {"value": 3, "type": "Expression", "more": 1}),
]


@pytest.mark.parametrize(("value", "expected"), VALUES)
def test_a_json_value(value, expected):
    resolved = scope().resolve(value)
    assert resolved == expected
    assert type(resolved) is type(expected)


REACHING = [
    ("activity('Web1').output.properties.status", "Completed"),
    ("activity('Web1').output['properties']['a.b']", 1),
    ("activity('Web1').output.value[1].n", 2),
    ("last(split(activity('Web1').output.id, '/'))", "job-9"),
    ("activity('Broken').error.message", "no"),
    ("activity('Broken').Status", "Failed"),
    ("activity('Web1').output?.nothing", None),
    ("activity('Web1').output?.nothing?.deeper", None),
    ("activity('Web1').output?['nothing']?[0]", None),
    ("coalesce(activity('Web1').output?.nothing, 'else')", "else"),
    ("split('a,b', ',')[1]", "b"),
    ("pipeline().globalParameters.pollSeconds", 5),
    ("pipeline().RunId", "run-1"),
    ("pipeline().TriggerTime", "2026-11-22T12:00:00.0000000Z"),
    ("pipeline().parameters.quoted", "it's"),
    ("variables('names')[0]", "a"),
    ("variables('unset')", None),
    ("CONCAT('a', ToUpper('b'))", "aB"),
    ("  add( 1 ,\n 2 )  ", 3),
    ("-5", -5),
    ("concat('n', 1, true, null)", "n1True"),
    ("string(json('{\"a\": [1, 2.0]}'))", '{"a":[1,2.0]}'),
    ("equals('a', 'A')", False),
    ("equals('1', 1)", False),
    ("equals(true, 1)", False),
    ("equals(1, 1.0)", True),
    ("equals(createArray(1), createArray(1.0))", False),
    ("equals(createArray(1, 'a'), createArray(1, 'a'))", True),
    ("startsWith('Hello', 'hE')", True),
    ("contains(createArray('Completed', 'Failed'), 'failed')", False),
    ("contains(json('{\"k\": 1}'), 'K')", True),
    ("contains(createArray(1), 1.0)", False),
    ("array(createArray(1))", [1]),
    ("lastIndexOf('Hello', '')", 4),
    ("length('😀')", 2),
    ("toUpper('straße')", "STRAßE"),
    ("uriComponentToString('a+b%20c')", "a b c"),
    ("concat(1e20, ' ', 0.00001, ' ', 2.50)", "1E+20 1E-05 2.5"),
    ("div(-7, 2)", -3),
    ("mod(-7, 3)", -1),
    ("utcNow()", "2026-11-22T12:00:00.0000000Z"),
    ("utcnow('D')", "Sunday, November 22, 2026"),
    ("formatDateTime('2018-03-15T09:05:07.1234567Z', 'ddd d MMM yy h:mm tt .fff')", "Thu 15 Mar 18 9:05 AM .123"),
    ("formatDateTime('2018-03-15T12:00:00+02:00')", "2018-03-15T10:00:00.0000000+00:00"),
    ("addDays('2018-03-15T12:00:00.1234567Z', 1)", "2018-03-16T12:00:00.1234567Z"),
    ("length(guid())", 36),
    ("length(guid('N'))", 32),
]


@pytest.mark.parametrize(("expression", "expected"), REACHING)
def test_an_expression_of_a_pipeline(expression, expected):
    assert scope().resolve(f"@{expression}") == expected


BROKEN = [
    ("frobnicate(1)", "'frobnicate' is not defined"),
    ("concat('a'", "')' is missing"),
    ("concat('a', )", "')' is neither a value"),
    ("toUpper()", "'toUpper' takes 1 argument(s), not 0"),
    ("if(true, 1)", "'if' takes 3 argument(s), not 2"),
    ("if('true', 1, 2)", "'if' expects a boolean, not String 'true'"),
    ("and(1, true)", "'and' expects a boolean"),
    ("or(equals(1, 1), 'x')", "'or' expects a boolean"),  # strict: not lazily skipped
    ("add('1', 2)", "'add' expects a number, not String '1'"),
    ("greater(1, 'a')", "'greater' expects a number"),
    ("div(1, 0)", "divide by zero"),
    ("add(9223372036854775807, 1)", "out of range"),
    ("9223372036854775808", "out of range"),
    ("addDays('9999-12-31', 1)", "leaves the years 1 to 9999"),
    ("range(1, -1)", "'range' cannot make -1 numbers"),
    ("skip(createArray(1), -1)", "'skip' cannot skip -1"),
    ("int('1_000')", "cannot make an integer of String '1_000'"),
    ("float('inf')", "cannot make a number of String 'inf'"),
    ("json(null)", "'json' expects a string, not Null"),
    ("json('NaN')", "not JSON"),
    ("int('ten')", "cannot make an integer of String 'ten'"),
    ("json('{')", "not valid JSON"),
    ("substring('abc', 2, 5)", "leaves 'abc'"),
    ("substring('abc', 3)", "leaves 'abc'"),
    ("activity('Nobody').output", "the activity 'Nobody'"),
    (
        "activity('Web1').output.nothing",
        "property 'nothing' doesn't exist, available properties are 'id, properties, value'",
    ),
    ("activity('Broken').output", "property 'output' doesn't exist"),
    ("activity('Web1').output.id.x", "property 'x' cannot be selected"),
    ("activity('Web1').output.value[2]", "array index '2' is outside bounds"),
    ("activity('Web1').output?.nothing.deeper", "property 'deeper' cannot be selected"),
    ("pipeline().parameters.other", "property 'other' doesn't exist"),
    ("pipeline().parameters.mystring", "property 'mystring' doesn't exist"),
    ("variables('other')", "the variable 'other' is not declared"),
    ("item()", "only inside a ForEach"),
    ("formatDateTime('soon')", "'soon' is not a timestamp"),
    ("formatDateTime('20180315')", "'20180315' is not a timestamp"),
    ("formatDateTime('2018-02-30')", "'2018-02-30' is not a timestamp"),
    ("formatDateTime('2018-03-15', 'q')", "date format 'q' is not imitated"),
    ('concat("a")', "'\"' has no meaning"),
    ("a b", "'a' is neither a value"),
    ("1 2", "there is '2' where it should end"),
    (".3", "'.' is neither a value"),
    (" ", "it ends too early"),
]


@pytest.mark.parametrize(("expression", "reason"), BROKEN)
def test_a_broken_expression_says_which_and_why(expression, reason):
    with pytest.raises(ExpressionError, match=re.escape(reason)) as caught:
        scope().resolve({"value": f"@{expression}", "type": "Expression"})
    assert f"The expression '{expression}' cannot be evaluated because" in str(caught.value)


def test_an_interpolation_without_its_brace_is_an_error():
    with pytest.raises(ExpressionError, match="no closing brace"):
        scope().resolve("x @{variables('status')")


def test_a_parameter_is_never_evaluated_a_second_time():
    sneaky = {**SYSTEM, "parameters": {"p": "@frobnicate() @{frobnicate()}"}}
    made = Scope(system=sneaky, variables=Variables({}), now=lambda: NOON)
    assert made.resolve("@{pipeline().parameters.p}") == "@frobnicate() @{frobnicate()}"


def test_an_unknown_function_fails_its_activity_and_the_run_with_its_name():
    document = {
        "name": "p",
        "properties": {
            "activities": [
                {
                    "name": "Set",
                    "type": "SetVariable",
                    "typeProperties": {"variableName": "v", "value": "@frobnicate()"},
                }
            ],
            "variables": {"v": {"type": "String"}},
        },
    }
    surroundings = Surroundings(now=lambda: NOON, pause=lambda *_: None, web=WebClient())
    ending = Execution(parse(document), system=SYSTEM, surroundings=surroundings).run()
    surroundings.web.close()
    assert ending.outcome == "failed"
    assert "Operation on target Set failed" in ending.message
    assert "'frobnicate'" in ending.message
