"""The notebooks that are measured: made by code, so that nothing large is stored."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PRINTED_BYTES = 50_000_000
PLOTS = 100
PLOT_BYTES = 1_000_000

_DEFINE_PLOT = '''
import random
import struct
import zlib

from IPython.display import Image


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def plot(seed):
    """A picture of 1 MB which costs nearly nothing to make: grey noise, stored uncompressed."""
    noise = random.Random(seed).randbytes(1_000_000)
    rows = b"".join(b"\\0" + noise[start : start + 1000] for start in range(0, len(noise), 1000))
    png = b"\\x89PNG\\r\\n\\x1a\\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1000, 1000, 8, 0, 0, 0, 0))
    return Image(png + chunk(b"IDAT", zlib.compress(rows, 0)) + chunk(b"IEND", b""))
'''

_PRINT_MUCH = f"""
line = "x" * 99
for _ in range({PRINTED_BYTES // 100}):
    print(line)
"""


@dataclass(frozen=True, kw_only=True)
class GeneratedNotebook:
    """Code cells, and what must be found in the executed notebook for a run to count."""

    cells: tuple[str, ...]
    parameters: str | None = None
    cells_with_output: int
    output_characters: int = 0

    def write(self, path: Path) -> None:
        """Write the notebook, without outputs."""
        cells = [_code_cell(f"cell-{index}", source) for index, source in enumerate(self.cells)]
        if self.parameters is not None:
            cells.insert(0, _code_cell("parameters", self.parameters, tags=["parameters"]))
        kernelspec = {"display_name": "Python 3", "language": "python", "name": "python3"}
        metadata = {"kernelspec": kernelspec, "language_info": {"name": "python"}}
        notebook = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
        path.write_text(json.dumps(notebook), encoding="utf-8")

    def find_problem(self, executed: Path) -> str | None:
        """Return what is missing in an executed notebook, or None: a fast run that loses output is no run."""
        cells = json.loads(executed.read_text(encoding="utf-8"))["cells"]
        outputs = [cell["outputs"] for cell in cells if cell["cell_type"] == "code" and cell["outputs"]]
        if len(outputs) != self.cells_with_output:
            return f"{len(outputs)} cells have output, not {self.cells_with_output}"
        characters = sum(_characters(output) for group in outputs for output in group)
        if characters < self.output_characters:
            return f"{characters:,} characters of output, not {self.output_characters:,}"
        return None


def make_trivial(cells: int) -> GeneratedNotebook:
    """Return a notebook with so many cells that each print one number."""
    return GeneratedNotebook(cells=tuple(f"print({n})" for n in range(cells)), cells_with_output=cells)


def make_printing() -> GeneratedNotebook:
    """Return a notebook with one cell that prints 50 MB in lines of 100 bytes, as a talkative log does."""
    return GeneratedNotebook(cells=(_PRINT_MUCH,), cells_with_output=1, output_characters=PRINTED_BYTES)


def make_plotting() -> GeneratedNotebook:
    """Return a notebook with 100 cells that each show a PNG of 1 MB."""
    return GeneratedNotebook(
        cells=(_DEFINE_PLOT, *(f"plot({seed})" for seed in range(PLOTS))),
        cells_with_output=PLOTS,
        output_characters=PLOTS * PLOT_BYTES * 4 // 3,  # base64
    )


def make_parametrised() -> GeneratedNotebook:
    """Return a notebook that prints as many characters as its parameter `a` says."""
    return GeneratedNotebook(
        cells=('print("x" * a)',),
        parameters="a: int = 0  # how many characters to print",
        cells_with_output=1,
        output_characters=2,
    )


def _code_cell(cell_id: str, source: str, tags: list[str] | None = None) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": cell_id,
        "metadata": {"tags": tags} if tags else {},
        "outputs": [],
        "source": source.strip("\n"),
    }


def _characters(output: dict[str, Any]) -> int:
    content = output.get("text", output.get("data", {}).get("image/png", ""))
    return sum(map(len, content))
