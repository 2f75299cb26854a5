"""The containers of a rehearsal's instances, with an engine and an API of paper."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

from dayfly.rehearsal.instances import Machine, boot_instances
from dayfly.rehearsal.surroundings import Surroundings
from tests.helpers import PATIENCE_S, wait_for

INSTANCE = {"InstanceId": "i-1", "State": "running", "PrivateDnsName": "ip-10-0-0-1.ec2.internal"}
CONTAINER = "rehearsal-i-1"


class SlowToList:
    """An engine whose first listing was made before a container began, and is heard of after."""

    def __init__(self) -> None:
        self.listings = 0
        self.asked_to_list = threading.Event()
        self.machine_known = threading.Event()

    def run(self, arguments: Sequence[str]) -> str:
        if arguments[0] == "run":
            assert self.asked_to_list.wait(PATIENCE_S)
        if arguments[0] != "ps":
            return ""
        self.listings += 1
        if self.listings > 1:
            return f"{CONTAINER}\n"
        self.asked_to_list.set()
        assert self.machine_known.wait(PATIENCE_S)
        return ""

    def inspect(self, kind: str, name: str) -> dict[str, Any]:
        assert (kind, name) == ("container", CONTAINER)
        return {"NetworkSettings": {"Networks": {"rehearsal": {"IPAddress": "10.0.0.9"}}}}

    def try_run(self, arguments: Sequence[str]) -> SimpleNamespace:
        del arguments
        return SimpleNamespace(stdout="")


def surroundings(engine: SlowToList) -> Surroundings:
    def tell(**what: Any) -> None:
        assert what["do"] == "instance", "nobody is forgotten"
        engine.machine_known.set()

    def ask(method: str, path: str, body: Any) -> None:
        assert (method, body.get("state")) == ("POST", None), path

    fake = SimpleNamespace(
        docker=engine,
        emulator=SimpleNamespace(instances=lambda: [INSTANCE], ask=ask),
        tell=tell,
        environ=lambda: {"SSL_CERT_FILE": "/bundle.pem"},
        certificate=SimpleNamespace(bundle="/bundle.pem"),
        rehearsal_id="rehearsal",
        network="rehearsal",
        address="10.0.0.1",
        image="image",
    )
    return cast("Surroundings", fake)


def test_a_machine_that_is_switched_on_while_the_engine_lists_is_not_taken_for_one_that_is_off() -> None:
    engine = SlowToList()
    with boot_instances(surroundings(engine)) as instances:

        def begun() -> Machine | None:
            machine = instances.of("i-1")
            return machine if machine is not None and machine.address and engine.listings > 2 else None

        machine = wait_for(begun, "looks at the machine after it began")
        assert machine is not None
        assert (machine.gone, machine.ended, instances.problem) == (None, "", None)
