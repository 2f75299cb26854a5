from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.environment.plan import ImagePlan, default_name, plan_image
from dayfly.errors import ImageError
from dayfly.project.settings import ImageSettings

DOCKERFILE = "FROM python\nARG V=1\nCOPY requirements.txt src/ /x/\n"
FILES = {
    "Dockerfile": DOCKERFILE,
    "requirements.txt": "pandas\n",
    "src/a.py": "a = 1\n",
    "src/b.sh": "#!/bin/sh\n",
    "notebook.ipynb": "{}",
    "data/x.csv": "1\n",
}


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def plan(root: Path, *, platform: str = "linux/amd64", **settings: Any) -> ImagePlan:
    return plan_image(root, ImageSettings(**settings), platform=platform)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write(tmp_path / "My Project!", FILES)


class TestTheKeyChangesWith:
    @pytest.mark.parametrize("name", ["Dockerfile", "requirements.txt", "src/a.py"])
    def test_what_the_dockerfile_takes(self, project: Path, name: str) -> None:
        before = plan(project).key
        (project / name).write_text((project / name).read_text() + "\n")
        assert plan(project).key != before

    def test_a_new_file_in_a_folder_that_is_copied(self, project: Path) -> None:
        before = plan(project).key
        (project / "src" / "new.py").touch()
        assert plan(project).key != before

    def test_a_file_that_gets_another_name(self, project: Path) -> None:
        before = plan(project).key
        (project / "src" / "a.py").rename(project / "src" / "c.py")
        assert plan(project).key != before

    def test_the_executable_bit(self, project: Path) -> None:
        before = plan(project).key
        (project / "src" / "b.sh").chmod(0o755)
        assert plan(project).key != before

    def test_a_link_that_leads_elsewhere(self, project: Path) -> None:
        link = project / "src" / "link"
        link.symlink_to("a.py")
        before = plan(project).key
        link.unlink()
        link.symlink_to("b.sh")
        assert plan(project).key != before

    def test_a_build_argument_that_is_declared(self, project: Path) -> None:
        assert plan(project, build_args={"V": "2"}).key != plan(project).key

    def test_platform_and_target(self, project: Path) -> None:
        (project / "Dockerfile").write_text(DOCKERFILE.replace("python\n", "python AS one\n"))
        keys = {plan(project).key, plan(project, platform="linux/arm64").key, plan(project, target="one").key}
        assert len(keys) == 3


class TestTheKeyStaysWith:
    def test_files_that_are_not_copied(self, project: Path) -> None:
        before = plan(project)
        (project / "notebook.ipynb").write_text('{"cells": []}')
        (project / "data" / "y.csv").touch()
        assert plan(project) == before

    def test_files_that_dockerignore_leaves_out(self, project: Path) -> None:
        (project / ".dockerignore").write_text("**/*.log\n")
        before = plan(project).key
        (project / "src" / "x.log").touch()
        assert plan(project).key == before

    def test_another_place_time_order_and_umask(self, project: Path, tmp_path: Path) -> None:
        other = tmp_path / "elsewhere" / "My Project!"
        for name in reversed(FILES):
            (other / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(project / name, other / name)
            (other / name).chmod(0o600)
            os.utime(other / name, (1, 1))
        assert plan(other).key == plan(project).key

    def test_a_build_argument_that_nobody_reads(self, project: Path) -> None:
        assert plan(project, build_args={"W": "2"}).key == plan(project).key

    def test_its_own_default_for_a_build_argument_is_another_request(self, project: Path) -> None:
        """One build too many: defaults may be made of what only the builder knows."""
        assert plan(project, build_args={"V": "1"}).key != plan(project).key

    def test_other_words_for_the_platform(self, project: Path) -> None:
        assert plan(project, platform="linux/x86_64").key == plan(project).key


@given(
    st.dictionaries(
        st.sampled_from(["a", "b.py", "src/c", "src/d/e", "src/f.log", "data/g", "nb.ipynb"]),
        st.text(max_size=5),
        min_size=1,
    ),
    st.sampled_from(["src", "*.py", "data src", "src/d", "."]),
    st.sampled_from(["", "**/*.log", "src\n!src/c", "*.ipynb"]),
    st.data(),
)
def test_a_change_of_a_file_changes_the_key_exactly_when_the_file_determines_the_image(
    files: dict[str, str], copied: str, ignored: str, data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = write(
            Path(folder),
            {
                **files,
                "Dockerfile": f"FROM x\nCOPY {copied} /x/\n",
                ".dockerignore": f".dockerignore\n{ignored}",
            },
        )
        before = plan(root)
        changed = data.draw(st.sampled_from(sorted(files)))
        (root / changed).write_text(files[changed] + "!")
        after = plan(root)
        assert (after.key != before.key) == (changed in before.files)
        assert after.files == before.files


class TestTheTag:
    def test_is_the_name_and_sixteen_digits_of_the_key(self, project: Path) -> None:
        made = plan(project)
        assert made.tag == f"dayfly/my-project:{made.key[:16]}"
        assert plan(project, name="ghcr.io/me/it").tag == f"ghcr.io/me/it:{made.key[:16]}"

    @given(st.text(min_size=1, max_size=150).filter(lambda name: "/" not in name and "\0" not in name))
    def test_can_be_made_of_any_folder(self, folder: str) -> None:
        name = default_name(Path("/x") / folder)
        assert name.startswith("dayfly/")
        assert all(part and part == part.strip("-") for part in name.split("/"))
        assert name.isascii()
        assert name == name.lower()


class TestMistakes:
    def test_no_dockerfile_where_one_is_named(self, project: Path) -> None:
        with pytest.raises(ImageError, match=r"There is no .*other"):
            plan(project, dockerfile="other")

    def test_no_context(self, project: Path) -> None:
        with pytest.raises(ImageError, match=r"There is no folder"):
            plan(project, context="nowhere")

    def test_a_dockerfile_that_is_no_text(self, project: Path) -> None:
        (project / "Dockerfile").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(ImageError, match="cannot be read"):
            plan(project)

    def test_nothing_that_says_what_the_image_is(self, tmp_path: Path) -> None:
        with pytest.raises(ImageError, match="says nothing of the image") as told:
            plan(tmp_path)
        assert "requirements.txt" in told.value.hint
