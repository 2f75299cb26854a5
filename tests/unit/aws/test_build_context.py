from __future__ import annotations

import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from dayfly.aws.build_context import (
    BuildContext,
    layer_dockerfile_for_any_user,
    write_build_context,
)
from dayfly.environment.plan import ImagePlan, plan_image
from dayfly.errors import ImageError
from dayfly.project.settings import ImageSettings
from dayfly.snapshot.names import allow

DOCKERFILE = "FROM python\nARG V=1\nCOPY requirements.txt src/ /x/\nUSER me\n"
# Split, so that this file holds no key itself.
AWS_KEY = "AKIA" + "IOSFODNN7" + "ABCDEFG"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "src").mkdir(parents=True)
    (root / "Dockerfile").write_text(DOCKERFILE)
    (root / "requirements.txt").write_text("pandas\n")
    (root / "src" / "b.sh").write_text("#!/bin/sh\n")
    (root / "src" / "b.sh").chmod(0o755)
    (root / "src" / "a.py").write_text("a = 1\n")
    (root / "src" / "link").symlink_to("a.py")
    (root / "notebook.ipynb").write_text("{}")
    return root


def planned(root: Path, **settings: object) -> ImagePlan:
    return plan_image(root, ImageSettings(**settings), platform="linux/amd64")


def write(plan: ImagePlan, target: Path, **changes: object) -> BuildContext:
    arguments: dict[str, object] = {
        "tag": plan.key[:16],
        "allowed": allow(()),
        "root": plan.context,
        "script": b"#!/bin/sh\n",
        **changes,
    }
    return write_build_context(plan, target, **arguments)  # type: ignore[arg-type]


