from __future__ import annotations

import json
from hashlib import sha1
from pathlib import Path

import pytest

from dayfly.errors import SnapshotError
from dayfly.snapshot.names import allow, is_secret_name
from dayfly.snapshot.plan import Snapshot, plan_snapshot
from tests.unit.snapshot.support import commit, git, write

KEY = "AKIA" + "IOSFODNN7EXAMPLE"
PRIVATE = "-----BEGIN RSA " + "PRIVATE KEY-----"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    made = tmp_path / "repository"
    made.mkdir()
    git(made, "init", "--quiet")
    commit(made, {"a": "1"})
    return made


def plan(repository: Path, *allowed: str, dirty: bool = True, cache: Path | None = None) -> Snapshot:
    with plan_snapshot(repository, dirty=dirty, allow_secrets=allowed, cache=cache) as planned:
        return planned


def message(repository: Path, *, dirty: bool = True) -> str:
    with pytest.raises(SnapshotError) as caught:
        plan(repository, dirty=dirty)
    return str(caught.value)


@pytest.mark.parametrize(
    "path",
    [
        *(
            ".env",
            "a/.env.production",
            ".aws/credentials",
            "x/.aws/config",
            "server.pem",
            "tls.KEY",
            "id_rsa",
        ),
        *(
            "keys/id_ed25519_work",
            ".netrc",
            ".pypirc",
            "a.p12",
            "credentials.json",
            "prod.env",
            ".ssh/config",
        ),
    ],
)
def test_some_names_are_those_of_secrets(path: str) -> None:
    assert is_secret_name(path)


@pytest.mark.parametrize(
    "path", [".env.example", ".env.sample", "id_rsa.pub", "environment.yml", "key.py", ".envrc", "a/keys.md"]
)
def test_some_names_only_look_like_it(path: str) -> None:
    assert not is_secret_name(path)


def test_patterns_mean_what_they_mean_in_gitignore() -> None:
    allowed = allow(["/certs/*.pem", "!/certs/prod.pem", "docs/"])
    assert [allowed(path) for path in ("certs/a.pem", "x/certs/a.pem", "certs/prod.pem", "x/docs/y")] == [
        *(True, False, False, True)
    ]


def test_untracked_secrets_stay_behind_and_are_named(repository: Path) -> None:
    write(repository, {".env": "x", "sub/.aws/credentials": "x", "new": "1", ".env.example": "x"})
    planned = plan(repository)
    assert planned.left_out == (".env", "sub/.aws/credentials")
    assert [entry.path for entry in planned.entries] == [".env.example", "a", "new"]
    assert plan(repository, ".env").left_out == ("sub/.aws/credentials",)


def test_a_tracked_secret_stops_it_and_the_way_out_is_named(repository: Path) -> None:
    write(repository, {"conf/.env": "x"})
    git(repository, "add", "conf/.env")
    text = message(repository)
    assert "conf/.env looks like a secret by its name" in text
    assert 'allow_secrets = ["/conf/.env"]' in text
    assert plan(repository, "/conf/.env").files == 2


@pytest.mark.parametrize("secret", [KEY, PRIVATE, "ghp_" + "a1B2" * 9, "xoxb-" + "12345678-abcdefgh12"])
def test_a_secret_in_a_file_stops_it_with_its_line(repository: Path, secret: str) -> None:
    write(repository, {"src/conf.py": f"first = 1\nkey = '{secret}'\n"})
    text = message(repository)
    assert "src/conf.py, line 2" in text
    assert secret not in text
    assert "# pragma: allowlist secret" in text
    assert 'allow_secrets = ["/src/conf.py"]' in text
    assert plan(repository, "src/*.py").files == 2


def test_a_committed_secret_stops_it_too(repository: Path) -> None:
    commit(repository, {"conf.py": KEY})
    assert "conf.py, line 1" in message(repository, dirty=False)


@pytest.mark.parametrize("ending", ["  # pragma: allowlist secret", "  // pragma: whitelist secret"])
def test_a_line_can_be_allowed_where_it_stands(repository: Path, ending: str) -> None:
    write(repository, {"conf.py": f"key = '{KEY}'{ending}\n"})
    assert plan(repository).files == 2
    write(repository, {"conf.py": f"key = '{KEY}'{ending}\nother = '{KEY}'\n"})
    assert "conf.py, line 2" in message(repository)


def test_a_line_of_a_notebook_can_be_allowed(repository: Path) -> None:
    cell = {"source": [f"key = '{KEY}'  # pragma: allowlist secret\n", "x = 1"]}
    write(repository, {"a.ipynb": json.dumps({"cells": [cell]}, indent=1)})
    assert plan(repository).files == 2


def test_a_baseline_of_detect_secrets_is_respected(repository: Path) -> None:
    known = {"hashed_secret": sha1(KEY.encode(), usedforsecurity=False).hexdigest(), "type": "AWS Access Key"}
    write(repository, {"a.py": f"'{KEY}'", ".secrets.baseline": json.dumps({"results": {"a.py": [known]}})})
    assert plan(repository).files == 3
    write(repository, {"b.py": f"'{KEY}'"})
    assert "b.py, line 1" in message(repository)


def test_what_was_found_clean_is_not_looked_at_again_and_a_secret_always_is(
    repository: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    plan(repository, cache=cache)
    remembered = next((cache / "clean-blobs").iterdir())
    assert git(repository, "rev-parse", "HEAD:a") in remembered.read_text().split()
    size = remembered.stat().st_size
    plan(repository, cache=cache)
    assert remembered.stat().st_size == size
    write(repository, {"b": KEY})
    for _ in range(2):
        with pytest.raises(SnapshotError, match="b, line 1"):
            plan(repository, cache=cache)
    remembered.write_bytes(b"\xff\x00 broken")
    assert plan(repository, "b", cache=cache).files == 2


def test_a_cache_that_cannot_be_written_is_done_without(repository: Path, tmp_path: Path) -> None:
    write(tmp_path, {"cache": "a file"})
    assert plan(repository, cache=tmp_path / "cache").files == 1


def test_submodules_are_named_and_refused(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    git(repository, "update-index", "--add", "--cacheinfo", f"160000,{head},libs/module")
    git(repository, "commit", "--quiet", "-m", "module")
    assert "submodules: libs/module" in message(repository, dirty=False)


def test_a_repository_inside_is_named_and_refused(repository: Path) -> None:
    (repository / "inner").mkdir()
    git(repository / "inner", "init", "--quiet")
    write(repository, {"inner/a": "1"})
    assert "inner/ is a Git repository of its own" in message(repository)


def test_files_in_lfs_are_named_and_refused(repository: Path) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12\n"
    write(repository, {"data/big.parquet": pointer})
    text = message(repository)
    assert "Git LFS: data/big.parquet" in text
    assert "git lfs untrack" in text


@pytest.mark.parametrize("target", ["/etc/passwd", "../x", "d/../../x", "../repository/a"])
def test_a_link_that_leads_out_is_refused(repository: Path, target: str) -> None:
    (repository / "link").symlink_to(target)
    assert "The link link leads out" in message(repository)


def test_too_much_is_refused_with_the_largest_files(repository: Path) -> None:
    write(repository, {"large.bin": b"x" * 4000, "small": "x"})
    with (
        pytest.raises(SnapshotError, match=r"large\.bin"),
        plan_snapshot(repository, dirty=True, size_limit=1000),
    ):
        pass
