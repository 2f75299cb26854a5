from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import dayfly
from dayfly.environment.layer import PARTS, layer_dockerfile, layer_files, write_layer_context

ROOT = Path(__file__).parents[3]


def test_the_lock_is_made_of_what_is_asked_for() -> None:
    """Else: uv run python scripts/layer_lock.py."""
    spec = importlib.util.spec_from_file_location("layer_lock", ROOT / "scripts" / "layer_lock.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert layer_files()["layer.lock"].decode().startswith(script.make_head())


def sources() -> dict[str, ast.Module]:
    """dayfly's own modules in the layer, as Python 3.10 reads them."""
    return {
        name: ast.parse(content, name, feature_version=(3, 10))
        for name, content in layer_files().items()
        if name.endswith(".py")
    }


def test_what_dayfly_imports_of_itself_in_the_layer_is_there() -> None:
    files = layer_files()
    missing = []
    for name, tree in sources().items():
        if name == "dayfly/__init__.py":  # for type checkers, and on demand
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dayfly."):
                path = (node.module or "").replace(".", "/")
                if f"{path}.py" not in files and f"{path}/__init__.py" not in files:
                    missing.append(f"{name}: {node.module}")
    assert missing == []


def test_the_parts_are_there() -> None:
    package = Path(dayfly.__file__).parent
    assert [part for part in PARTS if not (package / part).exists()] == []


def test_its_image_keeps_the_users_image_and_user() -> None:
    text = layer_dockerfile("me/it:1", "1000:1000")
    assert text.count("FROM me/it:1") == 2
    assert text.rstrip().endswith("USER 1000:1000")
    assert layer_dockerfile("me/it:1", "").rstrip().endswith("USER root")
    assert "ENTRYPOINT" not in text
    assert "CMD" not in text


def test_its_context_has_pip_dayfly_and_the_lock(tmp_path: Path) -> None:
    write_layer_context(tmp_path)
    for name in ("pip/__main__.py", "dayfly/runner/__main__.py", "layer.lock", "layer.sh"):
        assert (tmp_path / name).is_file(), name
    assert not list(tmp_path.rglob("__pycache__"))
    assert not (tmp_path / "dayfly" / "cli").exists()