def read(archive: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(archive) as opened:
        return {one.name: one for one in opened}


def content(archive: Path, name: str) -> str:
    with tarfile.open(archive) as opened:
        file = opened.extractfile(name)
        assert file is not None
        return file.read().decode()


def test_it_holds_what_the_dockerfile_takes_and_nothing_else_of_the_project(
    project: Path, tmp_path: Path
) -> None:
    written = write(planned(project), tmp_path / "c.tar.gz")
    entries = read(tmp_path / "c.tar.gz")
    of_the_project = {name for name in entries if name.startswith("base/context/")}
    assert of_the_project == {
        f"base/context/{name}" for name in ("requirements.txt", "src", "src/a.py", "src/b.sh", "src/link")
    }
    assert (written.files, written.files_bytes) == (3, len("pandas\n#!/bin/sh\na = 1\n"))
    assert entries["base/context/src/b.sh"].mode == 0o755
    assert entries["base/context/src/link"].linkname == "a.py"
    assert content(tmp_path / "c.tar.gz", "base/Dockerfile") == DOCKERFILE
    assert {"build.sh", "layer/Dockerfile", "layer/context/layer.sh", "layer/context/pip"} <= set(entries)


def test_the_plan_is_lines_that_a_shell_can_take_for_nothing_but_values(
    project: Path, tmp_path: Path
) -> None:
    plan = planned(project, target=None, network="host")
    write(plan, tmp_path / "c.tar.gz")
    lines = dict(line.split("=", 1) for line in content(tmp_path / "c.tar.gz", "plan.env").splitlines())
    assert lines.pop("DAYFLY_VERSION")
    assert lines == {
        "DAYFLY_KEY": plan.key,
        "DAYFLY_BASE_KEY": plan.base_key,
        "DAYFLY_NAME": "dayfly/project",
        "DAYFLY_TAG": plan.key[:16],
        "DAYFLY_BASE_TAG": plan.base_tag,
        "DAYFLY_PLATFORM": "linux/amd64",
        "DAYFLY_TARGET": "",
        "DAYFLY_NETWORK": "host",
    }


def test_the_same_project_makes_the_same_archive(project: Path, tmp_path: Path) -> None:
    """Whoever's the files are, and however old."""
    first = write(planned(project), tmp_path / "1.tar.gz")
    os.utime(project / "src" / "a.py", (1, 1))
    (project / "src" / "a.py").chmod(0o600)
    second = write(planned(project), tmp_path / "2.tar.gz")
    assert first == second
    assert (tmp_path / "1.tar.gz").read_bytes() == (tmp_path / "2.tar.gz").read_bytes()
    assert {(one.uid, one.gid, one.mtime, one.uname) for one in read(tmp_path / "1.tar.gz").values()} == {
        (0, 0, 0, "")
    }


def test_build_arguments_are_lines_and_may_hold_what_a_shell_would_act_on(
    project: Path, tmp_path: Path
) -> None:
    write(planned(project, build_args={"V": "$(reboot) 'x' = 1", "A": ""}), tmp_path / "c.tar.gz")
    assert content(tmp_path / "c.tar.gz", "base/build-args") == "A=\nV=$(reboot) 'x' = 1\n"


@pytest.mark.parametrize("arguments", [{"V": "1\nW=2"}, {"V": "1\r"}, {"A B": "1"}, {"": "1"}])
def test_a_build_argument_that_could_be_two_is_refused(
    project: Path, tmp_path: Path, arguments: dict[str, str]
) -> None:
    plan = replace(planned(project), build_args=arguments)
    with pytest.raises(ImageError, match="cannot be carried to a machine"):
        write(plan, tmp_path / "c.tar.gz")


@pytest.mark.parametrize("network", ["host; reboot", "$(reboot)", "a\nDAYFLY_KEY=1", "`x`", "'"])
def test_a_setting_that_a_shell_could_take_for_more_is_refused(
    project: Path, tmp_path: Path, network: str
) -> None:
    with pytest.raises(ImageError, match="is no network"):
        write(planned(project, network=network), tmp_path / "c.tar.gz")


def test_a_file_with_the_name_of_a_secret_stops_the_build_with_its_name(
    project: Path, tmp_path: Path
) -> None:
    (project / "src" / "server.pem").write_text("x")
    with pytest.raises(ImageError, match=r"src/server\.pem looks like a secret") as caught:
        write(planned(project), tmp_path / "c.tar.gz")
    assert 'allow_secrets = ["/src/server.pem"]' in caught.value.hint
    write(planned(project), tmp_path / "c.tar.gz", allowed=allow(["/src/server.pem"]))


def test_a_file_that_holds_a_secret_stops_the_build_with_its_line(project: Path, tmp_path: Path) -> None:
    (project / "src" / "a.py").write_text(f'a = 1\nkey = "{AWS_KEY}"\n')
    with pytest.raises(ImageError, match=r"src/a\.py, line 2") as caught:
        write(planned(project), tmp_path / "c.tar.gz")
    assert AWS_KEY not in str(caught.value)


def test_the_dockerfile_is_looked_at_as_well(project: Path, tmp_path: Path) -> None:
    (project / "Dockerfile").write_text(f"{DOCKERFILE}ENV K={AWS_KEY}\n")
    with pytest.raises(ImageError, match="Dockerfile, line 5"):
        write(planned(project), tmp_path / "c.tar.gz")


def test_a_secret_as_a_build_argument_is_refused_without_being_told(project: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="The build argument V looks like a secret") as caught:
        write(planned(project, build_args={"V": AWS_KEY, "A": "1"}), tmp_path / "c.tar.gz")
    assert AWS_KEY not in str(caught.value)


def test_a_context_that_is_too_large_names_its_largest_files(project: Path, tmp_path: Path) -> None:
    (project / "src" / "data.bin").write_bytes(bytes(5000))
    with pytest.raises(ImageError, match=r"it may have 0\.0 MB") as caught:
        write(planned(project), tmp_path / "c.tar.gz", size_limit=4000)
    assert "src/data.bin" in caught.value.why


def test_the_layers_user_is_an_argument_and_no_text_of_its_dockerfile() -> None:
    """The machine learns it from the image below; a builder puts it in, not a shell."""
    text = layer_dockerfile_for_any_user("dayfly/it:base-1")
    assert text.rstrip().endswith("ARG DAYFLY_USER=root\nUSER ${DAYFLY_USER}")
    assert text.count("ARG") == 1
    assert "--mount" not in text


def test_a_made_dockerfile_needs_no_buildkit_on_the_machine(tmp_path: Path) -> None:
    root = tmp_path / "p"
    root.mkdir()
    (root / "requirements.txt").write_text("pandas\n")
    write(planned(root), tmp_path / "c.tar.gz")
    assert "--mount" not in content(tmp_path / "c.tar.gz", "base/Dockerfile")
