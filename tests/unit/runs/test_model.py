import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.errors import DamagedFileError
from dayfly.runs.model import parse_model
from dayfly.runs.request import Request
from dayfly.runs.result import Result
from tests.unit.support import make_request, make_result

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_a_request_read_back_is_the_same(parameters: dict[str, object]) -> None:
    request = make_request(parameters=parameters)
    assert parse_model(Request, request.to_bytes(), "request.json") == request


@given(st.text(st.characters(codec=None)))
def test_whatever_a_kernel_says_can_be_written(message: str) -> None:
    """A kernel may send half of a surrogate pair, which UTF-8 does not have."""
    read = parse_model(Result, make_result(message=message).to_bytes(), "result.json")
    assert read.message == message.encode("utf-8", "replace").decode()


def test_infinity_and_nan_are_kept() -> None:
    request = make_request(parameters={"a": float("inf"), "b": float("nan")})
    read = parse_model(Request, request.to_bytes(), "request.json").parameters
    assert read["a"] == float("inf")
    assert math.isnan(read["b"])


def test_fields_of_a_newer_version_are_ignored() -> None:
    content = make_request().to_bytes().replace(b"{\n", b'{\n "colour": "blue",\n', 1)
    assert parse_model(Request, content, "request.json") == make_request()


def test_text_that_is_no_json_names_file_and_line() -> None:
    content = make_request().to_bytes().replace(b'"/home/ada/analysis.ipynb"', b"/home/ada/analysis.ipynb")
    with pytest.raises(DamagedFileError, match=r"request.json is damaged, line 5\.") as caught:
        parse_model(Request, content, "request.json")
    assert "dayfly rm" in caught.value.hint


def test_a_value_of_the_wrong_kind_names_field_and_line() -> None:
    content = make_result().to_bytes().replace(b'"executed": 1', b'"executed": "one"')
    line = content[: content.index(b'"executed"')].count(b"\n") + 1
    with pytest.raises(DamagedFileError, match=rf"result.json is damaged, line {line}\.") as caught:
        parse_model(Result, content, "result.json")
    assert caught.value.why.startswith("cells.executed: ")


def test_a_field_that_is_missing_is_named() -> None:
    with pytest.raises(DamagedFileError) as caught:
        parse_model(Request, b'{"version": 1}', "request.json")
    assert caught.value.why == "run_id: Field required."


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[]", b"null", b'{"version": 2}'])
def test_anything_else_is_damaged_too(content: bytes) -> None:
    with pytest.raises(DamagedFileError, match=r"request\.json is damaged"):
        parse_model(Request, content, "request.json")


def test_a_damaged_file_is_a_store_error() -> None:
    assert DamagedFileError.exit_code == 5
