"""What parameters a notebook takes: names, types, defaults and help, from its `parameters` cell."""

from __future__ import annotations

import ast
import difflib
import io
import re
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dayfly.errors import ParameterError
from dayfly.runner.notebook import Notebook, find_tagged, language_of, source_of

TAG = "parameters"
_ASSIGNMENT = re.compile(
    r"^\s*(?:(?:val|var|let|export)\s+)?\$?([A-Za-z_.][\w.]*)\s*(?::[^=]+)?(?:<-|=)(?!=)\s*(.*)$"
)
_INT = re.compile(
    r"int|int\s*\|\s*None|None\s*\|\s*int|(\w+\.)?Optional\[int\]|(\w+\.)?Union\[(int,\s*None|None,\s*int)\]",
    re.IGNORECASE,
)
_TYPE_COMMENT = re.compile(r"^#\s*(?:type:\s*(\S+)\s*)?(.*)$")


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter. `type` and `default` are source text; `type` is empty when unknown.

    `declared` tells an annotation or type comment from a type read off the default.
    """

    name: str
    type: str
    default: str
    help: str = ""
    declared: bool = False


@dataclass(frozen=True)
class TypedText:
    """A value that was typed, with `-p` or into a file of CSV: the text, and what it means as YAML."""

    text: str
    value: Any
    in_file: bool = False


class WholeFloat(float):
    """A whole number that a table kept as a float, as pandas does beside empty cells: an int for an `int`."""

    __slots__ = ()


def inspect_parameters(notebook: Notebook) -> list[Parameter] | None:
    """The parameters of a notebook, or None when it has no cell tagged `parameters`.

    Python cells are parsed; in other languages assignments at the beginning of a line count.
    """
    index = find_tagged(notebook, TAG)
    if index is None:
        return None
    source = source_of(notebook["cells"][index])
    if language_of(notebook) in {"python", ""}:
        try:
            return list(_from_python(source))
        except (SyntaxError, ValueError, tokenize.TokenError, RecursionError, MemoryError):
            pass
    return list({parameter.name: parameter for parameter in _from_lines(source)}.values())


def _from_python(source: str) -> Iterator[Parameter]:
    comments = dict(_comments(source))
    found: dict[str, Parameter] = {}
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign):
            targets = [target for target in statement.targets if isinstance(target, ast.Name)]
            annotation = None
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            targets, annotation = [statement.target], statement.annotation
        else:
            continue
        type_comment, help_text = comments.get(statement.end_lineno or 0, ("", ""))
        declared = ast.unparse(annotation).strip("'\"") if annotation else type_comment
        for target in targets:
            value = statement.value
            found[target.id] = Parameter(
                name=target.id,
                type=declared or (_type_of(value) if value else ""),
                default=ast.unparse(value) if value else "",
                help=help_text,
                declared=bool(declared),
            )
    yield from found.values()


def _comments(source: str) -> Iterator[tuple[int, tuple[str, str]]]:
    """(line, (type, help)) for each comment, as papermill reads `# type: int  the help`."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        match = _TYPE_COMMENT.match(token.string) if token.type == tokenize.COMMENT else None
        if match:
            yield token.start[0], (match[1] or "", match[2].strip())


def _type_of(value: ast.expr) -> str:
    try:
        literal = ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return ""
    return "" if literal is None else type(literal).__name__


def _from_lines(source: str) -> Iterator[Parameter]:
    for line in source.splitlines():
        match = _ASSIGNMENT.match(line)
        if match:
            default, _, help_text = match[2].partition("#")
            yield Parameter(
                name=match[1], type="", default=default.strip().rstrip(";"), help=help_text.strip()
            )


def check_parameters(
    given: Mapping[str, Any], known: list[Parameter] | None, *, notebook: str, allow_unknown: bool
) -> dict[str, Any]:
    """The values to inject, converted to declared types where that loses nothing.

    A whole number is a float where a float is expected, and text is never anything else. A float is an int
    only as a WholeFloat, also where an int may be None or is but the default. Raises ParameterError for a
    name that the notebook does not have (with the nearest that it has), for a notebook that takes none, and
    for a value of the wrong type.
    """
    if not given:
        return {}
    if known is None:
        if allow_unknown:
            return {name: _plain(value) for name, value in given.items()}
        raise ParameterError(
            f"{notebook} takes no parameters.",
            why=f"It has no cell tagged `parameters`; {', '.join(given)} would have nothing to override.",
            hint="Tag a cell with `parameters` (in JupyterLab: Property Inspector, Cell Tags), "
            "or pass --allow-unknown.",
        )
    by_name = {parameter.name: parameter for parameter in known}
    unknown = [name for name in given if name not in by_name]
    # A parameters cell in which nothing can be recognised says nothing about names.
    if unknown and by_name and not allow_unknown:
        raise _unknown(unknown, list(by_name), notebook)
    return {
        name: _convert(value, by_name[name], notebook) if name in by_name else _plain(value)
        for name, value in given.items()
    }


