"""What `dayfly cloud up` writes into the project's file."""

from pathlib import Path

import pytest

from dayfly.errors import ConfigError
from dayfly.project.edit import edit_table
from dayfly.project.load import load_project

VALUES = {"region": "eu-central-1", "bucket": "dayfly-x"}
WRITTEN = """\
# Ours.
timeout = "2h"   # long enough

[aws] # the cloud
profile = "lab"   # of the group
region = "eu-central-1"
bucket = "dayfly-x"

[image]
dockerfile = "Dockerfile"
"""


def test_comments_order_and_what_else_is_there_stay(tmp_path: Path) -> None:
    file = tmp_path / "dayfly.toml"
    file.write_text(
        WRITTEN.replace('region = "eu-central-1"\nbucket = "dayfly-x"\n', 'region = "us-east-1"\n'), "utf-8"
    )
    assert edit_table(file, tmp_path, "aws", VALUES) == file
    assert file.read_text("utf-8") == WRITTEN


def test_nothing_is_written_when_all_of_it_is_there(tmp_path: Path) -> None:
    file = tmp_path / "dayfly.toml"
    file.write_text(WRITTEN, "utf-8")
    file.chmod(0o400)
    assert edit_table(file, tmp_path, "aws", VALUES) is None


def test_a_project_without_a_file_gets_one_that_can_be_loaded(tmp_path: Path) -> None:
    assert edit_table(None, tmp_path, "aws", VALUES) == tmp_path / "dayfly.toml"
    assert load_project(tmp_path, {}).settings.aws.bucket == "dayfly-x"


@pytest.mark.parametrize("before", ["", '[tool.dayfly]\ntimeout = "2h"\n', "[tool.other]\nx = 1\n"])
def test_settings_in_pyproject_go_below_its_own_table(tmp_path: Path, before: str) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text('[project]\nname = "x"\n\n' + before, "utf-8")
    assert edit_table(file, tmp_path, "aws", VALUES) == file
    assert file.read_text("utf-8").startswith('[project]\nname = "x"\n\n' + before)
    assert load_project(tmp_path, {}).settings.aws.region == "eu-central-1"


def test_a_damaged_file_is_named_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "dayfly.toml"
    file.write_text("timeout = \n", "utf-8")
    with pytest.raises(ConfigError, match=r"dayfly\.toml is not valid TOML"):
        edit_table(file, tmp_path, "aws", VALUES)
    assert file.read_text("utf-8") == "timeout = \n"
    assert [one.name for one in tmp_path.iterdir()] == ["dayfly.toml"]


def test_the_file_keeps_its_mode_and_the_link_that_leads_to_it(tmp_path: Path) -> None:
    real = tmp_path / "real.toml"
    real.write_text('timeout = "1h"\n', "utf-8")
    real.chmod(0o640)
    link = tmp_path / "dayfly.toml"
    link.symlink_to(real)
    edit_table(link, tmp_path, "aws", VALUES)
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert "eu-central-1" in real.read_text("utf-8")
