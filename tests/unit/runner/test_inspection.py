from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.errors import ParameterError
from dayfly.runner.inspection import Parameter, TypedText, WholeFloat, check_parameters, inspect_parameters
from tests.unit.support import code_cell, make_notebook, tagged


def inspect(source: str, language: str = "python") -> list[Parameter]:
    found = inspect_parameters(make_notebook(tagged("parameters", source), language=language))
    assert found is not None
    return found


def check(given_: dict[str, Any], source: str, *, allow_unknown: bool = False) -> dict[str, Any]:
    return check_parameters(given_, inspect(source), notebook="nb.ipynb", allow_unknown=allow_unknown)


def refuse(given_: dict[str, Any], source: str) -> ParameterError:
    with pytest.raises(ParameterError) as caught:
        check(given_, source)
    assert caught.value.exit_code == 2
    return caught.value


class TestInspecting:
    def test_a_notebook_without_a_parameters_cell_takes_none(self) -> None:
        assert inspect_parameters(make_notebook(code_cell("a = 1"))) is None

    @pytest.mark.parametrize(
        ("source", "parameter"),
        [
            ("a = 1", Parameter(name="a", type="int", default="1")),
            ("a = 'x'", Parameter(name="a", type="str", default="'x'")),
            ("a = [1]  # the list", Parameter(name="a", type="list", default="[1]", help="the list")),
            ("a = None", Parameter(name="a", type="", default="None")),
            ("a = date.today()", Parameter(name="a", type="", default="date.today()")),
            ("a: float = 1", Parameter(name="a", type="float", default="1", declared=True)),
            ("a: 'int | None' = 1", Parameter(name="a", type="int | None", default="1", declared=True)),
            ("a: int", Parameter(name="a", type="int", default="", declared=True)),
            (
                "a = 1  # type: float  how much",
                Parameter(name="a", type="float", default="1", help="how much", declared=True),
            ),
        ],
    )
    def test_python_says_name_type_default_and_help(self, source: str, parameter: Parameter) -> None:
        assert inspect(source) == [parameter]

    def test_names_come_in_their_order_and_each_once(self) -> None:
        assert [(p.name, p.default) for p in inspect("b = 1\na = c = 2\nb = 3")] == [
            ("b", "3"),
            ("a", "2"),
            ("c", "2"),
        ]

    def test_what_is_no_assignment_to_a_name_is_passed_over(self) -> None:
        assert inspect("import os\nx.y = 1\nz[0] = 1\nprint('a')\na += 1\ndef f(): b = 1") == []

    def test_python_with_magics_is_read_line_by_line(self) -> None:
        assert [p.name for p in inspect("%matplotlib inline\na = 1  # the first\nb = 2")] == ["a", "b"]

    @pytest.mark.parametrize(
        ("language", "source"),
        [
            ("R", "alpha <- 0.1\nname = 'x'"),
            ("julia", "alpha = 0.1\nname::String = 'x'"),
            ("scala", "val alpha = 0.1\nvar name: String = 2"),
            ("powershell", "$alpha = 0.1\n$name = 'x'"),
            ("bash", "alpha=0.1\nexport name=x\nalpha=0.2"),
        ],
    )
    def test_in_other_languages_assignments_are_parameters(self, language: str, source: str) -> None:
        assert [p.name for p in inspect(source, language)] == ["alpha", "name"]

    @given(st.text() | st.lists(st.sampled_from(list("ab=()[]'\"\n\\#: \t1,"))).map("".join))
    def test_no_source_is_too_strange(self, source: str) -> None:
        assert all(parameter.name for parameter in inspect(source))

    @pytest.mark.parametrize("source", ["a = (1", "a = '''", "(" * 20_000, "  a = 1\n b = 2", "a = \x00"])
    def test_nor_is_one_that_python_cannot_parse(self, source: str) -> None:
        assert {parameter.name for parameter in inspect(source)} <= {"a", "b"}


class TestNames:
    def test_known_names_pass(self) -> None:
        assert check({"a": 2}, "a = 1\nb = 1") == {"a": 2}

    def test_an_unknown_name_lists_the_known_and_the_nearest(self) -> None:
        error = refuse({"aplha": 2, "zzz": 1}, "alpha = 1\nbeta = 2")
        assert error.what == "nb.ipynb has no parameters aplha (did you mean alpha?), zzz."
        assert error.why == "It has: alpha, beta."
        assert "--allow-unknown" in error.hint

    def test_a_notebook_that_takes_none_is_refused_any(self) -> None:
        with pytest.raises(ParameterError, match="takes no parameters") as caught:
            check_parameters({"a": 1}, None, notebook="nb.ipynb", allow_unknown=False)
        assert "Tag a cell" in caught.value.hint

    def test_both_may_be_allowed(self) -> None:
        assert check({"c": TypedText("5", 5)}, "a = 1", allow_unknown=True) == {"c": 5}
        known = check_parameters({"c": 1}, None, notebook="nb.ipynb", allow_unknown=True)
        assert known == {"c": 1}

    def test_a_parameters_cell_in_which_nothing_is_recognised_takes_anything(self) -> None:
        assert check({"a": 1}, "# nothing yet") == {"a": 1}

    def test_nothing_given_is_nothing_wrong(self) -> None:
        assert check_parameters({}, None, notebook="nb.ipynb", allow_unknown=False) == {}


