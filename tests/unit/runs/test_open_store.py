"""What `open_store` makes of a URL or path; what stores then do is in tests/contract/test_store.py."""

from pathlib import Path

import pytest

from dayfly.errors import StoreError, UsageError
from dayfly.runs.store import open_store


def test_a_directory_is_made_when_it_is_missing(tmp_path: Path) -> None:
    store = open_store(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    assert store.path("runs/x") == tmp_path / "a" / "b" / "runs/x"


def test_a_home_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_store("~/runs").root == tmp_path / "runs"


def test_few_parts_of_a_long_file_are_on_their_way_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that each has enough of a slow line to come through in time."""
    options: list[dict[str, object]] = []
    monkeypatch.setattr("obstore.put", lambda *_, **given: options.append(given))
    open_store("memory://").put("a", b"1")
    assert options == [{"max_concurrency": 2}]


def test_a_relative_directory_stays_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store("runs")
    monkeypatch.chdir("/")
    store.put("a", b"1")
    assert (tmp_path / "runs" / "a").read_bytes() == b"1"


def test_a_projects_own_store_is_ignored_by_git(tmp_path: Path) -> None:
    open_store(tmp_path / ".dayfly")
    assert (tmp_path / ".dayfly" / ".gitignore").read_text() == "*\n"


def test_any_other_directory_is_left_as_it_is(tmp_path: Path) -> None:
    open_store(tmp_path / "runs")
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_gitignore_of_the_users_is_kept(tmp_path: Path) -> None:
    (tmp_path / ".dayfly").mkdir()
    (tmp_path / ".dayfly" / ".gitignore").write_text("mine\n")
    open_store(tmp_path / ".dayfly")
    assert (tmp_path / ".dayfly" / ".gitignore").read_text() == "mine\n"


def test_a_directory_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="Could not make the store directory"):
        open_store(tmp_path / "file" / "store")


@pytest.mark.parametrize("url", ["gs://bucket", "https://example.org", "file:///tmp/x"])
def test_another_scheme_is_a_usage_error_that_says_what_a_store_is(url: str) -> None:
    with pytest.raises(UsageError, match="Cannot use") as caught:
        open_store(url)
    assert "s3://bucket/prefix" in caught.value.hint


def test_an_s3_url_needs_a_bucket() -> None:
    with pytest.raises(UsageError, match="names no bucket"):
        open_store("s3://")


def test_memory_is_on_no_disk() -> None:
    assert open_store("memory://").path("a") is None


def test_without_credentials_s3_says_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(StoreError, match="No AWS credentials for s3://bucket") as caught:
        open_store("s3://bucket/runs")
    assert "aws sso login" in caught.value.hint


def test_a_profile_that_is_not_there_is_a_store_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_PROFILE", "gone")
    with pytest.raises(StoreError, match="cannot be read") as caught:
        open_store("s3://bucket/runs")
    assert "(gone)" in caught.value.why
