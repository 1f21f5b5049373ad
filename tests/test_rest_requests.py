"""Requests and replies as JSON: cases of TensorFlow Serving's json_tensor_test.cc in our words."""

import json
import math

import numpy as np
import pytest
import tensorflow as tf

from tfp_realnvp.serving.rest.predict import read_request, write_reply
from tfp_realnvp.serving.rest.refusal import Refusal

INT, FLOAT = {"a": tf.int32}, {"a": tf.float32}
TWO = {"n": tf.int32, "s": tf.string}
FOUR = {"i": tf.int32, "s": tf.string, "f": tf.float32, "d": tf.float64}
N, S = [[1, 2], [3, 4]], ["foo", "bar"]


def read(text, dtypes):
    body = text if isinstance(text, bytes) else text.encode()
    return read_request(body, lambda signature: dtypes)


@pytest.mark.parametrize(
    ("text", "dtypes", "expected"),
    [
        ('{"instances": [[1,2],[3,4],[5,6]]}', INT, {"a": [[1, 2], [3, 4], [5, 6]]}),
        ('{"instances": [1, 2.0, 3, 0.662, 0]}', {"a": tf.float64}, {"a": [1, 2, 3, 0.662, 0]}),
        ('{"instances": [1435774380]}', FLOAT, {"a": [np.float32(1435774380)]}),
        ('{"instances": [1435774380.0]}', FLOAT, {"a": [np.float32(1435774380)]}),
        ('{"instances": [1.7976931348623157e+308]}', FLOAT, {"a": [math.inf]}),
        ('{"instances": [-1.7976931348623157e+308]}', FLOAT, {"a": [-math.inf]}),
        ('{"instances": [2.2250738585072014e-308]}', FLOAT, {"a": [0]}),
        ('{"instances": [1e999, -Infinity]}', FLOAT, {"a": [math.inf, -math.inf]}),
        ('{"instances": [1' + "0" * 400 + "]}", FLOAT, {"a": [math.inf]}),
        ('{"instances": [{"a": [1,2]}, {"a": [3,4]}]}', INT, {"a": [[1, 2], [3, 4]]}),
        ('{"instances": [[1,2],[3,4]]} what follows is not read', INT, {"a": [[1, 2], [3, 4]]}),
        (' \n\t{"instances": [1]}', INT, {"a": [1]}),
        ('{"instances": [true, false]}', {"a": tf.bool}, {"a": [True, False]}),
        (
            '{"instances": [{"b64": "aGVsbG8="}, {"b64": "d29ybGQ="}]}',
            {"a": tf.string},
            {"a": [b"hello", b"world"]},
        ),
        (
            '{"instances": [[{"b64": "aGVsbG8="}], [{"b64": "d29ybGQ="}]]}',
            {"a": tf.string},
            {"a": [[b"hello"], [b"world"]]},
        ),
        (
            '{"instances": [{"a": [[{"b64": "aGVsbG8="}], ["world"]]}]}',
            {"a": tf.string},
            {"a": [[[b"hello"], [b"world"]]]},
        ),
        (
            '{"instances": [{"i": [[1,2],[3,4]], "s": ["foo","bar"], "f": [1.0, NaN], "d": [NaN]},'
            ' {"i": [[7,8],[9,0]], "s": ["baz","bat"], "f": [2.0, Infinity], "d": [2.0]}]}',
            FOUR,
            {
                "i": [[[1, 2], [3, 4]], [[7, 8], [9, 0]]],
                "s": [[b"foo", b"bar"], [b"baz", b"bat"]],
                "f": [[1, math.nan], [2, math.inf]],
                "d": [[math.nan], [2]],
            },
        ),
        ('{"inputs": {"a": [[[1,2],[3,4]]]}}', INT, {"a": [[[1, 2], [3, 4]]]}),
        ('{"inputs": [[[1,2],[3,4]]]}', INT, {"a": [[[1, 2], [3, 4]]]}),
        ('{"inputs": 5}', INT, {"a": 5}),
        # By now TensorFlow Serving refuses neither; once it did, as "loss of precision".
        ('{"instances": [16777217]}', FLOAT, {"a": [np.float32(16777216)]}),
        ('{"instances": [9007199254740993]}', {"a": tf.float64}, {"a": [9007199254740992.0]}),
        ('{"inputs": []}', INT, {"a": []}),
        ('{"inputs": [[], []]}', FLOAT, {"a": [[], []]}),
        (
            '{"inputs": {"n": [[1,2]], "s": {"b64": "aGVsbG8="}, "more": 1}}',
            TWO,
            {"n": [[1, 2]], "s": b"hello"},
        ),
    ],
)
def test_requests_that_are_read(text, dtypes, expected):
    request = read(text, dtypes)
    assert request.signature == "serving_default"
    assert request.in_rows == ("instances" in text)
    assert request.inputs.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(request.inputs[name], np.array(value))
        assert request.inputs[name].dtype == dtypes[name].as_numpy_dtype


def test_a_signature_is_named():
    assert read('{"signature_name": "b", "instances": [1]}', INT).signature == "b"
    assert read('{"signature_name": "", "instances": [1]}', INT).signature == "serving_default"


