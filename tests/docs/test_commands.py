"""What the pages show is what happens: their commands are executed, and their output compared."""

from pathlib import Path

import pytest

from tests.docs.conftest import ROOT
from tests.docs.console import Command, Shell, find_commands

PAGES = ["README.md", "docs/tutorial.md", "docs/configuration.md", "docs/sweeps.md"]


@pytest.mark.timeout(900)  # some forty commands; on a machine under load, each of some seconds
@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_prints_what_the_page_shows(
    page: str, home: Path, newcomer: dict[str, str]
) -> None:
    """A command that ends otherwise than well is followed by `echo $?`, so that a reader knows."""
    if page == "README.md":
        (home / "demo" / "dayfly.toml").touch()
    commands = find_commands((ROOT / page).read_text(encoding="utf-8"))
    assert commands
    shell = Shell(directory=home / "demo", environ=newcomer, home=home)
    for command, following in zip(commands, [*commands[1:], None], strict=True):
        printed = shell.execute(command)
        where = f"{page}, after line {command.line}: $ {command.text}\n" + "\n".join(printed)
        assert command.hidden or shell.matches(command, printed), where
        assert shell.status == 0 or (following and following.text == "echo $?"), where


def test_a_command_may_go_on_in_the_next_line() -> None:
    commands = find_commands("```console\n$ echo one \\\n> two\none two\n$ true\n```\n")
    assert [(command.text, command.output) for command in commands] == [
        ("echo one two", ["one two"]),
        ("true", []),
    ]


def test_a_wrong_output_is_noticed(tmp_path: Path) -> None:
    shell = Shell(directory=tmp_path, environ={"PATH": "/usr/bin:/bin"}, home=tmp_path)
    wrong = Command(text="echo two; echo three", output=["two"], line=1)
    right = Command(text="echo two; echo three", output=["...", "three"], line=1)
    assert not shell.matches(wrong, shell.execute(wrong))
    assert shell.matches(right, shell.execute(right))


def test_a_run_id_of_a_page_stands_for_the_run_of_today(tmp_path: Path) -> None:
    shell = Shell(directory=tmp_path, environ={"PATH": "/usr/bin:/bin"}, home=tmp_path)
    first = Command(
        text="echo 20270101-000000-a-0001 took 4.2 s", output=["20260101-000000-a-ffff took 1.0 s"], line=1
    )
    assert shell.matches(first, shell.execute(first))
    later = Command(text="echo 20260101-000000", output=[], line=1)
    assert shell.execute(later) == ["20270101-000000-a-0001"]
