"""Which names and links a checkout may have. Runs on Python 3.10, with the standard library and dulwich."""

from __future__ import annotations

from collections.abc import Mapping

from dulwich.index import (
    validate_path_element_default,
    validate_path_element_hfs,
    validate_path_element_ntfs,
)

_LONGEST_CHAIN = 40
"""Links that Linux follows for one path; it refuses a longer chain itself."""


def is_safe_name(name: bytes) -> bool:
    r"""Whether an entry of a tree may have this name.

    Not `.`, `..`, nothing with a slash, and nothing that some file system takes for `.git`: other cases,
    characters that HFS+ ignores, and what NTFS does with dots, spaces, `git~1`, streams and backslashes.
    """
    if not name or b"/" in name or b"\0" in name:
        return False
    if name.isascii() and b"git" not in name.lower() and name.strip(b". "):
        return True  # as below, for almost all names there are
    if not (validate_path_element_default(name) and validate_path_element_ntfs(name)):
        return False
    # HFS+ has no names that are not UTF-8; what is left of one without those bytes must be harmless too.
    return validate_path_element_hfs(name.decode("utf-8", "ignore").encode() or b"_")


def find_escaping_link(links: Mapping[bytes, bytes]) -> bytes | None:
    """The first of the links (path to target) that leads out of the tree, by itself or through others."""
    for path in links:
        if _leads_out(path, links):
            return path
    return None


def _leads_out(path: bytes, links: Mapping[bytes, bytes]) -> bool:
    place: list[bytes] = []
    waiting = path.split(b"/")[::-1]
    followed = 0
    while waiting:
        part = waiting.pop()
        if part in {b"", b"."}:
            continue
        if part == b"..":
            if not place:
                return True
            place.pop()
            continue
        place.append(part)
        target = links.get(b"/".join(place))
        if target is None:
            continue
        if not target or target.startswith(b"/") or b"\0" in target:
            return True
        followed += 1
        if followed > _LONGEST_CHAIN:
            return False
        place.pop()
        waiting.extend(target.split(b"/")[::-1])
    return False
