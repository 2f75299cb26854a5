"""What is changed in a lab's project is kept."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from dayfly.keeper.lab import LabFolder, keep_lab
from tests.unit.support import FakeClock, RecordingStore, failing_store, recording_store


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("a")
    (tmp_path / "nb.ipynb").write_text("{}")
    return tmp_path


def folder(project: Path, store: RecordingStore) -> LabFolder:
    return LabFolder(project, store, "labs/x/work")


def test_what_the_commit_has_is_not_carried_again(project: Path) -> None:
    store = recording_store()
    assert folder(project, store).save() == []
    assert store.puts() == []


def test_what_is_new_or_changed_is_carried_once(project: Path) -> None:
    store = recording_store()
    kept = folder(project, store)
    (project / "nb.ipynb").write_text("changed")
    (project / "src" / "new.py").write_text("new")
    kept.save()
    kept.save()
    assert sorted(store.puts()) == ["labs/x/work/nb.ipynb", "labs/x/work/src/new.py"]
    assert store.get("labs/x/work/nb.ipynb") == b"changed"


def test_links_and_checkpoints_stay(project: Path) -> None:
    store = recording_store()
    kept = folder(project, store)
    (project / ".ipynb_checkpoints").mkdir()
    (project / ".ipynb_checkpoints" / "nb.ipynb").write_text("old")
    (project / "link").symlink_to("/etc/hostname")
    (project / "nowhere").symlink_to("nothing")
    kept.save()
    assert store.puts() == []


def test_a_file_that_the_store_refuses_does_not_keep_others_from_it(project: Path) -> None:
    store = failing_store(refuses=("bad",))
    kept = folder(project, store)
    (project / "bad").write_text("1")
    (project / "good").write_text("1")
    assert [problem.split(":")[0] for problem in kept.save()] == ["bad"]
    assert store.puts() == ["labs/x/work/good"]


def test_at_the_end_what_is_left_is_saved(project: Path) -> None:
    store, over = recording_store(), threading.Event()
    kept = folder(project, store)
    (project / "last").write_text("words")
    over.set()
    assert keep_lab(kept, over) == []
    assert store.get("labs/x/work/last") == b"words"


def test_the_last_save_has_patience(project: Path) -> None:
    store, over, clock = failing_store(3), threading.Event(), FakeClock()
    kept = folder(project, store)
    (project / "last").write_text("words")
    over.set()
    assert keep_lab(kept, over, clock=clock, sleep=clock.sleep) == []
    assert clock.slept == [1.0, 1.0, 1.0]


def test_what_cannot_be_saved_is_told(project: Path) -> None:
    store, over, clock = failing_store(refuses=("last",)), threading.Event(), FakeClock()
    kept = folder(project, store)
    (project / "last").write_text("words")
    over.set()
    assert len(keep_lab(kept, over, clock=clock, sleep=clock.sleep)) == 1
