"""Runs from a commit, and from the working tree as a commit of its own."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from dayfly.runs.run import Run
from tests.engine.projects import commit, git
from tests.helpers import Place, output_of, text_of

READS = """\
from pathlib import Path
print(sorted(path.name for path in Path('.').iterdir() if path.name != '.git'))
print(Path('data.txt').read_text())
Path('left.txt').write_text('by the notebook')
"""


def write_notebook(path: Path, source: str) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    path.write_text(nbformat.writes(notebook))


@pytest.fixture
def repository(place: Place) -> Place:
    """A repository with two commits; the first is tagged v1."""
    git(place, "init", "--quiet", "--initial-branch=main")
    (place.root / ".gitignore").write_text("ignored.txt\n")
    (place.root / "data.txt").write_text("one")
    write_notebook(place.root / "reads.ipynb", READS)
    commit(place, "first")
    git(place, "tag", "v1")
    (place.root / "data.txt").write_text("two")
    (place.root / "new.txt").write_text("new")
    commit(place, "second")
    return place


def run(place: Place, *options: str, code: int = 0) -> Run:
    return place.find(place.cli("run", "reads.ipynb", *options, code=code).run_id)


def printed(found: Run) -> str:
    return text_of(output_of(found)["cells"][0])


def test_a_run_from_a_commit_sees_that_commit_and_nothing_else(repository: Place) -> None:
    found = run(repository, "--commit", "v1")
    assert printed(found) == "['.gitignore', 'data.txt', 'dayfly.toml', 'reads.ipynb']\none\n"


def test_the_receipt_names_commit_and_tree_and_verify_agrees(repository: Place) -> None:
    found = run(repository, "--commit", "v1")
    receipt = found.receipt
    assert receipt is not None
    assert receipt.git is not None
    assert receipt.git.commit == git(repository, "rev-parse", "v1^{commit}")
    assert receipt.git.tree == git(repository, "rev-parse", "v1^{tree}")
    assert receipt.git.dirty is False
    repository.cli("verify", found.run_id)


def test_the_working_tree_is_not_touched_and_the_checkout_is_gone(repository: Place) -> None:
    found = run(repository, "--commit", "v1")
    assert git(repository, "status", "--porcelain") == ""
    assert not Path(found.request.cwd).exists()


def test_dirty_carries_what_differs_and_what_is_new_but_not_what_git_ignores(repository: Place) -> None:
    (repository.root / "data.txt").write_text("three")
    (repository.root / "untracked.txt").write_text("")
    (repository.root / "ignored.txt").write_text("")
    (repository.root / "new.txt").unlink()
    found = run(repository, "--dirty")
    assert printed(found) == (
        "['.gitignore', 'data.txt', 'dayfly.toml', 'reads.ipynb', 'untracked.txt']\nthree\n"
    )
    receipt = found.receipt
    assert receipt is not None
    assert receipt.git is not None
    assert receipt.git.dirty is True
    assert receipt.git.commit != git(repository, "rev-parse", "HEAD")


def test_a_dirty_run_leaves_index_head_and_refs_as_they_were(repository: Place) -> None:
    (repository.root / "untracked.txt").write_text("")
    before = [git(repository, "status", "--porcelain"), git(repository, "for-each-ref"), _objects(repository)]
    run(repository, "--dirty")
    assert before == [
        git(repository, "status", "--porcelain"),
        git(repository, "for-each-ref"),
        _objects(repository),
    ]


def _objects(place: Place) -> list[str]:
    return sorted(str(path) for path in (place.root / ".git" / "objects").rglob("*"))


def test_a_rerun_needs_no_repository(repository: Place) -> None:
    first = run(repository, "--commit", "v1")
    (repository.root / ".git").rename(repository.root.parent / "elsewhere")
    again = repository.find(repository.cli("rerun", first.run_id).run_id)
    assert printed(again) == printed(first)
    assert again.request.cwd != first.request.cwd


def test_without_either_the_notebook_runs_in_the_working_tree(repository: Place) -> None:
    found = run(repository)
    assert found.request.snapshot is None
    assert (repository.root / "left.txt").exists()


def test_a_notebook_that_the_commit_does_not_have_is_an_error_before_anything_runs(repository: Place) -> None:
    write_notebook(repository.root / "later.ipynb", "1")
    done = repository.cli("run", "later.ipynb", "--commit", "v1", code=2)
    assert "There is no notebook later.ipynb in the commit" in done.err
    assert "--dirty" in done.err
    done = repository.cli("run", "latr.ipynb", "--commit", "v1", code=2)
    assert "git ls-files '*.ipynb'" in done.err


def test_a_commit_that_is_not_there_is_an_error(repository: Place) -> None:
    assert "v9" in repository.cli("run", "reads.ipynb", "--commit", "v9", code=2).err


def test_a_commit_and_the_working_tree_exclude_each_other(repository: Place) -> None:
    done = repository.cli("run", "reads.ipynb", "--commit", "v1", "--dirty", code=2)
    assert "exclude each other" in done.err


def test_outside_of_a_repository_there_is_no_commit(place: Place) -> None:
    write_notebook(place.root / "reads.ipynb", READS)
    assert "no Git repository" in place.cli("run", "reads.ipynb", "--on", "docker", code=2).err


def test_a_container_is_not_given_a_commit_that_differs_from_the_tree_without_a_word(
    repository: Place,
) -> None:
    (repository.root / "data.txt").write_text("three")
    done = repository.cli("run", "reads.ipynb", "--on", "docker", code=2)
    assert "data.txt" in done.err
    assert "--dirty" in done.err
    assert "--commit HEAD" in done.err


def test_a_repository_without_a_commit_is_told_so(place: Place) -> None:
    git(place, "init", "--quiet")
    write_notebook(place.root / "reads.ipynb", READS)
    done = place.cli("run", "reads.ipynb", "--on", "docker", code=2)
    assert "has no commit yet" in done.err
    assert "--commit HEAD" not in done.err


def test_a_flag_that_means_nothing_there_is_an_error(repository: Place) -> None:
    assert "--cpus" in repository.cli("run", "reads.ipynb", "--cpus", "1", code=2).err
    done = repository.cli("run", "reads.ipynb", "--on", "docker", "--python", "python3", code=2)
    assert "Python of its image" in done.err
