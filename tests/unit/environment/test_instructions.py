from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.environment.instructions import read_instructions

EVERYTHING = (".",)


def taken(
    text: str, arguments: Mapping[str, str] | None = None, *, target: str | None = None
) -> tuple[str, ...]:
    return read_instructions(text, arguments or {}, target=target, platform="linux/amd64").paths


@pytest.mark.parametrize(
    ("line", "paths"),
    [
        ("COPY a b /x/", ("a", "b")),
        ("copy a /x", ("a",)),
        ('COPY ["a b", "/x"]', ("a b",)),
        ("COPY --chown=1:1 --chmod=755 a /x", ("a",)),
        ("COPY . /x", EVERYTHING),
        ("COPY *.txt /x/", ("*.txt",)),
        ("COPY --from=python:3.12 /a /b", ()),
        ("ADD https://example.org/a /x", ()),
        ("ADD git@example.org:a/b.git /x", ()),
        ("ADD a.tar /x", ("a.tar",)),
        ("COPY <<EOF /x\na b\nEOF", ()),
        ("COPY a <<'EOF' /x/\na b\nEOF", ("a",)),
        ("RUN echo COPY a /x", ()),
        ("RUN --mount=type=bind,source=a,target=/a true", ("a",)),
        ("RUN --mount=source=a,target=/a --mount=type=cache,target=/c true", ("a",)),
        ("RUN --mount=target=/a true", EVERYTHING),
        ("RUN --mount=type=bind,from=python,target=/a true", ()),
        ("RUN --mount=type=secret,id=a true", ()),
        ("RUN --mount=type=bind,source=$X,target=/a true", EVERYTHING),
        ("ONBUILD COPY a /x", ("a",)),
        ("ENV A=data B=x\nCOPY $A/$B /x", ("data/x",)),
        ("ENV A data\nCOPY ${A}.csv /x", ("data.csv",)),
        ("ENV A=a\nENV A=b B=$A\nCOPY $A$B /x", ("ba",)),
        ("ARG A=data\nCOPY $A /x", ("data",)),
        ("ARG A\nCOPY $A /x", EVERYTHING),
        ("ARG TARGETARCH\nCOPY bin-$TARGETARCH /x", ("bin-amd64",)),
        ("ENV A=a\nARG A=b\nCOPY $A /x", ("a",)),
        ("COPY $HOME/a /x", EVERYTHING),
        ('COPY "a /x', EVERYTHING),
    ],
)
def test_an_instruction_takes(line: str, paths: tuple[str, ...]) -> None:
    assert taken(f"FROM python\n{line}\n") == paths


class TestVariables:
    def test_a_build_argument_is_stronger_than_its_default(self) -> None:
        assert taken("FROM x\nARG A=a\nCOPY $A /x\n", {"A": "b"}) == ("b",)

    def test_an_argument_from_before_the_first_stage_must_be_declared_in_it(self) -> None:
        assert taken("ARG A=a\nFROM x\nARG A\nCOPY $A /x\n") == ("a",)
        assert taken("ARG A=a\nFROM x\nCOPY $A /x\n") == EVERYTHING

    def test_a_stage_has_the_variables_of_the_one_it_is_made_on(self) -> None:
        assert taken("FROM x AS one\nENV A=a\nFROM one\nCOPY $A /x\n") == ("a",)

    def test_arguments_that_are_declared_are_told(self) -> None:
        read = read_instructions(
            "ARG A\nFROM x\nARG B=1 C\n", {"D": "1"}, target=None, platform="linux/amd64"
        )
        assert read.arguments == {"A", "B", "C"}


class TestStages:
    TEXT = """\
FROM x AS One
COPY one /x
FROM x AS two
COPY two /x
FROM x AS three
COPY --from=one /x /y
COPY three /x
FROM three
COPY --from=1 /x /y
"""

    def test_a_target_needs_its_own_stages_alone(self) -> None:
        assert taken(self.TEXT, target="two") == ("two",)
        assert taken(self.TEXT, target="three") == ("one", "three")

    def test_without_a_target_the_last_stage_counts(self) -> None:
        assert taken(self.TEXT) == ("one", "three", "two")

    def test_a_target_that_is_not_there_takes_them_all(self) -> None:
        assert taken(self.TEXT, target="four") == ("one", "three", "two")


class TestWhatCannotBeKnownIsTheWholeContext:
    def test_another_syntax(self) -> None:
        assert taken("# syntax=example.org/other\nFROM x\nCOPY a /x\n") == EVERYTHING
        assert taken("# syntax=docker/dockerfile:1.7\nFROM x\nCOPY a /x\n") == ("a",)

    def test_what_the_parser_does_not_know(self) -> None:
        assert taken("FROM x\nCOPY <<EOF /x\n") == EVERYTHING

    def test_a_base_image_that_copies(self) -> None:
        assert taken("FROM python:3-onbuild\n") == EVERYTHING


def test_the_escape_character_of_the_directive_counts() -> None:
    assert taken("# escape=`\nFROM x\nARG A=b\nCOPY a`$A /x\n") == ("a$A",)


def test_a_from_of_nothing_is_left_to_the_builder_to_refuse() -> None:
    assert taken("FROM x\nFROM\nCOPY a /x\n") == ("a",)


@given(st.lists(st.text("abAROCPYMF $\\\"'=[]{}-<,.\n#", max_size=30), max_size=6))
def test_any_text_is_read(lines: list[str]) -> None:
    taken("FROM x\n" + "\n".join(lines))
