"""Writing the injected parameters cell, in the notebook's language, by papermill's translators."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Mapping
from typing import Any

from dayfly.errors import ParameterError
from dayfly.runner.notebook import Cell, Notebook, find_tagged

INJECTED = "injected-parameters"
_MINOR_WITH_IDS = 5
_ALIAS = "_dayfly_papermill"


def inject_parameters(
    notebook: Notebook, parameters: Mapping[str, Any], *, kernel: str, language: str
) -> Notebook:
    """The notebook with a cell that sets `parameters`, where papermill puts it.

    That is after the cell tagged `parameters`, in place of an earlier injected cell, or else at the
    top. Returns a new notebook; raises ParameterError when papermill cannot write the language.
    """
    if not parameters:
        return notebook
    cell = _cell(notebook, _source(parameters, kernel, language))
    cells = list(notebook["cells"])
    injected, tagged = find_tagged(notebook, INJECTED), find_tagged(notebook, "parameters")
    if injected is not None:
        cells[injected] = cell
    else:
        cells.insert(0 if tagged is None else tagged + 1, cell)
    return {**notebook, "cells": cells}


def _cell(notebook: Notebook, source: str) -> Cell:
    cell: Cell = {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {"tags": [INJECTED]},
        "outputs": [],
        "source": source,
    }
    if notebook.get("nbformat_minor", 0) >= _MINOR_WITH_IDS:
        taken = {existing.get("id") for existing in notebook["cells"]}
        name, number = INJECTED, 1
        while name in taken:
            number += 1
            name = f"{INJECTED}-{number}"
        cell["id"] = name
    return cell


def _source(parameters: Mapping[str, Any], kernel: str, language: str) -> str:
    translators = load_translators()
    try:
        source: str = translators.translate_parameters(kernel, language, parameters, "Parameters")
    except Exception as error:  # papermill raises its own class, NotImplementedError and others
        raise ParameterError(
            f"Cannot write parameters for the kernel {kernel!r} (language {language or 'unknown'}).",
            why=f"{type(error).__name__}: {error}",
            hint="papermill knows Python, R, Scala, Julia, Matlab, bash, C#, F# and PowerShell.",
        ) from error
    return source


def load_translators() -> Any:
    """`papermill.translators` without `papermill/__init__.py`.

    The package imports everything it has (0.2 s, measured); the translators need two small
    siblings. So they are loaded from papermill's folder under an alias.
    """
    if _ALIAS not in sys.modules:
        found = importlib.util.find_spec("papermill")
        if found is None:
            raise ImportError("papermill is not installed")
        package = types.ModuleType(_ALIAS)
        package.__path__ = list(found.submodule_search_locations or [])
        sys.modules[_ALIAS] = package
    return importlib.import_module(f"{_ALIAS}.translators")
