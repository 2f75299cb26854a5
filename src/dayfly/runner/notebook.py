"""Reading a notebook and making sure that it is one, cheaply enough to do before anything else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from dayfly.errors import NotebookInvalidError

FORMAT = 4
Notebook = dict[str, Any]
Cell = dict[str, Any]


def parse_notebook(content: bytes, name: str) -> Notebook:
    """The notebook in `content`, in format 4; older formats are converted by nbformat.

    Raises NotebookInvalidError that names the file, the line or the cell, and what is expected.
    """
    try:
        notebook = json.loads(content)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _not_json(content, name, error) from error
    if not isinstance(notebook, dict) or not isinstance(notebook.get("nbformat"), int):
        raise NotebookInvalidError(
            f"{name} is not a notebook.",
            why="It is JSON without the number `nbformat` that every notebook has.",
            hint="Open it in JupyterLab to see what it is.",
        )
    if notebook["nbformat"] != FORMAT:
        return _convert(content, name, notebook["nbformat"])
    for problem in _problems(notebook):
        raise NotebookInvalidError(
            f"{name} is not a valid notebook.",
            why=problem,
            hint="Open and save it in JupyterLab, or restore it from Git.",
        )
    for cell in notebook["cells"]:
        cell["source"] = source_of(cell)  # a file may hold it as a list of lines; nbclient wants text
        if "tags" in cell["metadata"]:
            cell["metadata"]["tags"] = tags_of(cell)  # nbclient looks into them, whatever they are
        if not isinstance(cell.get("id"), str):
            cell.pop("id", None)
    return notebook


def _not_json(content: bytes, name: str, error: Exception) -> NotebookInvalidError:
    if not content.strip():
        return NotebookInvalidError(f"{name} is empty.", hint="Save the notebook and run it again.")
    if b"<<<<<<< " in content and b"\n>>>>>>> " in content:
        return NotebookInvalidError(
            f"{name} has Git conflict markers.",
            hint="Resolve the conflict, for instance with: nbdime mergetool",
        )
    where = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
    return NotebookInvalidError(
        f"{name} is not a notebook{where}.",
        why=f"A notebook is JSON: {error}.",
        hint="Open it in an editor at that line, or restore it from Git.",
    )


def _convert(content: bytes, name: str, version: int) -> Notebook:
    import nbformat

    try:
        return dict(nbformat.reads(content.decode(), as_version=4))
    except Exception as error:
        raise NotebookInvalidError(
            f"{name} is in notebook format {version}, which cannot be read.",
            why=f"{type(error).__name__}: {error}".splitlines()[0],
            hint="Convert it with: jupyter nbconvert --to notebook --nbformat 4",
        ) from error


def _problems(notebook: Notebook) -> Iterator[str]:
    """What would keep a notebook from being run; laxer than the schema, as JupyterLab is."""
    if not isinstance(notebook.get("metadata"), dict):
        yield "`metadata` should be an object."
    if not isinstance(notebook.get("nbformat_minor", 0), int):
        yield "`nbformat_minor` should be a number."
    cells = notebook.get("cells")
    if not isinstance(cells, list):
        yield "`cells` should be a list."
        return
    for number, cell in enumerate(cells, 1):
        if not isinstance(cell, dict) or cell.get("cell_type") not in {"code", "markdown", "raw"}:
            yield f"Cell {number} has no `cell_type` of code, markdown or raw."
        elif not _is_text(cell.get("source")):
            yield f"Cell {number} has no `source` text."
        elif not _is_unicode(source_of(cell)):
            yield f"Cell {number} has half a surrogate pair in its `source`, which no kernel can be sent."
        elif not isinstance(cell.get("metadata"), dict):
            yield f"Cell {number} has no `metadata` object."
        elif cell["cell_type"] == "code" and not isinstance(cell.get("outputs", []), list):
            yield f"Cell {number} has `outputs` that are no list."


def _is_text(value: object) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and all(isinstance(line, str) for line in value)
    )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def source_of(cell: Cell) -> str:
    """The cell's source as one text."""
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)


def tags_of(cell: Cell) -> list[str]:
    """The cell's tags; none for tags that are not a list."""
    tags = cell["metadata"].get("tags")
    return [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []


def find_tagged(notebook: Notebook, tag: str) -> int | None:
    """The index of the first cell with this tag."""
    for index, cell in enumerate(notebook["cells"]):
        if tag in tags_of(cell):
            return index
    return None


def will_execute(cell: Cell) -> bool:
    """Whether the cell is code that a run executes: not empty, not tagged `skip-execution`."""
    return (
        cell["cell_type"] == "code"
        and bool(source_of(cell).strip())
        and "skip-execution" not in tags_of(cell)
    )


def kernel_name_of(notebook: Notebook) -> str | None:
    """The kernelspec that the notebook names."""
    name = _metadata(notebook, "kernelspec").get("name")
    return name if isinstance(name, str) and name else None


def language_of(notebook: Notebook) -> str:
    """The language that the notebook says its kernel speaks, in lower case; empty if it does not."""
    language = _metadata(notebook, "kernelspec").get("language") or _metadata(notebook, "language_info").get(
        "name"
    )
    return language.lower() if isinstance(language, str) else ""


def _metadata(notebook: Notebook, key: str) -> dict[str, Any]:
    value = notebook["metadata"].get(key)
    return value if isinstance(value, dict) else {}
