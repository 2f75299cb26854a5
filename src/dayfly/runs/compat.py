"""What newer Pythons have: runner and keeper also run in images whose newest Python is 3.10."""

from __future__ import annotations

import sys
from datetime import timezone

if sys.version_info >= (3, 11):  # noqa: UP036 -- in an image Python may be older than here
    from enum import StrEnum
else:  # pragma: no cover
    from enum import Enum

    class StrEnum(str, Enum):  # noqa: UP042 -- it is what this makes up for
        """An enumeration whose members are text, as `enum.StrEnum`."""

        __str__ = str.__str__


__all__ = ["UTC", "StrEnum"]

UTC = timezone.utc  # noqa: UP017 -- the alias is younger than Python 3.10
"""`datetime.UTC`."""