def _unknown(unknown: list[str], known: list[str], notebook: str) -> ParameterError:
    nearest = [
        f"{name} (did you mean {match[0]}?)" if (match := difflib.get_close_matches(name, known, 1)) else name
        for name in unknown
    ]
    plural = "s" if len(unknown) > 1 else ""
    return ParameterError(
        f"{notebook} has no parameter{plural} {', '.join(nearest)}.",
        why=f"It has: {', '.join(known)}.",
        hint="See types and defaults with: dayfly inspect NOTEBOOK, or pass --allow-unknown.",
    )


_KINDS: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "bool": (bool,),
    "list": (list,),
    "dict": (dict,),
}


def _convert(value: Any, parameter: Parameter, notebook: str) -> Any:
    """`value` as the parameter's type; a type that is not one of the six plain ones takes anything."""
    kind = parameter.type.partition("[")[0].strip().lower()
    kinds = _KINDS.get(kind)
    flag = isinstance(value, TypedText) and not value.in_file
    if isinstance(value, TypedText) and kind == "str" and not isinstance(value.value, str):
        value = value.text  # a text parameter set to 5, true or nothing
    if isinstance(value, TypedText) and kinds is not None and not value.text.strip():
        raise _without_value(parameter, kind, notebook, flag=flag)
    value = _value_of(value)
    if isinstance(value, WholeFloat):
        value = int(value) if _INT.fullmatch(parameter.type.strip()) else float(value)
    if kinds is None or (value is None and not parameter.declared):
        return value
    if kind == "int" and not parameter.declared:
        kinds = (int, float)  # `alpha = 1` is often meant as a number
    if kind == "float" and isinstance(value, str):
        value = _number(value)
    if isinstance(value, kinds) and (kind == "bool" or not isinstance(value, bool)):
        return _float(value, parameter, notebook) if isinstance(value, int) and kind == "float" else value
    example = f"-p {parameter.name}={_EXAMPLES[kind]}" if flag else _EXAMPLES_ELSEWHERE[kind]
    raise ParameterError(
        f"{parameter.name}={value!r} is not of type {parameter.type}.",
        why=_why(parameter, notebook),
        hint=f"Give a value of that type, such as {example}",
    )


def _without_value(parameter: Parameter, kind: str, notebook: str, *, flag: bool) -> ParameterError:
    """YAML takes nothing for null; who typed nothing mostly has a variable that is empty."""
    example, null = _EXAMPLES_ELSEWHERE[kind], ", or null"
    if flag:
        example, null = f"-p {parameter.name}={_EXAMPLES[kind]}", f", or null: -p {parameter.name}=null"
    return ParameterError(
        f"The parameter {parameter.name} has no value.",
        why=_why(parameter, notebook),
        hint=f"Give one, such as {example}{'' if parameter.declared else null}",
    )


def _float(value: int, parameter: Parameter, notebook: str) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise ParameterError(
            f"The value of {parameter.name} is too large for a float.", why=_why(parameter, notebook)
        ) from error


def _why(parameter: Parameter, notebook: str) -> str:
    source = "is declared as" if parameter.declared else "has a default of type"
    default = f" (default {parameter.default})" if parameter.default else ""
    return f"In {notebook}, {parameter.name} {source} {parameter.type}{default}."


def _value_of(value: Any) -> Any:
    return value.value if isinstance(value, TypedText) else value


def _plain(value: Any) -> Any:
    found = _value_of(value)
    return float(found) if isinstance(found, WholeFloat) else found


_EXAMPLES = {
    "int": "3",
    "float": "0.1",
    "str": "text",
    "bool": "true",
    "list": "'[1, 2]'",
    "dict": "'{a: 1}'",
}
_EXAMPLES_ELSEWHERE = {
    "int": "3",
    "float": "0.1",
    "str": '"text"',
    "bool": "true",
    "list": "[1, 2]",
    "dict": '{"a": 1}',
}


def _number(text: str) -> Any:
    """YAML 1.1 leaves `1e-3` as text; where a float is expected it is one."""
    try:
        return float(text)
    except ValueError:
        return text
