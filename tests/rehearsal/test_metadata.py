"""The metadata service as a booted instance, a container in it, and a notebook meet it (SECURITY 2)."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from dayfly.rehearsal.session import Rehearsal
from tests.helpers import output_of, text_of
from tests.rehearsal.permissions_bench import (
    GONE_WITHIN_S,
    TRIES,
    Inside,
    a_notebook,
    two_instances,
    with_aws,
)
from tests.rehearsal.rehearsed import Rehearsed

SERVICE = "http://169.254.169.254/latest"
# So long an answer is waited for that must come, on a computer that has other things to do.
ASK = f"curl -sS -m 30 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' {SERVICE}/api/token"
ASK_IN_VAIN = ASK.replace("-m 30", "-m 3")
GET = f'curl -sS -m 30 -H "X-aws-ec2-metadata-token: $token" {SERVICE}'
# An image with curl alone, of the instance's own files: nothing is fetched.
MAKE_CURL = """\
until docker version >/dev/null 2>&1; do sleep 0.2; done
curl=$(command -v curl)
tar -chf - "$curl" $(ldd "$curl" | grep -o '/[^ ]*') 2>/dev/null | docker import - curl >/dev/null
"""
TIMED_OUT = 28


@pytest.fixture(scope="module")
def standing(rehearsal: Rehearsal) -> Iterator[dict[str, Inside]]:
    with two_instances(rehearsal) as found:
        yield found


def test_the_instance_gets_a_token_and_its_own_name(standing: dict[str, Inside]) -> None:
    for inside in standing.values():
        said = inside.sh(f"token=$({ASK}) && {GET}/meta-data/instance-id")
        assert said == inside.instance_id
    assert inside.sh(f"curl -s -o /dev/null -w '%{{http_code}}' {SERVICE}/meta-data/") == "401"


def test_a_token_of_one_instance_is_of_no_use_to_another(standing: dict[str, Inside]) -> None:
    token = standing["Run"].sh(ASK)
    status = "-o /dev/null -w '%{http_code}'"
    assert standing["Run"].sh(f"token={token}; {GET}/meta-data/ {status}") == "200"
    assert standing["Access"].sh(f"token={token}; {GET}/meta-data/ {status}") == "401"


def test_its_user_data_is_what_it_was_booted_with(standing: dict[str, Inside]) -> None:
    inside = standing["Run"]
    said = inside.sh(f"token=$({ASK}) && {GET}/user-data")
    assert said == "#!/bin/sh\nsystemctl start docker\n"
    ran = inside.sh("cat /var/lib/cloud/instance/scripts/part-001 && cloud-init query platform")
    assert ran.startswith(said)
    assert ran.endswith("ec2\n")


def test_with_one_hop_the_answer_reaches_no_container_and_with_two_it_does(
    standing: dict[str, Inside],
) -> None:
    """The connection is made, the request arrives, and its answer dies at the instance's bridge."""
    for name, reaches in {"Run": False, "Access": True}.items():
        inside = standing[name]
        inside.sh(MAKE_CURL)
        run, ask = "docker run --rm", ASK if reaches else ASK_IN_VAIN
        from_bridge = f"{run} curl $(command -v curl) {ask.removeprefix('curl ')}"
        assert (inside.sh(from_bridge, code=0 if reaches else TIMED_OUT) != "") is reaches
        from_host = f"{run} --network host curl $(command -v curl) {ASK.removeprefix('curl ')}"
        assert inside.sh(from_host) != "", "the keeper's container is on the instance's own network"


def test_while_the_service_is_down_nothing_answers(rehearsal: Rehearsal, standing: dict[str, Inside]) -> None:
    inside = standing["Run"]
    rehearsal.around.tell(do="metadata", answers=False)
    try:
        assert inside.sh(ASK_IN_VAIN, code=None) == ""
    finally:
        rehearsal.around.tell(do="metadata", answers=True)
    assert inside.sh(ASK) != ""


def test_a_roles_credentials_rotate_and_the_old_ones_go_on(
    rehearsal: Rehearsal, standing: dict[str, Inside]
) -> None:
    inside = standing["Run"]
    role = f"{SERVICE}/meta-data/iam/security-credentials/{rehearsal.base.run_profile}"
    ask = f'token=$({ASK}) && curl -sS -H "X-aws-ec2-metadata-token: $token" {role}'
    first = json.loads(inside.sh(ask))
    assert json.loads(inside.sh(ask)) == first
    rehearsal.around.tell(do="credentials", address=inside.machine.address, lifetime_s=1200)
    second = json.loads(inside.sh(ask))
    assert second["AccessKeyId"] != first["AccessKeyId"]
    for one in (first, second):
        keys = {
            "AWS_ACCESS_KEY_ID": one["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": one["SecretAccessKey"],
            "AWS_SESSION_TOKEN": one["Token"],
        }
        named = " ".join(f"{name}={value}" for name, value in keys.items())
        who = inside.sh(f"{named} aws sts get-caller-identity --query Arn --output text")
        assert who.strip().endswith(f"assumed-role/{rehearsal.base.run_profile}/{inside.instance_id}")


def test_a_spot_notice_is_there_when_it_is_given(rehearsal: Rehearsal, standing: dict[str, Inside]) -> None:
    inside = standing["Access"]
    ask = f"token=$({ASK}) && {GET}/meta-data/spot/instance-action -w ' %{{http_code}}'"
    assert inside.sh(ask) == " 404"
    rehearsal.around.tell(do="spot", address=inside.machine.address, time="2026-11-23T10:02:00Z")
    said, _, status = inside.sh(ask).rpartition(" ")
    assert (json.loads(said)["action"], status) == ("terminate", "200")


def test_a_notebook_has_credentials_where_its_project_asks_for_them(rehearsed: Rehearsed) -> None:
    """That it has none elsewhere: test_canary.py."""
    with a_notebook(rehearsed, "tries", TRIES), with_aws(rehearsed, access=True):
        run = rehearsed.submit("tries", "--dirty")
    rehearsed.gone(run, within_s=GONE_WITHIN_S)
    found = json.loads(text_of(output_of(run).cells[0]))
    assert found == {"environ": [], "role": rehearsed.rehearsal.base.access_profile}
