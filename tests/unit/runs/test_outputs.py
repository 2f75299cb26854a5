from __future__ import annotations

import os
from pathlib import Path

import pytest

from dayfly.runs.outputs import tidy_outputs


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path


@pytest.mark.parametrize(
    ("name", "portable"),
    [
        (b"line\nbreak", "line%0Abreak"),
        (b"back\\slash", "back%5Cslash"),
        (b"plot#1", "plot%231"),
        (b"latin-\xe9", "latin-%E9"),
        (b"bell\x07", "bell%07"),
    ],
)
def test_a_name_that_no_store_can_hold_is_changed_and_told(into: Path, name: bytes, portable: str) -> None:
    (into / os.fsdecode(name)).write_text("content")
    (sentence,) = tidy_outputs(into)
    assert (into / portable).read_text() == "content"
    assert repr(portable) in sentence
    sentence.encode()  # it can be written down


@pytest.mark.parametrize("name", ["plain.csv", "with space", "ümlaut", "日本", "100%", "a%20b", "'\"?*"])
def test_any_other_stays(into: Path, name: str) -> None:
    (into / name).touch()
    assert list(tidy_outputs(into)) == []
    assert (into / name).exists()


def test_folders_are_renamed_with_what_they_hold(into: Path) -> None:
    (into / "a\nb").mkdir()
    (into / "a\nb" / "c\nd").touch()
    assert len(list(tidy_outputs(into))) == 2
    assert (into / "a%0Ab" / "c%0Ad").exists()


def test_no_file_takes_the_place_of_another(into: Path) -> None:
    (into / "a\nb").write_text("one")
    (into / "a%0Ab").write_text("other")
    list(tidy_outputs(into))
    assert (into / "a%0Ab").read_text() == "other"
    assert (into / "_a%0Ab").read_text() == "one"


def test_a_link_is_left_out_and_told_and_what_it_leads_to_stays(into: Path) -> None:
    (into / "outputs").mkdir()
    (into / "secret").write_text("secret")
    (into / "outputs" / "file").symlink_to(into / "secret")
    (into / "outputs" / "folder").symlink_to(into)
    assert len(list(tidy_outputs(into / "outputs"))) == 2
    assert list((into / "outputs").iterdir()) == []
    assert (into / "secret").read_text() == "secret"


def test_a_path_that_s3_would_refuse_is_shortened_and_told(into: Path) -> None:
    deep = into.joinpath(*(["d" * 200] * 5))
    deep.mkdir(parents=True)
    (deep / "deep.csv").write_text("content")
    (into / "plain.csv").write_text("plain")
    (sentence,) = tidy_outputs(into)
    (short,) = into.glob("*-deep.csv")
    assert short.read_text() == "content"
    assert repr(short.name) in sentence
    assert (into / "plain.csv").exists()
