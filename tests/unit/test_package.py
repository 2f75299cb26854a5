import subprocess
import sys

import pytest

import dayfly


@pytest.mark.parametrize("name", dayfly.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(dayfly, name) is not None


def test_any_other_name_is_not() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = dayfly.nothing


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("dayfly", ["pydantic", "obstore", "nbformat"]),
        ("dayfly.cli.app", ["nbclient", "nbformat", "nbconvert", "boto3", "papermill"]),
        ("dayfly.runner.main", ["pydantic", "nbclient", "nbformat", "zmq", "obstore"]),
        ("dayfly.runs.catalog", ["nbformat", "boto3", "nbclient"]),
    ],
)
def test_what_must_start_at_once_imports_nothing_heavy(module: str, heavy: list[str]) -> None:
    """The kernel process starts before the runner's own imports; `dayfly --help` pays for none of them."""
    program = f"import sys, {module}; print(*[name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True, timeout=60
    )
    assert done.stdout.split() == []