@pytest.mark.parametrize(
    ("text", "dtypes", "sentence"),
    [
        ("", INT, "JSON Parse error: The document is empty"),
        ("  \n", INT, "JSON Parse error: The document is empty"),
        ("instances = [1, 2]", INT, "JSON Parse error: Invalid value. at offset: 0"),
        ('{"instances" [1]}', INT, "Missing a colon after a name of object member. at offset: 13"),
        ('{"instances": [1 2]}', INT, "Missing a comma or ] after an array element. at offset: 17"),
        ('{"inputs": 1 "a"}', INT, "Missing a comma or } after an object member. at offset: 13"),
        ('{"instances: [1]}', INT, "Missing a closing quotation mark in string. at offset: 1"),
        ("{5: 1}", INT, "Missing a name for object member. at offset: 1"),
        ('{"a": "\\x"}', INT, "Invalid escape character in string."),
        (b'{"a": "\xff"}', INT, "Invalid encoding in string. at offset: 7"),
        ('{"a": ' + "9" * 5000 + "}", INT, "Number too big to be stored in double."),
        ('{"a": ' + "[" * 100_000, INT, "The document is nested too deeply."),
        ("[1]", INT, "JSON Value: [1] Is not object"),
        ("{}", INT, "Missing 'inputs' or 'instances' key"),
        ('{"inputs": 1}', {}, "Failed to get input map for signature: serving_default"),
        ('{"signature_name": 5, "instances": [1]}', INT, "'signature_name' key must be a string"),
        ('{"instances": [1], "inputs": [1]}', INT, "Not formatted correctly expecting only one of"),
        ('{"instances": 1}', INT, "Expecting 'instances' to be an list/array"),
        ('{"instances": []}', INT, "No values in 'instances' array"),
        ('{"instances": [[1,2],[5,6,7]]}', INT, "Expecting tensor size: 2 but got: 3"),
        ('{"instances": [[1,2],[[5,6]]]}', INT, "Expecting shape [2] but got: [1,2]"),
        ('{"instances": [1, [1]]}', INT, "Expecting shape [] but got: [1]"),
        ('{"instances": [[1,2],["a","b"]]}', INT, 'Value: "a" Type: String is not of expected ty'),
        ('{"instances": ["x"]}', FLOAT, "Type: String is not of expected type: float"),
        ('{"instances": [1, null]}', INT, "Type: Null is not of expected type: int32"),
        ('{"instances": [1, true]}', INT, "Type: True is not of expected type: int32"),
        ('{"instances": [1, 2.0]}', INT, "JSON Value: 2.0 Type: Number is not of expected type"),
        ('{"instances": [2147483648]}', INT, "JSON Value: 2147483648 Type: Number is not of"),
        # TensorFlow Serving takes it, and the graph is given 300 - 256 = 44.
        ('{"instances": [300]}', {"a": tf.uint8}, "JSON Value: 300 Type: Number is not of expect"),
        # RapidJSON has no such limit here, and a tensor is refused later.
        ('{"inputs": ' + "[" * 40 + "1" + "]" * 40 + "}", INT, "nested more than 32 deep"),
        ('{"inputs": [[1,2],[3]]}', INT, "list at unexpected size: 1 at level: 1 expected size: 2"),
        ('{"inputs": [[1,2],3]}', INT, "JSON Value: 3 found at incorrect level: 2 in the JSON DOM"),
        ('{"inputs": [1,[2]]}', INT, "Encountered list at unexpected level: 1 expected < 1"),
        ('{"inputs": {"b64": "x"}}', INT, "Type: Object is not of expected type: int32"),
        ('{"inputs": {"b64": "*"}}', {"a": tf.string}, "Unable to base64 decode"),
        ('{"inputs": {"a": {"b64": 1}}}', {"a": tf.string}, "not formatted correctly for base64"),
        ('{"inputs": {"n": [1]}}', TWO, "Missing named input: s in 'inputs' object."),
        ('{"inputs": [1]}', TWO, "inputs is a plain value/list, but expecting an object as mult"),
        ('{"instances": [1]}', TWO, "instances is a plain list, but expecting list of objects as"),
        (
            json.dumps({"instances": [{"n": N, "s": S}, {"n": [N], "s": S}]}),
            TWO,
            "Failed to process element: 1 key: n of 'instances' list. Error: INVALID_ARGUMENT: "
            "Expecting shape [2,2] but got: [1,2,2]",
        ),
        (
            json.dumps({"instances": [{"n": N, "s": S}, {"n": N[:1], "s": S}]}),
            TWO,
            "Expecting tensor size: 4 but got: 2",
        ),
        (
            json.dumps({"instances": [{"n": N, "s": S}, [1, 20]]}),
            TWO,
            "Expecting object but got list at item 1 of input list",
        ),
        (
            '{"instances": [["baz"], {"a": ["baz"]}]}',
            {"a": tf.string},
            "Expecting value/list but got object at item 1 of input list",
        ),
        (
            json.dumps({"instances": [{"n": N}]}),
            TWO,
            'JSON object: {"n": [[1, 2], [3, 4]]} keys must be equal to: n,s',
        ),
        (
            json.dumps({"instances": [{"n": N, "s": S, "t": 1}]}),
            TWO,
            "key: t of 'instances' list. Error: INVALID_ARGUMENT: JSON object: does not have named "
            "input: t",
        ),
    ],
)
def test_requests_that_are_refused(text, dtypes, sentence):
    with pytest.raises(Refusal) as caught:
        read(text, dtypes)
    assert sentence in caught.value.sentence and caught.value.status == 400
    assert len(caught.value.sentence) < 600


