from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from dayfly.errors import SnapshotError, UsageError
from dayfly.snapshot.bundle import Bundle, write_bundle
from dayfly.snapshot.plan import Snapshot, changed_files, find_repository, plan_snapshot, read_file
from dayfly.snapshot.unpack import unpack_bundle
from tests.unit.snapshot.support import commit, everything, git, read_all, write


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    made = tmp_path / "repository"
    made.mkdir()
    git(made, "init", "--quiet")
    return made


def plan(start: Path, *, named: str | None = None, dirty: bool = False) -> Snapshot:
    with plan_snapshot(start, commit=named, dirty=dirty) as planned:
        return planned


def carry(start: Path, target: Path, *, named: str | None = None, dirty: bool = False) -> Snapshot:
    """From the repository into a bundle and out of it."""
    file = target.with_name(target.name + ".bundle")
    with plan_snapshot(start, commit=named, dirty=dirty) as planned:
        bundle: Bundle = write_bundle(planned, file)
    assert bundle.size_bytes == file.stat().st_size
    done = unpack_bundle(file, target, commit=planned.commit, sha256=bundle.sha256)
    assert (done.tree, done.files, done.size_bytes) == (planned.tree, planned.files, planned.size_bytes)
    return planned


@pytest.mark.parametrize("named", ["HEAD~1", "v1.2", "side", "main~1", "short"])
def test_whatever_git_takes_for_a_commit_is_that_commit(repository: Path, tmp_path: Path, named: str) -> None:
    first = commit(repository, {"a": "1"})
    git(repository, "tag", "-a", "v1.2", "-m", "annotated")
    git(repository, "branch", "side")
    commit(repository, {"a": "2", "b": "2"})
    planned = carry(repository, tmp_path / "out", named=first[:9] if named == "short" else named)
    assert (planned.commit, planned.base, planned.dirty) == (first, first, False)
    assert planned.branch == ("side" if named == "side" else None)
    assert read_all(tmp_path / "out") == {"a": ("file", b"1")}


def test_head_is_taken_when_nothing_is_named_whatever_the_working_tree_has(repository: Path) -> None:
    head = commit(repository, {"a": "1"})
    write(repository, {"a": "2", "b": "2"})
    planned = plan(repository / ".")
    assert (planned.commit, planned.branch, planned.files) == (head, "main", 1)
    assert changed_files(repository) == ["a", "b"]


def test_a_detached_head_is_on_no_branch(repository: Path) -> None:
    head = commit(repository, {"a": "1"})
    git(repository, "checkout", "--quiet", "--detach")
    assert (plan(repository).commit, plan(repository).branch) == (head, None)


@pytest.mark.parametrize("named", ["nothing", "--all", "", "a\nb", "HEAD:a", "deadbeef" * 5])
def test_a_commit_that_is_not_there_is_named(repository: Path, named: str) -> None:
    commit(repository, {"a": "1"})
    if named == "":
        assert plan(repository, named=named).commit  # as when nothing is named
        return
    with pytest.raises(SnapshotError, match="has no commit"):
        plan(repository, named=named)


def test_commit_and_working_tree_exclude_each_other(repository: Path) -> None:
    with pytest.raises(UsageError, match="not of both"):
        plan(repository, named="HEAD", dirty=True)


def test_outside_a_repository_there_is_nothing_to_carry(tmp_path: Path) -> None:
    assert find_repository(tmp_path) is None
    assert find_repository(tmp_path / "missing") is None
    with pytest.raises(SnapshotError, match="not in a Git repository"):
        plan(tmp_path)


def test_the_repository_is_found_from_a_folder_of_it_and_from_a_linked_worktree(
    repository: Path, tmp_path: Path
) -> None:
    commit(repository, {"deep/er/a": "1"})
    git(repository, "worktree", "add", "--quiet", "-b", "other", str(tmp_path / "linked"))
    assert find_repository(repository / "deep/er") == repository
    assert find_repository(tmp_path / "linked") == tmp_path / "linked"


ODD = ["a b", "-n", "--all", "üñï", "new\nline", 'quo"te', "back\\slash", "tab\t", "*", ":(top)x", "{}", "'"]


