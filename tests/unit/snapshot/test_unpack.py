from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
import zlib
from pathlib import Path

import pytest
from dulwich.pack import create_delta
from hypothesis import given, settings
from hypothesis import strategies as st

from dayfly.errors import SnapshotError
from dayfly.snapshot.bundle import write_bundle
from dayfly.snapshot.paths import find_escaping_link, is_safe_name
from dayfly.snapshot.plan import plan_snapshot
from dayfly.snapshot.unpack import unpack_bundle
from tests.unit.snapshot.support import bundle, commit, git, oid, pack, packed, read_all, tree

FILE, PROGRAM, LINK, FOLDER = b"100644", b"100755", b"120000", b"40000"
BLOB = b"content"
BLOB_ID = oid(3, BLOB)


def refuse(
    folder: Path, *entries: tuple[bytes, bytes, bytes], objects: tuple[tuple[int, bytes], ...] = ()
) -> str:
    """Why a snapshot with this tree is not unpacked; nothing of it may be there afterwards."""
    made = bundle(folder / "x.bundle", [(3, BLOB), *objects], tree(*entries))
    with pytest.raises(SnapshotError) as caught:
        unpack_bundle(folder / "x.bundle", folder / "out", commit=made)
    assert [file.name for file in folder.iterdir()] == ["x.bundle"]
    return str(caught.value)


HOSTILE = [
    *(
        b".git",
        b".GIT",
        b".Git",
        b".git ",
        b".git.",
        b".git . .",
        b"git~1",
        b"GIT~1",
        b".git::$INDEX_ALLOCATION",
    ),
    *(b".git:x", b"..", b".", b"", b"a/b", b"/etc", b"../x", b".git\\config", b"a\\.git\\b", b". ", b"..."),
    *(".g\u200cit".encode(), ".gi\ufeffT".encode(), "\u200d.git".encode()),
    b".g\xff\xe2\x80\x8cit",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: bytes) -> None:
    assert "has a name that leads elsewhere" in refuse(tmp_path, (FILE, name, BLOB_ID))
    inner = tree((FILE, b"x", BLOB_ID))
    assert "leads elsewhere" in refuse(tmp_path, (FOLDER, name, oid(2, inner)), objects=((2, inner),))


@pytest.mark.parametrize(
    "name", [b".gitignore", b".github", b"git", b"a b", b"\xff", b"aux", b"...x", b"back\\slash"]
)
def test_other_names_are_taken(name: bytes) -> None:
    assert is_safe_name(name)


@given(st.one_of(st.binary(max_size=12), st.text(".giIT~1 :\u200c\ufeff\\", max_size=8).map(str.encode)))
def test_the_short_way_of_judging_a_name_is_as_strict_as_the_long_one(name: bytes) -> None:
    from dulwich import index

    def is_hfs_safe() -> bool:
        try:
            name.decode()
        except UnicodeDecodeError:
            return True
        return index.validate_path_element_hfs(name)

    if is_safe_name(name):
        assert b"/" not in name
        assert index.validate_path_element_default(name)
        assert index.validate_path_element_ntfs(name)
        assert is_hfs_safe()


@pytest.mark.parametrize("mode", [b"160000", b"100666", b"104755", b"0", b"", b"020644", b"100777"])
def test_other_modes_than_a_checkout_has_are_refused(tmp_path: Path, mode: bytes) -> None:
    assert "has the mode" in refuse(tmp_path, (mode, b"x", BLOB_ID))


def test_a_name_twice_is_refused(tmp_path: Path) -> None:
    inner = tree((FILE, b"x", BLOB_ID))
    twice = (FILE, b"a", BLOB_ID), (FOLDER, b"a", oid(2, inner))
    assert "is there twice" in refuse(tmp_path, *twice, objects=((2, inner),))


@pytest.mark.parametrize("target", [b"/etc/passwd", b"..", b"../x", b"a/../../x", b"", b"x/../../../y"])
def test_a_link_that_leads_out_is_refused(tmp_path: Path, target: bytes) -> None:
    assert "leads out" in refuse(tmp_path, (LINK, b"l", oid(3, target)), objects=((3, target),))


