from collections.abc import Callable
from pathlib import Path
from typing import get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.cli.options import parse_parameters, settings_among
from dayfly.cli.run import run
from dayfly.cli.run_options import SETTINGS
from dayfly.cli.sweep import sweep
from dayfly.errors import UsageError
from dayfly.project.settings import Settings, SweepSettings
from dayfly.runner.inspection import TypedText


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.1", 0.1),
        ("3", 3),
        ("true", True),
        ("text", "text"),
        ("", None),
        ("[1, 2]", [1, 2]),
        ("{a: 1}", {"a": 1}),
        ("a=b", "a=b"),
        ("'5'", "5"),
        ("2026-11-23", "2026-11-23"),
    ],
)
def test_a_value_is_yaml_and_its_text_is_kept(text: str, value: object) -> None:
    assert parse_parameters([f"x={text}"], []) == {"x": TypedText(text, value)}


def test_the_later_is_stronger_and_flags_are_stronger_than_files(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: 1\nb: 1\nc: 1\n")
    (tmp_path / "b.json").write_text('{"b": 2, "c": 2}')
    given_ = parse_parameters(["c=3", "c=4"], [tmp_path / "a.yaml", tmp_path / "b.json"])
    assert given_ == {"a": 1, "b": 2, "c": TypedText("4", 4)}


@pytest.mark.parametrize("pair", ["x", "=1", "a b=1", "1x=1", ""])
def test_what_is_no_pair_says_how_to_write_one(pair: str) -> None:
    with pytest.raises(UsageError, match="is no parameter") as caught:
        parse_parameters([pair], [])
    assert "-p alpha=0.1" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        *("[1", "{a", "!!python/object/apply:os.getcwd []", "a: b: c"),
        *("!!timestamp 2026-13-45", "9" * 5000),
    ],
    ids=lambda text: text[:20],
)
def test_yaml_that_is_none_is_an_error_that_names_it(text: str) -> None:
    with pytest.raises(UsageError, match="is not valid YAML"):
        parse_parameters([f"x={text}"], [])


def test_lists_within_each_other_without_end_are_an_error_that_names_it() -> None:
    with pytest.raises(UsageError, match=r"^-p x has too many lists"):
        parse_parameters(["x=" + "[" * 3000], [])


@pytest.mark.parametrize("content", ["5", "- a", "1: 2", "text"])
def test_a_file_must_hold_names_and_values(tmp_path: Path, content: str) -> None:
    (tmp_path / "p.yaml").write_text(content)
    with pytest.raises(UsageError, match="holds no parameters"):
        parse_parameters([], [tmp_path / "p.yaml"])


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.yaml cannot be read"):
        parse_parameters([], [tmp_path / "none.yaml"])


@given(st.text())
def test_any_text_is_a_value_or_a_usage_error(text: str) -> None:
    try:
        parsed = parse_parameters([f"x={text}"], [])
    except UsageError:
        return
    assert parsed["x"].text == text


def test_the_settings_among_a_commands_arguments_are_those_with_their_names() -> None:
    arguments = {"notebook": "a.ipynb", "timeout": "1h", "kernel": None, "jobs": 3}
    assert settings_among(arguments) == {"timeout": "1h", "kernel": None}


@pytest.mark.parametrize("command", [run, sweep])
def test_whatever_is_shown_among_the_settings_has_the_name_of_one(command: Callable[..., None]) -> None:
    """Otherwise the flag would be taken, and nothing would come of it."""
    hints = get_type_hints(command, include_extras=True)
    panels = {name: getattr(hint, "__metadata__", [None])[0] for name, hint in hints.items()}
    shown = {name for name, option in panels.items() if getattr(option, "rich_help_panel", "") == SETTINGS}
    assert "timeout" in shown
    assert shown <= {*Settings.model_fields, *SweepSettings.model_fields}