def test_odd_names_modes_and_links_come_through(repository: Path, tmp_path: Path) -> None:
    write(repository, {name: name for name in ODD} | {"dir/" + name: name for name in ODD})
    write(repository, {os.fsdecode(b"not \xff utf-8"): "x", "run.sh": "#!/bin/sh\n"})
    (repository / "run.sh").chmod(0o755)
    (repository / "link").symlink_to("dir/a b")
    (repository / "folder").symlink_to("dir")
    expected = read_all(repository)
    carry(repository, tmp_path / "dirty", dirty=True)
    assert read_all(tmp_path / "dirty") == expected
    head = commit(repository, {})
    assert carry(repository, tmp_path / "clean").commit == head
    assert read_all(tmp_path / "clean") == expected


def test_the_working_tree_is_carried_as_it_is_and_nothing_is_touched(
    repository: Path, tmp_path: Path
) -> None:
    head = commit(
        repository, {"kept": "1", "changed": "1", "removed": "1", "folder": "1", ".gitignore": "*.log\n"}
    )
    write(repository, {"changed": "2", "new/file": "2", "noise.log": "x", "staged": "2", "intended": "2"})
    git(repository, "add", "staged")
    git(repository, "add", "--intent-to-add", "intended")
    (repository / "removed").unlink()
    (repository / "folder").unlink()
    write(repository, {"folder/inside": "2", ".dayfly/runs/x/request.json": "{}", "sub/.dayfly/y": "1"})
    before, status = everything(repository), git(repository, "status", "--porcelain")
    planned = carry(repository, tmp_path / "out", dirty=True)
    expected = read_all(repository)
    for path in ("noise.log", ".dayfly/runs/x/request.json", "sub/.dayfly/y"):
        del expected[path]
    assert read_all(tmp_path / "out") == expected
    assert (planned.base, planned.branch, planned.dirty) == (head, "main", True)
    after = everything(repository)
    git(repository, "fsck", "--strict")
    assert after == before
    assert git(repository, "status", "--porcelain") == status


def test_the_same_tree_on_the_same_head_is_the_same_commit(repository: Path, tmp_path: Path) -> None:
    head = commit(repository, {"a": "1"})
    write(repository, {"a": "2"})
    shutil.copytree(repository, tmp_path / "copy", symlinks=True)
    one, other = plan(repository, dirty=True), plan(tmp_path / "copy", dirty=True)
    assert one.commit == other.commit != head


def test_a_working_tree_without_changes_is_head_itself(repository: Path) -> None:
    head = commit(repository, {"a": "1"})
    write(repository, {"a": "2"})
    write(repository, {"a": "1"})
    planned = plan(repository, dirty=True)
    assert (planned.commit, planned.base, planned.dirty) == (head, head, False)
    assert changed_files(repository) == []


def test_a_change_that_keeps_size_and_time_of_the_index_is_seen(repository: Path) -> None:
    commit(repository, {"a": "1"})
    moment = (repository / ".git/index").stat().st_mtime_ns
    write(repository, {"a": "2"})  # as long as before, and within the index's tick of the clock
    os.utime(repository / "a", ns=(moment, moment))
    with plan_snapshot(repository, dirty=True) as planned:
        assert read_file(planned, "a") == b"2"


def test_in_the_middle_of_a_merge_the_files_are_taken_as_they_are(repository: Path, tmp_path: Path) -> None:
    commit(repository, {"a": "1\n"})
    git(repository, "checkout", "--quiet", "-b", "side")
    commit(repository, {"a": "side\n", "b": "side\n"})
    git(repository, "checkout", "--quiet", "main")
    commit(repository, {"a": "main\n"})
    with pytest.raises(Exception, match="merge"):
        git(repository, "merge", "side")
    before = everything(repository)
    carry(repository, tmp_path / "out", dirty=True)
    assert read_all(tmp_path / "out") == read_all(repository)
    assert everything(repository) == before


def test_a_repository_without_a_commit_has_a_working_tree(repository: Path, tmp_path: Path) -> None:
    write(repository, {"a": "1"})
    with pytest.raises(SnapshotError, match="no commit yet"):
        plan(repository)
    planned = carry(repository, tmp_path / "out", dirty=True)
    assert (planned.base, planned.branch, planned.dirty) == (None, "main", True)
    assert read_all(tmp_path / "out") == {"a": ("file", b"1")}


