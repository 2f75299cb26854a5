# ruff: noqa: INP001 -- a script, in no package
"""Take the picture of the live view in docs/images: a real run in a real terminal, drawn as SVG.

Needs tmux, the terminal. Run it with `uv run python scripts/live_view_picture.py` and look at what it made.
"""

from __future__ import annotations

import argparse
import io
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "images" / "live-view.svg"
COLUMNS, LINES = 88, 24
COMMAND = "dayfly run long-computation.ipynb -p seconds=24"
MOMENT = "step 4 of 5"
"""What the notebook has just printed when the picture is taken."""
PATIENCE_S = 120.0

THEME = TerminalTheme(
    (24, 28, 32),
    (222, 226, 230),
    [
        (70, 76, 82),
        (240, 113, 120),
        (126, 200, 140),
        (230, 190, 110),
        (110, 170, 240),
        (200, 150, 230),
        (95, 205, 205),
        (222, 226, 230),
    ],
)
# Rich's own, less the web font: a page of ours asks nobody else for anything.
SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"
     aria-label="dayfly run in a terminal: a bar over the cells, the running cell, its last lines, the end">
<style>
.{unique_id}-matrix {{
 font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
 font-size: {char_height}px; line-height: {line_height}px; font-variant-ligatures: none;
}}
.{unique_id}-title {{ display: none; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def tmux(*arguments: str) -> str:
    """A tmux command on a server of our own; what it printed."""
    done = subprocess.run(
        ["tmux", "-L", "dayfly-picture", *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout


def wait_for(words: str) -> str:
    """The screen, as soon as these words are on it."""
    deadline = time.monotonic() + PATIENCE_S
    while words not in (screen := tmux("capture-pane", "-e", "-p", "-N")):
        if time.monotonic() > deadline:
            raise TimeoutError(screen)
        time.sleep(0.2)
    return screen


def take_screens(directory: Path) -> tuple[str, str]:
    """What the terminal shows in the middle of the run, and when it has ended."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    settings = ["PS1=$ ", f"PATH={path}", f"VIRTUAL_ENV={sys.prefix}"]
    shell = shlex.join(["env", *settings, "bash", "--norc", "-i"])
    size = ["-x", str(COLUMNS), "-y", str(LINES)]
    tmux("-f", os.devnull, "new-session", "-d", *size, "-c", str(directory), shell)
    try:
        wait_for("$ ")
        tmux("send-keys", COMMAND, "Enter")
        return wait_for(MOMENT), wait_for("next")
    finally:
        tmux("kill-server")


def lines_of(screen: str) -> list[Text]:
    """The lines with something on them, without the prompt that follows."""
    lines = Text.from_ansi(screen).split("\n")
    for line in lines:
        line.rstrip()
    return [line for line in lines if line.plain.strip() not in {"", "$"}]


def main() -> None:
    """Take the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", default=PICTURE)
    file = parser.parse_args().file
    with tempfile.TemporaryDirectory() as folder:
        demo = Path(folder, "demo")
        shutil.copytree(ROOT / "examples", demo, ignore=shutil.ignore_patterns("outputs"))
        (demo / "dayfly.toml").write_text("")
        during, after = take_screens(demo)
    console = Console(
        record=True,
        width=COLUMNS,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        highlight=False,
    )
    for line in lines_of(during):
        console.print(line, no_wrap=True, overflow="crop")
    console.print()
    console.print("and when it has ended:", style="dim italic")
    console.print()
    for line in lines_of(after)[1:]:
        console.print(line, no_wrap=True, overflow="crop")
    file.parent.mkdir(parents=True, exist_ok=True)
    svg = console.export_svg(title="", theme=THEME, code_format=SVG, unique_id="live")
    file.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
