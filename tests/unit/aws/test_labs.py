from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from dayfly.aws.boot import lab_context
from dayfly.aws.image_records import ImageRecord
from dayfly.aws.labs import (
    LabAsked,
    LabPlan,
    changed_files,
    fetch_work,
    find_lab,
    find_server,
    new_directory,
    plan_lab,
    wait_for_server,
)
from dayfly.aws.offers import Choice, Offer
from dayfly.aws.tasks import TaskPlace
from dayfly.errors import DamagedFileError, DayflyError, RunConflictError, StoreError, UsageError
from dayfly.project.settings import Settings
from dayfly.runs.request import ContainerUser
from dayfly.runs.store import Store, open_store
from tests.unit.aws.ecr_fakes import BASE, NOW, FakeEcr, aws_with
from tests.unit.aws.test_builds import HARDWARE, TYPE
from tests.unit.aws.test_image_records import BY_THE_IMAGE, DIGEST
from tests.unit.aws.test_tasks import PREFIX, Machine

ASKED = LabAsked(
    commit="c" * 40,
    base=None,
    record=ImageRecord.model_validate(BY_THE_IMAGE),
    user=ContainerUser(uid=1000, gid=100, name="me", home="/home/me"),
    timeout_s=3600,
    idle_s=600,
)
TOKEN = "0123456789abcdef" * 3


@pytest.fixture
def machine(store: Store) -> Machine:
    return Machine(store=store)


def planned(settings: Settings | None = None, gpus: int = 0) -> LabPlan:
    hardware = HARDWARE
    if gpus:
        hardware = replace(HARDWARE, choice=Choice(offer=Offer(type=replace(TYPE, gpus=gpus), price=None)))
    return plan_lab(aws_with(FakeEcr()), BASE, ASKED, hardware, settings or Settings(), owner="ada")


def serves(machine: Machine, place: TaskPlace) -> None:
    place.store.put(place.key("server.json"), json.dumps({"token": TOKEN, "port": 8888}).encode())
    machine.tell(type="step", step="started")


class TestThePlan:
    def test_a_lab_is_a_machine_that_is_open_to_nobody_and_ends(self) -> None:
        plan = planned()
        parameters = plan.machine.parameters(1)
        assert plan.machine.prefix == f"labs/{plan.request.lab_id}"
        assert plan.machine.deadline == NOW + timedelta(seconds=900 + 3600 + 300)
        assert parameters["InstanceProfile"] == BASE.lab_profile
        assert parameters["Image"] == f"{BASE.repository_uri}@{DIGEST}"
        assert parameters["User"] == "1000:100"
        assert parameters["IdleSeconds"] == "600"
        assert parameters["ContextSha256"] == lab_context()[1]
        assert (parameters["SshCidr"], parameters["KeyName"]) == ("", "")

    def test_a_machine_with_gpus_shows_them_all_unless_fewer_are_asked_for(self) -> None:
        assert planned().machine.parameters(1)["Gpus"] == ""
        assert planned(gpus=4).machine.parameters(1)["Gpus"] == "all"
        assert planned(Settings(gpus="2"), gpus=4).machine.parameters(1)["Gpus"] == "2"

    def test_no_token_is_in_what_is_asked(self) -> None:
        """JupyterLab's token is made on the machine."""
        plan = planned()
        assert "token" not in plan.request.to_bytes().decode().lower()
        assert "token" not in str(plan.machine.parameters(1)).lower()


class TestTheServer:
    def test_it_is_waited_for_while_the_machine_tells_what_it_does(self, machine: Machine) -> None:
        place, heard = machine.place(), list[str]()
        machine.does = [
            lambda: machine.tell(type="step", step="armed"),
            lambda: serves(machine, place),
        ]
        server = wait_for_server(machine.aws(), place, hear=lambda told: heard.append(told["step"]))
        assert (server.token, server.port) == (TOKEN, 8888)
        assert heard == ["armed", "started"]
        assert TOKEN not in repr(server)

    def test_a_lab_that_ends_before_it_answers_says_why(self, machine: Machine) -> None:
        place = machine.place()
        machine.end(state="failed", message="The image has no JupyterLab.")
        machine.tell(type="step", step="goodbye")
        with pytest.raises(DayflyError, match="ended before it answered") as caught:
            wait_for_server(machine.aws(), place, hear=lambda _: None)
        assert caught.value.why == "The image has no JupyterLab."

    @pytest.mark.parametrize("token", ["", "short", "0123456789abcdef/../x", "0123456789abcdef&next=//evil"])
    def test_a_token_that_could_be_more_than_a_token_is_refused(self, machine: Machine, token: str) -> None:
        """It becomes part of an address that a browser opens."""
        place = machine.place()
        place.store.put(place.key("server.json"), json.dumps({"token": token, "port": 8888}).encode())
        with pytest.raises(DamagedFileError):
            find_server(place)


class TestBringingHome:
    def test_what_was_changed_comes_into_a_folder_of_its_own(self, machine: Machine, tmp_path: Path) -> None:
        place = machine.place()
        machine.store.put(f"{PREFIX}/work/a.ipynb", b"{}")
        machine.store.put(f"{PREFIX}/work/src/b.py", b"b = 1\n")
        assert sorted(changed_files(place)) == ["a.ipynb", "src/b.py"]
        target = new_directory(tmp_path, "20261123-101502-lab-7f3a")
        assert sorted(fetch_work(place, target)) == [target / "a.ipynb", target / "src" / "b.py"]
        assert (target / "src" / "b.py").read_bytes() == b"b = 1\n"
        assert new_directory(tmp_path, "20261123-101502-lab-7f3a") != target

    def test_a_folder_that_is_there_is_not_written_to(self, machine: Machine, tmp_path: Path) -> None:
        machine.store.put(f"{PREFIX}/work/a", b"1")
        (tmp_path / "there").mkdir()
        with pytest.raises(RunConflictError, match="in the way"):
            fetch_work(machine.place(), tmp_path / "there")

    def test_a_key_cannot_lead_out_of_it(self, tmp_path: Path) -> None:
        store = open_store("memory://")
        store.put(f"{PREFIX}/work/a\\..\\..\\x", b"1")
        place = TaskPlace(store=store, prefix=PREFIX, deadline=NOW)
        with pytest.raises(StoreError, match="leads out"):
            list(fetch_work(place, tmp_path / "new"))
        assert not (tmp_path / "new").exists()


def test_a_lab_that_nobody_has_begun_is_told(store: Store) -> None:
    with pytest.raises(UsageError, match="There is no lab"):
        find_lab(store, "20261123-101502-lab-7f3a")


def test_a_lab_is_found_again(store: Store) -> None:
    plan = planned()
    store.put(f"{plan.machine.prefix}/request.json", plan.request.to_bytes())
    request, place = find_lab(store, plan.request.lab_id)
    assert request == plan.request
    assert place.deadline == plan.machine.deadline