def test_a_linked_worktree_has_changes_of_its_own(repository: Path, tmp_path: Path) -> None:
    commit(repository, {"a": "1"})
    git(repository, "worktree", "add", "--quiet", "-b", "other", str(tmp_path / "linked"))
    write(tmp_path / "linked", {"b": "2"})
    before = everything(repository)
    planned = carry(tmp_path / "linked", tmp_path / "out", dirty=True)
    assert (planned.branch, sorted(read_all(tmp_path / "out"))) == ("other", ["a", "b"])
    assert everything(repository) == before


def test_variables_and_configuration_of_the_user_change_nothing(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(repository, {"ä": "1\n"})
    write(repository, {"ä": "2\n", "new": "2\n"})
    expected = plan(repository, dirty=True)
    hook = tmp_path / "hooks" / "post-index-change"
    write(tmp_path, {"hooks/post-index-change": f"#!/bin/sh\ntouch {tmp_path}/called\n"})
    hook.chmod(0o755)
    write(
        tmp_path,
        {
            "config": f"[core]\nquotepath = true\nhooksPath = {hook.parent}\nsplitIndex = true\n"
            "safecrlf = true\n"
            "fsmonitor = /does/not/exist\n[commit]\ngpgsign = true\n[i18n]\ncommitEncoding = latin1\n"
            "[log]\nshowSignature = true\n[add]\nignoreErrors = true\n[status]\nshowUntrackedFiles = no\n"
            "branch = true\n[pack]\npackSizeLimit = 1m\n"
            "[color]\nui = always\n[diff]\nnoprefix = true\n"
        },
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE"):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    planned = carry(repository, tmp_path / "out", dirty=True)
    assert (planned.commit, planned.tree) == (expected.commit, expected.tree)
    assert sorted(changed_files(repository)) == ["new", "ä"]
    assert not (tmp_path / "called").exists()


def test_a_replaced_object_is_carried_as_it_was(repository: Path, tmp_path: Path) -> None:
    first = commit(repository, {"a": "1"})
    second = commit(repository, {"a": "2"})
    git(repository, "replace", second, first)
    carry(repository, tmp_path / "out")
    assert read_all(tmp_path / "out") == {"a": ("file", b"2")}


def test_sha256_repositories_are_carried_too(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    git(repository, "init", "--quiet", "--object-format=sha256")
    head = commit(repository, {"a": "1", "b/c": "2"})
    assert len(head) == 64
    carry(repository, tmp_path / "out")
    write(repository, {"a": "3"})
    carry(repository, tmp_path / "dirty", dirty=True)
    assert read_all(tmp_path / "dirty") == {"a": ("file", b"3"), "b/c": ("file", b"2")}


def test_files_of_a_snapshot_can_be_read_through_links(repository: Path) -> None:
    commit(repository, {"docker/Dockerfile": "FROM x"})
    (repository / "Dockerfile").symlink_to("docker/Dockerfile")
    (repository / "loop").symlink_to("loop")
    write(repository, {"new": "2"})
    with plan_snapshot(repository, dirty=True) as planned:
        assert read_file(planned, "Dockerfile") == b"FROM x"
        assert read_file(planned, "docker/../new") == b"2"
        assert [read_file(planned, path) for path in ("loop", "docker", "none", "../x")] == [None] * 4


def test_git_itself_can_read_the_bundle_and_finds_only_what_the_commit_needs(
    repository: Path, tmp_path: Path
) -> None:
    commit(repository, {"old": "history"})
    git(repository, "rm", "--quiet", "old")
    head = commit(repository, {"a": "1", "d/b": "2"})
    carry(repository, tmp_path / "out")
    clone = tmp_path / "clone"
    clone.mkdir()
    git(clone, "init", "--quiet")
    (clone / ".git/shallow").write_text(head + "\n")
    git(clone, "bundle", "unbundle", str(tmp_path / "out.bundle"))
    git(clone, "checkout", "--quiet", head)
    git(clone, "fsck", "--strict")
    assert read_all(clone) == read_all(tmp_path / "out")
    assert len(git(clone, "cat-file", "--batch-all-objects", "--batch-check").splitlines()) == 5
