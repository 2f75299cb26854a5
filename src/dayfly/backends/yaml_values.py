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
MOST_NESTED = 100
"""Lists and mappings within each other; Python and JSON can follow more, but not any number."""
_MANY_OPENINGS = 100
"""With fewer of what begins a list or a mapping, none can be nested too deeply."""
_MERGE = "tag:yaml.org,2002:merge"
"""Of `<<`, which may be there several times: what it brings stands back behind the names beside it."""


def parse_yaml(text: str, where: str) -> Any:
    """What `text` means as YAML; `where` is for messages. Raises UsageError, also for a doubled name."""
    import yaml

    try:
        _refuse_deep(text, where)
        loader = _loader()(text)
        try:
            node = loader.get_single_node()
            _refuse_doubled(node, where)
            return None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except RecursionError as error:
        raise too_deep(where) from error
    except (yaml.YAMLError, ValueError) as error:  # a date that is none, too many digits
        raise UsageError(
            f"{where} is not valid YAML.",
            why=str(error).replace("\n", " "),
            hint="Quote text that has special characters: -p 'title=\"a: b\"'",
        ) from error


def too_deep(where: str) -> UsageError:
    """What to raise for lists in lists that Python cannot follow."""
    if where.startswith("-p "):
        where = where.partition("=")[0]
    return UsageError(
        f"{where} has too many lists or mappings within each other.", why=f"At most {MOST_NESTED} can be."
    )


def _refuse_deep(text: str, where: str) -> None:
    """Before nodes are made of it: where PyYAML makes them in C, it would take the whole process with it."""
    import yaml

    if sum(text.count(opening) for opening in ("[", "{", "- ", "? ")) < _MANY_OPENINGS:
        return
    depth = 0
    for event in yaml.parse(text, _loader()):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MOST_NESTED:
                raise too_deep(where)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def doubled(where: str, name: object, why: str = "") -> UsageError:
    """What to raise for a mapping in which the second of two values would be taken without a word."""
    return UsageError(
        f"{where} has {name!r} twice in one mapping.", why=why, hint="Give its values as one list."
    )


def _refuse_doubled(root: Any, where: str) -> None:
    """Without recursion, for nodes may be within each other, and even within themselves."""
    import yaml

    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if not isinstance(node, yaml.CollectionNode) or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting.extend(node.value)
            continue
        names: set[tuple[str, str]] = set()
        for key, value in node.value:
            waiting.extend((key, value))
            if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                continue
            if (key.tag, key.value) in names:
                raise doubled(where, key.value, f"The second one is in line {key.start_mark.line + 1}.")
            names.add((key.tag, key.value))


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
