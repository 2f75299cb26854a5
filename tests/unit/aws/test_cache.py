from __future__ import annotations

import json
import threading
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dayfly.aws.cache import Cache, Fact, open_cache
from tests.unit.aws.stubbed import NOW, Clock, cache_in, stubbed_aws

HOUR = timedelta(hours=1)
Number = Fact[Decimal]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(tmp_path: Path, clock: Clock) -> Cache:
    return cache_in(tmp_path / "cache", clock)


def test_asks_once_while_the_fact_is_young_and_keeps_the_time_at_which_it_was_said(
    cache: Cache, clock: Clock
) -> None:
    asked: list[int] = []

    def load() -> Decimal:
        asked.append(1)
        return Decimal("0.4032")

    first = cache.remember("price", Number, max_age=HOUR, load=load)
    clock.pass_by(HOUR)
    second = cache.remember("price", Number, max_age=HOUR, load=load)
    assert (first, first.at, first.value, len(asked)) == (second, NOW, Decimal("0.4032"), 1)
    clock.pass_by(timedelta(seconds=1))
    assert cache.remember("price", Number, max_age=HOUR, load=load).at == NOW + HOUR + timedelta(seconds=1)
    assert len(asked) == 2


def test_keeps_nothing_of_a_call_that_failed(cache: Cache) -> None:
    def fail() -> Decimal:
        raise OSError("no network")

    with pytest.raises(OSError, match="no network"):
        cache.remember("price", Number, max_age=HOUR, load=fail)
    assert cache.find("price", Number, max_age=HOUR) is None


def test_a_fact_from_the_future_is_not_believed(cache: Cache, clock: Clock) -> None:
    """The clock was wrong when it was kept: it might never grow old."""
    clock.pass_by(timedelta(days=400))
    cache.save("price", Number, Decimal(1))
    clock.time = NOW
    assert cache.find("price", Number, max_age=HOUR) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary() | st.recursive(st.none() | st.text(), st.lists).map(lambda x: json.dumps(x).encode())
)
def test_a_damaged_file_is_as_good_as_none(cache: Cache, content: bytes) -> None:
    cache.save("price", Number, Decimal(1))
    [file] = cache.directory.iterdir()
    file.write_bytes(content)
    assert cache.find("price", Number, max_age=HOUR) is None
    assert cache.save("price", Number, Decimal(2)).value == 2
    assert cache.find("price", Number, max_age=HOUR) == Number(at=NOW, value=Decimal(2))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keys=st.lists(st.text(), min_size=2, max_size=2, unique=True))
def test_keys_of_any_text_are_files_of_their_own_inside_the_directory(cache: Cache, keys: list[str]) -> None:
    for number, key in enumerate(keys):
        cache.save(key, Number, Decimal(number))
    assert [cache.find(key, Number, max_age=HOUR) for key in keys] == [
        Number(at=NOW, value=Decimal(number)) for number in range(2)
    ]
    assert all(file.parent == cache.directory for file in cache.directory.rglob("*"))


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "file").touch()
    cache = cache_in(tmp_path / "file" / "below", clock)
    assert cache.remember("price", Number, max_age=HOUR, load=lambda: Decimal(3)).value == 3
    cache.forget("price")


def test_writers_and_readers_at_once_see_whole_facts(cache: Cache) -> None:
    kind, seen = Fact[list[int]], []
    cache.save("many", kind, [0] * 5000)

    def write(value: int) -> None:
        for _ in range(20):
            cache.save("many", kind, [value] * 5000)

    writers = [threading.Thread(target=write, args=(value,)) for value in (1, 2)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        seen.append(cache.find("many", kind, max_age=HOUR))
    for writer in writers:
        writer.join()
    seen.append(cache.find("many", kind, max_age=HOUR))
    assert all(fact is not None and len(fact.value) == 5000 and len(set(fact.value)) == 1 for fact in seen)
    assert [file.suffix for file in cache.directory.iterdir()] == [".json"]


def test_what_is_forgotten_is_asked_for_again(cache: Cache) -> None:
    cache.save("quota", Number, Decimal(5))
    cache.forget("quota")
    assert cache.find("quota", Number, max_age=HOUR) is None


def test_another_endpoint_has_a_cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an emulator says must not be taken for what AWS says."""
    environ = {"XDG_CACHE_HOME": str(tmp_path)}
    with stubbed_aws() as stubbed:
        real = open_cache(stubbed.aws, environ)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://localhost:5002/")
    with stubbed_aws() as stubbed:
        emulated = open_cache(stubbed.aws, environ)
    assert real.directory.name == "ec2.eu-central-1.amazonaws.com"
    assert emulated.directory.name == "localhost-5002"
    assert real.directory.parent == emulated.directory.parent == tmp_path / "dayfly" / "aws" / "v1"
