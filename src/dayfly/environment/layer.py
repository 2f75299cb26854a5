"""dayfly's layer: the last one of every image, with the runner and what it needs, and nothing of the user's.

The layer is a virtual environment in /opt/dayfly, made of the image's own Python. Its packages are
locked, with hashes; dayfly itself is copied from here, so that it is exactly the version at work.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Mapping
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from dayfly.errors import ImageError

PYTHON = "/opt/dayfly/bin/python"
"""dayfly's own Python in an image."""
PARTS = (
    "__init__.py",
    "_version.py",
    "py.typed",
    "errors.py",
    "runs",
    "runner",
    "keeper",
    "snapshot/__init__.py",
    "snapshot/packfile.py",
    "snapshot/paths.py",
    "snapshot/unpack.py",
    "backends/__init__.py",
    "backends/checkout.py",
    "backends/batch_process.py",
    "backends/container_process.py",
)
"""What of dayfly goes along: what runs in a container. A change elsewhere makes no image anew."""
CACHE_MOUNT = "--mount=type=cache,target=/root/.cache/pip "
_OWN = ("layer.sh", "layer.lock", "layer.Dockerfile")


def layer_dockerfile(base: str, user: str) -> str:
    """The Dockerfile of the layer on the image `base`, whose user is `user`."""
    return _own("layer.Dockerfile").decode().format(base=base, user=user or "root")


@functools.cache
def layer_files() -> Mapping[str, bytes]:
    """What determines the layer, by path: its recipe, its lock and dayfly's own sources."""
    files = {name: _own(name) for name in _OWN}
    package = Path(__file__).parents[1]
    for part in PARTS:
        path = package / part
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                files[f"dayfly/{file.relative_to(package).as_posix()}"] = file.read_bytes()
    return files


def write_layer_context(directory: Path) -> None:
    """Write the layer's build context: its files, and the pip that installs them."""
    for name, content in layer_files().items():
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    found = find_spec("pip")
    if found is None or not found.submodule_search_locations:
        raise ImageError(
            "dayfly's layer cannot be made: there is no pip beside dayfly.",
            why="It installs what dayfly needs in the image.",
            hint="Install dayfly again, with what it depends on.",
        )
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(found.submodule_search_locations[0], directory / "pip", ignore=ignored)


def _own(name: str) -> bytes:
    return resources.files("dayfly.environment").joinpath(name).read_bytes()
