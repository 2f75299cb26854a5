import keyword
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.errors import ParameterError
from dayfly.runner.notebook import source_of, tags_of
from dayfly.runner.parameters import INJECTED, inject_parameters
from tests.unit.support import code_cell, make_notebook, markdown_cell, tagged

names = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True).filter(
    lambda name: not keyword.iskeyword(name) and name not in {"float", "_"}
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


def inject(
    notebook: dict[str, Any],
    parameters: dict[str, Any],
    language: str = "python",
    kernel: str = "some-kernel",
) -> dict[str, Any]:
    return inject_parameters(notebook, parameters, kernel=kernel, language=language)


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types; NaN equals itself."""
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


@given(st.dictionaries(names, values, min_size=1, max_size=4))
def test_what_python_reads_is_what_was_given(parameters: dict[str, Any]) -> None:
    """Any value that JSON has, through papermill's translator and back."""
    (cell,) = inject(make_notebook(), parameters)["cells"]
    scope: dict[str, Any] = {}
    exec(source_of(cell), scope)  # noqa: S102 -- our own source is what is tested
    assert {name for name in parameters if not same(scope[name], parameters[name])} == set()


def positions(notebook: dict[str, Any]) -> list[str]:
    return ["injected" if INJECTED in tags_of(cell) else source_of(cell) for cell in notebook["cells"]]


def test_the_cell_stands_after_the_parameters() -> None:
    notebook = make_notebook(markdown_cell("title"), tagged("parameters", "a = 1"), code_cell("rest"))
    assert positions(inject(notebook, {"a": 2})) == ["title", "a = 1", "injected", "rest"]


def test_without_a_parameters_cell_it_stands_first() -> None:
    assert positions(inject(make_notebook(code_cell("rest")), {"a": 2})) == ["injected", "rest"]


def test_one_that_was_injected_earlier_is_replaced() -> None:
    """As papermill does with a notebook that it executed itself."""
    notebook = make_notebook(tagged("parameters", "a = 1"), code_cell("x"), tagged(INJECTED, "a = 5"))
    injected = inject(notebook, {"a": 2})
    assert positions(injected) == ["a = 1", "x", "injected"]
    assert "a = 2" in source_of(injected["cells"][2])


def test_nothing_is_injected_when_nothing_is_given() -> None:
    notebook = make_notebook(tagged("parameters", "a = 1"))
    assert inject(notebook, {}) is notebook


def test_the_notebook_that_was_given_stays_as_it_was() -> None:
    notebook = make_notebook(code_cell("rest"))
    inject(notebook, {"a": 2})
    assert positions(notebook) == ["rest"]


@pytest.mark.parametrize(("minor", "expected"), [(4, False), (5, True)])
def test_the_cell_has_an_id_where_the_format_knows_ids(minor: int, expected: bool) -> None:
    (cell,) = inject(make_notebook(minor=minor), {"a": 2})["cells"]
    assert ("id" in cell) is expected


def test_its_id_is_its_own() -> None:
    notebook = make_notebook({**code_cell("x"), "id": INJECTED}, minor=5)
    ids = [cell["id"] for cell in inject(notebook, {"a": 2})["cells"]]
    assert len(set(ids)) == 2


@pytest.mark.parametrize(
    ("language", "line"),
    [
        ("python", 'name = "x"'),
        ("R", 'name = "x"'),
        ("julia", 'name = "x"'),
        ("scala", 'val name = "x"'),
        ("bash", "name=x"),
        ("matlab", 'name = "x";'),
    ],
)
def test_other_languages_have_their_own_form(language: str, line: str) -> None:
    (cell,) = inject(make_notebook(language=language), {"name": "x"}, language)["cells"]
    assert line in source_of(cell).splitlines()


def test_a_kernel_may_have_a_form_of_its_own() -> None:
    (cell,) = inject(make_notebook(), {"name": "x"}, "PowerShell", ".net-powershell")["cells"]
    assert '$name = "x"' in source_of(cell).splitlines()


def test_a_language_that_papermill_does_not_know_is_named() -> None:
    with pytest.raises(ParameterError, match=r"some-kernel.*prolog") as caught:
        inject(make_notebook(), {"a": 1}, "prolog")
    assert "Python" in caught.value.hint