def test_links_that_lead_out_together_are_refused() -> None:
    assert find_escaping_link({b"x/y/up": b"../..", b"l": b"x/y/up/../secret"}) == b"l"
    assert find_escaping_link({b"x/y/up": b"../..", b"l": b"x/y/up/x/file", b"self": b"self"}) is None


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    inner = tree((FILE, b"x", BLOB_ID))
    link = b"elsewhere"
    entries = (LINK, b"a", oid(3, link)), (FOLDER, b"a", oid(2, inner))
    assert "is there twice" in refuse(tmp_path, *entries, objects=((3, link), (2, inner)))


def test_what_is_missing_or_of_another_kind_is_named(tmp_path: Path) -> None:
    assert "is not in it" in refuse(tmp_path, (FILE, b"x", b"\1" * 20))
    assert "is not in it" in refuse(tmp_path, (FOLDER, b"x", b"\1" * 20))
    assert "is no tree" in refuse(tmp_path, (FOLDER, b"x", BLOB_ID))
    made = bundle(tmp_path / "x.bundle", [], tree())
    with pytest.raises(SnapshotError, match="is not in it"):
        unpack_bundle(tmp_path / "x.bundle", tmp_path / "out", commit="0" * 40)
    with pytest.raises(SnapshotError, match="is no commit"):
        unpack_bundle(tmp_path / "x.bundle", tmp_path / "out", commit=oid(2, tree()).hex())
    assert unpack_bundle(tmp_path / "x.bundle", tmp_path / "out", commit=made).files == 0


def test_trees_that_multiply_are_refused(tmp_path: Path) -> None:
    inner = tree(*((FILE, b"%d" % number, BLOB_ID) for number in range(10)))
    objects = [(2, inner)]
    for _ in range(12):
        inner = tree(*((FOLDER, b"%d" % number, oid(2, inner)) for number in range(10)))
        objects.append((2, inner))
    made = bundle(tmp_path / "x.bundle", [(3, BLOB), *objects[:-1]], inner)
    with pytest.raises(SnapshotError, match="more than a snapshot may"):
        unpack_bundle(tmp_path / "x.bundle", tmp_path / "out", commit=made, size_limit=100_000)


def test_what_swells_is_refused_before_it_does(tmp_path: Path) -> None:
    zeros = bytes(3_000_000)
    made = bundle(tmp_path / "x.bundle", [(3, zeros)], tree((FILE, b"x", oid(3, zeros))))
    with pytest.raises(SnapshotError, match="more than a snapshot may"):
        unpack_bundle(tmp_path / "x.bundle", tmp_path / "out", commit=made, size_limit=1_000_000)
    lies = packed(3, zeros, size=10)
    (tmp_path / "x.bundle").write_bytes(b"# v2 git bundle\n\n" + pack([lies]))
    with pytest.raises(SnapshotError, match="not the size"):
        unpack_bundle(tmp_path / "x.bundle", tmp_path / "out", commit=made)


def test_differences_are_applied(tmp_path: Path) -> None:
    base = b"".join(b"line %d\n" % number for number in range(500))
    wanted = base.replace(b"line 77\n", b"another\n")
    delta = b"".join(create_delta(base, wanted))
    top = tree((FILE, b"x", oid(3, wanted)))
    content = b"tree " + oid(2, top).hex().encode() + b"\n\nx\n"
    objects = [packed(1, content), packed(2, top), packed(3, base), packed(7, delta, extra=oid(3, base))]
    (tmp_path / "x.bundle").write_bytes(b"# v2 git bundle\n\n" + pack(objects))
    unpack_bundle(tmp_path / "x.bundle", tmp_path / "out", commit=oid(1, content).hex())
    assert (tmp_path / "out/x").read_bytes() == wanted
    thin = [packed(1, content), packed(2, top), packed(7, delta, extra=oid(3, base))]
    (tmp_path / "x.bundle").write_bytes(b"# v2 git bundle\n\n" + pack(thin))
    with pytest.raises(SnapshotError, match="does not come before it"):
        unpack_bundle(tmp_path / "x.bundle", tmp_path / "no", commit=oid(1, content).hex())


def test_a_target_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    made = bundle(tmp_path / "x.bundle", [(3, BLOB)], tree((FILE, b"x", BLOB_ID)))
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("mine")
    with pytest.raises(SnapshotError, match="cannot be unpacked into"):
        unpack_bundle(tmp_path / "x.bundle", tmp_path / "out", commit=made)
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["mine", "out", "x.bundle"]
    (tmp_path / "out/mine").unlink()
    unpack_bundle(tmp_path / "x.bundle", tmp_path / "out", commit=made)
    assert (tmp_path / "out/x").stat().st_mode & 0o777 == 0o644


