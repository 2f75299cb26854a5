"""The page of a rehearsal's faults."""

from dayfly.report.matrix import MatrixRow, render_matrix


def row(**changes: object) -> MatrixRow:
    fields: dict[str, object] = {
        "fault": "power-cut",
        "says": "the instance vanishes",
        "moment": "cell:1",
        "state": "lost",
        "reason": "runner_gone",
        "message": "The runner is gone.",
        "cells": "1 of 5",
        "output": "4 kB",
        "gone": "0.2 s",
        "left": "",
        "clean": True,
    }
    return MatrixRow(**{**fields, **changes})  # type: ignore[arg-type]


def test_each_fault_is_told_with_what_was_left_and_when_the_machine_was_gone() -> None:
    page = render_matrix([row()])
    for words in ("power-cut", "cell:1", "lost (runner_gone)", "1 of 5", "0.2 s", "1 of 1 faults"):
        assert words in page


def test_what_is_left_over_is_named() -> None:
    page = render_matrix([row(clean=False, left="volume vol-1"), row()])
    assert "volume vol-1" in page
    assert "1 of 2 faults" in page


def test_what_a_notebook_says_cannot_become_a_part_of_the_page() -> None:
    page = render_matrix([row(message="<script>alert(1)</script>")])
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