@pytest.mark.parametrize(
    ("results", "rows", "columns"),
    [
        ({"a": [[[1, 2]], [[3, 4]]]}, [[[1, 2]], [[3, 4]]], [[[1, 2]], [[3, 4]]]),
        ({"a": [1, 2, 3]}, [1, 2, 3], [1, 2, 3]),
        (
            {"b": [8.0, 9.0], "a": [[1.0], [2.0]]},
            [{"a": [1.0], "b": 8.0}, {"a": [2.0], "b": 9.0}],
            {"a": [[1.0], [2.0]], "b": [8.0, 9.0]},
        ),
        ({"t_bytes": [b"hello"], "t": [b"x"]}, [{"t": "x", "t_bytes": {"b64": "aGVsbG8="}}], None),
        (
            {"s_bytes": [[b"hello", b"world"], [b"tf", b"serving"]]},
            [
                [{"b64": "aGVsbG8="}, {"b64": "d29ybGQ="}],
                [{"b64": "dGY="}, {"b64": "c2VydmluZw=="}],
            ],
            None,
        ),
        (
            {
                "d": np.array([8.0, 9.0]),
                "f": np.array([[1.0], [2.0]], "float32"),
                "i": [[[1, 2], [3, 4]], [[7, 8], [9, 0]]],
                "s": [[b"foo", b"bar"], [b"baz", b"bat"]],
                "s_bytes": [[b"hello"], [b"tf"]],
            },
            [
                {
                    "d": 8.0,
                    "f": [1.0],
                    "i": [[1, 2], [3, 4]],
                    "s": ["foo", "bar"],
                    "s_bytes": [{"b64": "aGVsbG8="}],
                },
                {
                    "d": 9.0,
                    "f": [2.0],
                    "i": [[7, 8], [9, 0]],
                    "s": ["baz", "bat"],
                    "s_bytes": [{"b64": "dGY="}],
                },
            ],
            {
                "d": [8.0, 9.0],
                "f": [[1.0], [2.0]],
                "i": [[[1, 2], [3, 4]], [[7, 8], [9, 0]]],
                "s": [["foo", "bar"], ["baz", "bat"]],
                "s_bytes": [[{"b64": "aGVsbG8="}], [{"b64": "dGY="}]],
            },
        ),
        # Of no rows.
        ({"a": np.zeros([0, 2], "int32")}, [], []),
        (
            {"a": np.zeros([0, 1, 2], "S1"), "b": np.zeros([0, 3, 4], "float32")},
            [],
            {"a": [], "b": []},
        ),
    ],
)
def test_replies(results, rows, columns):
    results = {name: np.array(value) for name, value in results.items()}
    assert json.loads(write_reply(results, in_rows=True)) == {"predictions": rows}
    if columns is not None:
        assert json.loads(write_reply(results, in_rows=False)) == {"outputs": columns}


@pytest.mark.parametrize(
    ("results", "sentence"),
    [
        ({"a": 1}, "Tensor name: a has no shape information"),
        ({"a": [1], "b": [1, 2]}, "Tensor name: b has inconsistent batch size: 2 expecting: 1"),
        ({"a": np.zeros([0, 2]), "b": [[1, 2]]}, "Tensor name: b has inconsistent batch size: 1"),
    ],
)
def test_results_that_have_no_rows(results, sentence):
    results = {name: np.array(value) for name, value in results.items()}
    with pytest.raises(Refusal, match=sentence):
        write_reply(results, in_rows=True)
    assert json.loads(write_reply(results, in_rows=False))["outputs"]


@pytest.mark.parametrize("in_rows", [True, False])
def test_results_that_json_does_not_hold(in_rows):
    for results, sentence in (
        ({}, "Cannot convert empty tensor map to JSON"),
        ({"a": np.array([1j], "complex64")}, "tensor type: complex64"),
    ):
        with pytest.raises(Refusal, match=sentence):
            write_reply(results, in_rows=in_rows)


def test_numbers_are_as_short_as_they_can_be_and_come_back():
    values = np.array([0.1, 9e6, 3e-5, 555557.5, -1.1754944e-38, 3.4028235e38], "float32")
    text = write_reply({"a": values}, in_rows=True)
    assert b"[0.1, 9000000.0, 3e-05, 555557.5, -1.1754944e-38, 3.4028235e+38]" in text
    assert (np.array(json.loads(text)["predictions"], "float32") == values).all()
    text = write_reply({"a": np.array([np.nan, np.inf, -np.inf], "float32")}, in_rows=False)
    assert text == b'{"outputs": [NaN, Infinity, -Infinity]}'
