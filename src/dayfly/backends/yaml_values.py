"""Values as a user writes them: YAML, in which a date is text, as with papermill."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from dayfly.errors import UsageError

_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]*)", re.ASCII)
_BROKEN = re.compile(r"[-+]?[0-9]+\.[0-9]+", re.ASCII)
_MOST_DIGITS = 300
"""Longer ones are for YAML to judge."""


def parse_yaml(text: str, where: str) -> Any:
    """What `text` means as YAML; `where` is for messages. Raises UsageError."""
    import yaml

    try:
        return yaml.load(text, _loader())  # noqa: S506 -- a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date that is none, too many digits
        raise UsageError(
            f"{where} is not valid YAML.",
            why=str(error).replace("\n", " "),
            hint="Quote text that has special characters: -p 'title=\"a: b\"'",
        ) from error


def parse_scalar(text: str, where: str) -> Any:
    """The same, in no time for plain numbers, of which a table has thousands."""
    if len(text) < _MOST_DIGITS:
        if _WHOLE.fullmatch(text):
            return int(text)
        if _BROKEN.fullmatch(text):
            return float(text)
    return parse_yaml(text, where)


@lru_cache(maxsize=1)
def _loader() -> Any:
    import yaml

    # The one in C is ten times as fast, where PyYAML was built with it.
    safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    resolvers = {
        first: [(tag, regexp) for tag, regexp in known if tag != "tag:yaml.org,2002:timestamp"]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    return type("Loader", (safe,), {"yaml_implicit_resolvers": resolvers})
