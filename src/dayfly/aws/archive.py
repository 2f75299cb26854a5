"""Archives for machines: the same bytes for the same files, with nothing of whoever packed them."""

from __future__ import annotations

import hashlib
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from gzip import GzipFile
from io import BytesIO
from pathlib import Path

from dayfly.errors import ImageError


@contextmanager
def open_archive(target: Path) -> Iterator[tarfile.TarFile]:
    """A new `.tar.gz` at `target`."""
    with (
        target.open("wb") as written,
        GzipFile(filename="", mode="wb", fileobj=written, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        yield archive


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def add_path(archive: tarfile.TarFile, path: Path, name: str) -> None:
    """A file, link or folder with nothing of its owner or age; what is not there is left out."""
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            entry = _entry(name, tarfile.SYMTYPE, 0o777)
            entry.linkname = str(path.readlink())
            archive.addfile(entry)
        elif stat.S_ISDIR(mode):
            add_folder(archive, name)
        elif stat.S_ISREG(mode):
            with path.open("rb") as file:
                entry = _entry(name, tarfile.REGTYPE, 0o755 if mode & stat.S_IXUSR else 0o644)
                entry.size = path.stat().st_size
                archive.addfile(entry, file)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ImageError(f"{path} cannot be packed for the machine.", why=str(error)) from error


def add_folder(archive: tarfile.TarFile, name: str) -> None:
    """An empty folder."""
    archive.addfile(_entry(name, tarfile.DIRTYPE, 0o755))


def add_bytes(archive: tarfile.TarFile, name: str, content: bytes, *, program: bool = False) -> None:
    """A file with this content."""
    entry = _entry(name, tarfile.REGTYPE, 0o755 if program else 0o644)
    entry.size = len(content)
    archive.addfile(entry, BytesIO(content))


def _entry(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = kind, mode
    return entry
