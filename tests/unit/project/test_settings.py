import json

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from dayfly.project.settings import Settings, json_schema


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_the_schema_is_json() -> None:
    assert json.loads(json.dumps(json_schema())) == json_schema()


def test_every_setting_says_what_it_means() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_no_setting_must_be_given() -> None:
    assert Settings().model_dump()["kernel_transport"] == "ipc"


@pytest.mark.parametrize("name", ["memory", "disk"])
def test_a_machine_of_a_few_bytes_is_a_unit_forgotten(name: str) -> None:
    with pytest.raises(ValueError, match="should have a unit: 32 is a number of bytes"):
        Settings.model_validate({name: "32"})


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"timeout": "2h", "output_limit": "1GB"},
        {"timeout": 7200, "allow_errors": True},
        {"store": "s3://b"},
    ],
)
def test_what_dayfly_takes_the_schema_takes(
    validator: Draft202012Validator, table: dict[str, object]
) -> None:
    Settings.model_validate(table)
    validator.validate(table)


@pytest.mark.parametrize("table", [{"timout": 5}, {"kernel_transport": "udp"}, {"timeout": []}, {"store": 5}])
def test_what_dayfly_refuses_the_schema_refuses(
    validator: Draft202012Validator, table: dict[str, object]
) -> None:
    assert not validator.is_valid(table)
