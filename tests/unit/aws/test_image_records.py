from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dayfly.aws.image_records import (
    ImageRecord,
    find_image_record,
    load_image_record,
    make_image_record,
    put_image_record,
)
from dayfly.environment.facts import ImageFacts, ImagePython, ImageUser
from dayfly.environment.image import Image
from dayfly.errors import DamagedFileError, ImageError
from dayfly.runner.kernelspecs import KernelSpec
from dayfly.runs.layout import image_key
from dayfly.runs.store import Store

KEY = "0123456789abcdef" * 4
DIGEST = "sha256:" + "ab" * 32
NOW = datetime(2026, 11, 23, 10, 15, tzinfo=UTC)
IMAGE = Image(
    tag="dayfly/it:0123456789abcdef",
    id="sha256:1",
    key=KEY,
    platform="linux/arm64",
    size_bytes=123,
    created=NOW,
    project="dayfly/it",
)
FACTS = ImageFacts(
    user=ImageUser(name="me", uid=1000, gid=100, home="/home/me"),
    python=ImagePython(executable="/opt/venv/bin/python", prefix="/opt/venv", version="3.12.1"),
    kernels={
        "python3": KernelSpec(
            name="python3",
            argv=("python", "-m", "ipykernel_launcher", "-f", "{connection_file}"),
            display_name="Python 3",
            language="python",
            env={"A": "b"},
            directory=Path("/opt/venv/share/jupyter/kernels/python3"),
        )
    },
    packages={"pandas": "3.0"},
)
BY_THE_IMAGE: dict[str, Any] = {
    "key": KEY,
    "tag": "0123456789abcdef",
    "digest": DIGEST,
    "platform": "linux/amd64",
    "size_bytes": 5,
    "pushed": "2026-11-23T10:15:00Z",
    "user": {"name": "me", "uid": 1, "gid": 2, "home": "/home/me"},
    "python": {"executable": "/p", "prefix": "/", "version": "3.12.1"},
    "kernels": [
        {
            "name": "ir",
            "argv": ["R"],
            "display_name": "R",
            "language": "R",
            "interrupt_mode": "signal",
            "env": {},
            "directory": None,
        }
    ],
    "packages": {"jupyterlab": "4.5"},
}


def written(store: Store, **changes: Any) -> None:
    store.put(image_key(KEY), json.dumps({**BY_THE_IMAGE, **changes}).encode())


def test_what_was_known_of_a_pushed_image_is_read_again(store: Store) -> None:
    record = make_image_record(IMAGE, FACTS, tag="0123456789abcdef", digest=DIGEST, pushed=NOW)
    put_image_record(store, record)
    found = load_image_record(store, KEY)
    assert found == record
    assert found.facts() == FACTS
    assert found.reference("1.dkr.ecr.eu-west-1.amazonaws.com/dayfly/it") == (
        f"1.dkr.ecr.eu-west-1.amazonaws.com/dayfly/it@{DIGEST}"
    )


def test_a_record_may_hold_the_words_of_the_image_itself(store: Store) -> None:
    """A machine that built it writes what `dayfly.runner.probe` printed, kernels in a list."""
    written(store, something_newer="x")
    facts = load_image_record(store, KEY).facts()
    assert facts.kernels["ir"].argv == ("R",)
    assert facts.packages == {"jupyterlab": "4.5"}


def test_an_image_that_nobody_has_pushed_has_no_record(store: Store) -> None:
    assert find_image_record(store, KEY) is None
    with pytest.raises(ImageError, match="not in its image repository") as caught:
        load_image_record(store, KEY)
    assert "dayfly image build --on ec2" in caught.value.hint
    with pytest.raises(ImageError, match="image for arm64 is not in") as caught:
        load_image_record(store, KEY, arch="arm64")
    assert "DAYFLY_ARCH=arm64 dayfly image build --on ec2" in caught.value.hint


def test_a_record_of_a_newer_dayfly_is_told_in_words(store: Store) -> None:
    """Whatever else it may hold, it is not taken for damaged."""
    store.put(image_key(KEY), b'{"version": 2, "kernels": 7}')
    with pytest.raises(ImageError, match="written by a newer dayfly") as caught:
        find_image_record(store, KEY)
    assert "version 2" in caught.value.why


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"key": "x"}'])
def test_a_damaged_record_names_its_file(store: Store, data: bytes) -> None:
    store.put(image_key(KEY), data)
    with pytest.raises(DamagedFileError, match=f"images/{KEY}"):
        find_image_record(store, KEY)


@pytest.mark.parametrize("digest", ["latest", "sha256:12", DIGEST + "\n"])
def test_an_image_is_named_by_a_whole_digest_and_nothing_else(store: Store, digest: str) -> None:
    written(store, digest=digest)
    with pytest.raises(DamagedFileError, match="damaged"):
        find_image_record(store, KEY)


def test_a_record_of_another_image_is_not_taken_for_this_ones(store: Store) -> None:
    written(store, key="f" * 64)
    with pytest.raises(DamagedFileError, match="damaged"):
        find_image_record(store, KEY)


@pytest.mark.parametrize(
    ("changes", "words"), [({"python": None}, "no Python"), ({"kernels": []}, "no Jupyter kernel")]
)
def test_an_image_that_is_of_no_use_is_told_as_on_a_laptop_with_docker(
    changes: dict[str, Any], words: str
) -> None:
    record = ImageRecord.model_validate({**BY_THE_IMAGE, **changes})
    with pytest.raises(ImageError, match=words):
        record.facts()
