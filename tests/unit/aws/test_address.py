"""Port 22 is opened to one address."""

import pytest

from dayfly.aws.address import ssh_cidr
from dayfly.errors import UsageError


@pytest.mark.parametrize("text", ["203.0.113.7", "203.0.113.7/32"])
def test_one_address_is_taken(text: str) -> None:
    assert ssh_cidr(text) == "203.0.113.7/32"


@pytest.mark.parametrize("text", ["0.0.0.0/0", "203.0.113.0/24", "::1", "everybody", "", "203.0.113.7/32/32"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="IPv4"):
        ssh_cidr(text)
