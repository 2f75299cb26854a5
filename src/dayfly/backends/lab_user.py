"""Who JupyterLab in a container runs as."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dayfly.environment.facts import ImageUser


@dataclass(frozen=True, kw_only=True)
class LabUser:
    """Who the container runs as; `warning` says what the user should know of that."""

    uid: int
    gid: int
    home: str | None
    """None: the image has no home for this user, and it gets one that lives as long as the container."""
    warning: str = ""


def choose_user(  # noqa: PLR0913 -- all that decides
    root: Path,
    image_user: ImageUser,
    *,
    uid: int,
    gid: int,
    rootless: bool = False,
    stat_of: Callable[[Path], os.stat_result] = os.stat,
) -> LabUser:
    """Who the container runs as, so that the files it writes are those of whoever works on the project.

    That is the user themselves. Root is replaced: by the owner of the project, else by the image's user
    where that can write, and only where nobody else can write it stays root.
    """
    if rootless:  # root in the container is the user outside
        return LabUser(uid=0, gid=0, home=image_user.home if image_user.uid == 0 else None)
    facts = stat_of(root)
    if uid != 0:
        pair = (uid, gid)
    elif facts.st_uid != 0:
        pair = (facts.st_uid, facts.st_gid)
    else:
        pair = (image_user.uid, image_user.gid) if image_user.uid != 0 else (1000, 1000)
        if not _can_write(facts, *pair):
            return LabUser(
                uid=0,
                gid=0,
                home=image_user.home if image_user.uid == 0 else None,
                warning="JupyterLab runs as root, without its capabilities: "
                f"{root} belongs to root, and nobody else may write there.",
            )
    return LabUser(uid=pair[0], gid=pair[1], home=image_user.home if pair[0] == image_user.uid else None)


def _can_write(facts: os.stat_result, uid: int, gid: int) -> bool:
    if facts.st_uid == uid:
        return bool(facts.st_mode & stat.S_IWUSR)
    if facts.st_gid == gid:
        return bool(facts.st_mode & stat.S_IWGRP)
    return bool(facts.st_mode & stat.S_IWOTH)