class TestTypes:
    @pytest.mark.parametrize(
        ("source", "value", "injected"),
        [
            ("a: int = 1", 5, 5),
            ("a: float = 1", 5, 5.0),
            ("a: float = 1", "1e-3", 0.001),
            ("a = 0.1", 5, 5.0),
            ("a = 1", 0.5, 0.5),
            ("a: str = 'x'", "5", "5"),
            ("a: bool = True", False, False),
            ("a: list[int] = []", [1], [1]),
            ("a: dict = {}", {"b": 1}, {"b": 1}),
            ("a = None", [1], [1]),
            ("a: 'Optional[int]' = 1", "x", "x"),
            ("a = 1", None, None),
        ],
    )
    def test_a_value_of_the_type_passes(self, source: str, value: object, injected: object) -> None:
        checked = check({"a": value}, source)["a"]
        assert checked == injected
        assert type(checked) is type(injected)

    @pytest.mark.parametrize(
        ("source", "value"),
        [
            ("a: int = 1", "five"),
            ("a: int = 1", 0.5),
            ("a: int = 1", True),
            ("a: int = 1", None),
            ("a = 1", "five"),
            ("a: float = 1", "much"),
            ("a: str = ''", 5),
            ("a: bool = True", 1),
            ("a: list = []", "[1]"),
            ("a: dict = {}", []),
        ],
    )
    def test_any_other_is_refused_with_an_example(self, source: str, value: object) -> None:
        error = refuse({"a": value}, source)
        assert error.what.startswith(f"a={value!r} is not of type ")
        assert "In nb.ipynb, a " in error.why
        assert "such as " in error.hint

    def test_the_example_is_a_flag_where_one_was_typed(self) -> None:
        assert "such as -p a=3" in refuse({"a": TypedText("x", "x")}, "a: int = 1").hint
        for elsewhere in ("x", TypedText("x", "x", in_file=True)):
            assert refuse({"a": elsewhere}, "a: int = 1").hint == "Give a value of that type, such as 3"

    @pytest.mark.parametrize(
        ("source", "kind"),
        [
            ("a: int = 1", int),
            ("a = 1", int),
            ("a: int | None = None", int),
            ("a: 'None | int' = None", int),
            ("a: Optional[int] = None", int),
            ("a: typing.Union[int, None] = 1", int),
            ("a: float = 1", float),
            ("a: int | float = 1", float),
            ("a: float | None = 1", float),
            ("a = 1.0", float),
            ("a = None", float),
        ],
    )
    def test_a_whole_number_of_a_table_is_an_int_where_one_is_meant(self, source: str, kind: type) -> None:
        for value in (WholeFloat(2.0), TypedText("2.0", WholeFloat(2.0))):
            found = check({"a": value}, source)["a"]
            assert (found, type(found)) == (2, kind)

    def test_any_other_number_stays_what_it_is(self) -> None:
        assert check({"a": 1.5}, "a = 1") == {"a": 1.5}

    def test_a_float_that_no_table_kept_stays_one(self) -> None:
        for value in (1.0, TypedText("1.0", 1.0)):
            assert type(check({"a": value}, "a = 1")["a"]) is float

    def test_and_is_refused_as_it_was_written_where_neither_is_right(self) -> None:
        assert refuse({"a": WholeFloat(1.0)}, "a: bool = True").what == "a=1.0 is not of type bool."

    @pytest.mark.parametrize(
        ("text", "value"), [("5", 5), ("true", True), ("", None), ("1e3", "1e3"), ("x", "x")]
    )
    def test_a_text_is_taken_as_it_was_typed(self, text: str, value: object) -> None:
        """`-p name=5` for a text is the text 5."""
        assert check({"a": TypedText(text, value)}, "a: str = ''") == {"a": text}

    def test_a_text_that_was_quoted_is_without_its_quotes(self) -> None:
        assert check({"a": TypedText("'5'", "5")}, "a = ''") == {"a": "5"}

    def test_for_any_other_type_what_was_typed_is_yaml(self) -> None:
        assert check({"a": TypedText("[1, 2]", [1, 2])}, "a = []") == {"a": [1, 2]}

    @pytest.mark.parametrize("source", ["a = 0.1", "a = 1", "a = []", "a: float = 1", "a: bool = True"])
    @pytest.mark.parametrize("text", ["", "  "])
    def test_nothing_typed_is_no_value(self, source: str, text: str) -> None:
        """What a script writes whose variable is empty; whoever means null can say so."""
        error = refuse({"a": TypedText(text, None)}, source)
        assert error.what == "The parameter a has no value."
        assert "-p a=" in error.hint

    @pytest.mark.parametrize("source", ["a = None", "a: 'float | None' = 1", "a = f()"])
    def test_but_null_where_the_notebook_may_have_it(self, source: str) -> None:
        assert check({"a": TypedText("", None)}, source) == {"a": None}

    def test_and_null_is_null_when_it_is_written(self) -> None:
        assert check({"a": TypedText("null", None)}, "a = 0.1") == {"a": None}
