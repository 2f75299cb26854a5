"""What a store on this machine's disk does that others cannot."""

import os
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from dayfly.errors import StoreError
from dayfly.runs.store import Store


def test_a_folder_that_was_deleted_under_its_mount_is_told_at_once(tmp_path: Path) -> None:
    """As a container sees it whose store somebody has removed outside; a descriptor shows the same."""
    folder = tmp_path / "status"
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        folder.rmdir()
        root = Path(f"/proc/self/fd/{descriptor}")
        store = Store(objects=MemoryStore(), url=str(root), root=root)
        with pytest.raises(StoreError, match="Could not write"):
            store.put("run", b"")
    finally:
        os.close(descriptor)