def test_a_bundle_that_is_none_is_told_apart(tmp_path: Path) -> None:
    file = tmp_path / "x.bundle"
    for content, why in (
        (b"", "empty"),
        (b"hello", "no Git bundle"),
        (b"# v2 git bundle\n\n", "no pack"),
        (b"# v3 git bundle\n@filter=blob:none\n\n", "abilities"),
        (b"# v2 git bundle\n-" + b"0" * 40 + b"\n\n", "commits that are not in it"),
    ):
        file.write_bytes(content)
        with pytest.raises(SnapshotError, match=why):
            unpack_bundle(file, tmp_path / "out", commit="0" * 40)
    with pytest.raises(SnapshotError, match="No such file"):
        unpack_bundle(tmp_path / "none", tmp_path / "out", commit="0" * 40)
    with pytest.raises(SnapshotError, match="SHA-256"):
        unpack_bundle(file, tmp_path / "out", commit="0" * 40, sha256="0" * 64)


@given(st.data())
def test_damage_is_an_error_that_says_so_and_never_a_checkout(data: st.DataObject) -> None:
    """Also when somebody has made the checksum of the pack right again."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.bundle"
        made = bundle(file, [(3, BLOB)], tree((FILE, b"x", BLOB_ID)))
        whole = file.read_bytes()
        start = whole.index(b"PACK")
        body = bytearray(whole[:-20])
        position = data.draw(st.integers(start, len(body) - 1))
        if data.draw(st.booleans()):
            body[position] ^= 1 << data.draw(st.integers(0, 7))
        else:
            del body[position:]
        end = (
            hashlib.sha1(body[start:], usedforsecurity=False).digest()
            if data.draw(st.booleans())
            else whole[-20:]
        )
        file.write_bytes(bytes(body) + end)
        try:
            unpack_bundle(file, Path(folder) / "out", commit=made)
        except SnapshotError:
            assert os.listdir(folder) == ["x.bundle"]  # noqa: PTH208
        else:  # a bit of zlib's header that means nothing
            assert read_all(Path(folder) / "out") == {"x": ("file", BLOB)}


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12).filter(
    lambda name: is_safe_name(name.encode()) and not name.casefold().startswith(".git")
)
CONTENT = st.one_of(st.binary(max_size=200), st.integers(0, 3).map(lambda n: b"%d" % n * 5000))


@settings(max_examples=20)
@given(st.dictionaries(st.tuples(NAMES, NAMES), st.tuples(CONTENT, st.booleans()), min_size=1, max_size=8))
def test_a_checkout_is_what_git_would_have_made(files: dict[tuple[str, str], tuple[bytes, bool]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        repository, theirs = Path(folder) / "repository", Path(folder) / "theirs"
        repository.mkdir()
        git(repository, "init", "--quiet")
        for (top, name), (content, executable) in files.items():
            oid_ = git(repository, "hash-object", "-w", "--stdin", data=content)
            mode = "100755" if executable else "100644"
            line = f"{mode} {oid_}\td/{top}/{name}\0".encode()
            git(repository, "update-index", "-z", "--index-info", data=line)
        git(repository, "commit", "--quiet", "-m", "x")
        subprocess.run(
            ["git", "-C", str(repository), "checkout-index", "--all", f"--prefix={theirs}/"], check=True
        )
        allowed = ["*"]
        with plan_snapshot(repository, allow_secrets=allowed) as planned:
            write_bundle(planned, Path(folder) / "x.bundle")
        unpack_bundle(Path(folder) / "x.bundle", Path(folder) / "ours", commit=planned.commit)
        assert read_all(Path(folder) / "ours") == read_all(theirs)


def test_alike_files_that_git_packs_as_differences_come_out_whole(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    git(repository, "init", "--quiet")
    text = "".join(f"line {number}\n" for number in range(2000))
    commit(repository, {f"file{number}": text + str(number) for number in range(20)})
    git(repository, "repack", "-adq")
    with plan_snapshot(repository) as planned:
        bundled = write_bundle(planned, tmp_path / "x.bundle")
    assert bundled.size_bytes < len(zlib.compress(text.encode())) * 5
    unpack_bundle(tmp_path / "x.bundle", tmp_path / "out", commit=planned.commit)
    assert read_all(tmp_path / "out") == read_all(repository)
