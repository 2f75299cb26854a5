"""The emulated AWS itself: each behaviour that dayfly has added to ministack, as a specification."""

from __future__ import annotations

from dayfly.aws.client import Aws
from dayfly.rehearsal.emulator import Emulator
from dayfly.runs.store import open_store


def test_answers_as_root(aws: Aws, emulator: Emulator) -> None:
    assert aws.sts.get_caller_identity()["Account"] == emulator.account


def test_serves_a_store_over_tls_to_obstore(aws: Aws) -> None:
    aws.s3.create_bucket(Bucket="a-store")
    store = open_store("s3://a-store")
    store.put("runs/a", b"1")
    assert [entry.key for entry in store.list("")] == ["runs/a"]
