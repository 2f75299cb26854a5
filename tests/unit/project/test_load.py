from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.errors import ConfigError
from dayfly.project.load import _line_of, load_project
from dayfly.project.settings import Settings


def write(folder: Path, text: str, name: str = "dayfly.toml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


class TestFinding:
    def test_outside_a_project_there_are_defaults(self, tmp_path: Path) -> None:
        project = load_project(tmp_path, {})
        assert (project.root, project.file) == (None, None)
        assert set(project.sources.values()) == {"default"}

    def test_the_file_is_found_from_below(self, tmp_path: Path) -> None:
        write(tmp_path, "timeout = 5\n")
        (tmp_path / "a" / "b").mkdir(parents=True)
        project = load_project(tmp_path / "a" / "b", {})
        assert project.root == tmp_path
        assert project.settings.timeout == 5

    def test_the_nearest_file_wins(self, tmp_path: Path) -> None:
        write(tmp_path, "timeout = 5\n")
        write(tmp_path / "a", "timeout = 6\n")
        assert load_project(tmp_path / "a", {}).settings.timeout == 6

    def test_pyproject_counts_when_it_has_a_table_of_ours(self, tmp_path: Path) -> None:
        write(tmp_path, '[tool.dayfly]\nkernel = "ir"\n', "pyproject.toml")
        project = load_project(tmp_path, {})
        assert project.settings.kernel == "ir"
        assert project.file == tmp_path / "pyproject.toml"

    def test_a_file_of_our_own_is_stronger_than_pyproject(self, tmp_path: Path) -> None:
        write(tmp_path, '[tool.dayfly]\nkernel = "ir"\n', "pyproject.toml")
        write(tmp_path, 'kernel = "bash"\n')
        assert load_project(tmp_path, {}).settings.kernel == "bash"

    @pytest.mark.parametrize(
        "text", ["", "[tool.ruff]\n", "tool = 3\n", "[tool]\ndayfly = 3\n", "not toml ["]
    )
    def test_any_other_pyproject_is_passed_over(self, tmp_path: Path, text: str) -> None:
        write(tmp_path, "timeout = 5\n")
        write(tmp_path / "a", text, "pyproject.toml")
        assert load_project(tmp_path / "a", {}).root == tmp_path

    def test_an_empty_table_makes_a_project(self, tmp_path: Path) -> None:
        write(tmp_path, "[tool.dayfly]\n", "pyproject.toml")
        assert load_project(tmp_path, {}).root == tmp_path


class TestPrecedence:
    def test_flag_over_environment_over_file_over_default(self, tmp_path: Path) -> None:
        write(tmp_path, "timeout = 1\ngrace = 1\ncell_timeout = 1\n")
        project = load_project(
            tmp_path, {"DAYFLY_TIMEOUT": "2", "DAYFLY_GRACE": "2"}, {"timeout": "3", "cell_timeout": None}
        )
        settings = project.settings
        assert (settings.timeout, settings.grace, settings.cell_timeout) == (3, 2, 1)
        assert settings.output_limit == Settings().output_limit

    def test_each_value_says_where_it_came_from(self, tmp_path: Path) -> None:
        write(tmp_path, "# limits\n\ncell_timeout = 1\n")
        sources = load_project(tmp_path, {"DAYFLY_GRACE": "2"}, {"output_limit": "3MB"}).sources
        assert sources["cell_timeout"] == "dayfly.toml, line 3"
        assert sources["grace"] == "environment, DAYFLY_GRACE"
        assert sources["output_limit"] == "flag, --output-limit"
        assert sources["kernel"] == "default"

    def test_variables_that_a_notebook_is_given_are_no_settings(self, tmp_path: Path) -> None:
        """A notebook may itself run dayfly."""
        load_project(tmp_path, {"DAYFLY_OUTPUTS": "/x", "DAYFLY_RUN_ID": "y"})

    def test_other_peoples_variables_are_none_of_ours(self, tmp_path: Path) -> None:
        load_project(tmp_path, {"PATH": "/bin", "XDAYFLY_TIMEOUT": "x", "dayfly_timeout": "x"})

    def test_units_are_read_wherever_a_value_stands(self, tmp_path: Path) -> None:
        write(tmp_path, 'timeout = "1h30m"\noutput_limit = "2MiB"\n')
        settings = load_project(tmp_path, {"DAYFLY_GRACE": "500ms"}).settings
        assert (settings.timeout, settings.output_limit, settings.grace) == (5400, 2 << 20, 0.5)

    @pytest.mark.parametrize(
        ("text", "value"), [("true", True), ("1", True), ("false", False), ("no", False)]
    )
    def test_a_switch_in_the_environment_is_a_word(self, tmp_path: Path, text: str, value: bool) -> None:
        assert load_project(tmp_path, {"DAYFLY_ALLOW_ERRORS": text}).settings.allow_errors is value


class TestWhatIsWrong:
    def fail(self, tmp_path: Path, environ: dict[str, str] | None = None, **flags: Any) -> ConfigError:
        with pytest.raises(ConfigError) as caught:
            load_project(tmp_path, environ or {}, flags)
        assert caught.value.exit_code == 2
        return caught.value

    def test_an_unknown_key_names_file_line_and_the_nearest(self, tmp_path: Path) -> None:
        write(tmp_path, "# limits\ntimout = 5\n")
        error = self.fail(tmp_path)
        assert error.what == "Unknown setting 'timout' (dayfly.toml, line 2). Did you mean 'timeout'?"
        assert "cell_timeout" in error.why

    def test_a_wrong_value_names_file_line_and_what_is_allowed(self, tmp_path: Path) -> None:
        write(tmp_path, "grace = 5\n\ntimeout = 'soon'\n")
        error = self.fail(tmp_path)
        assert error.what == "The setting 'timeout' cannot be 'soon' (dayfly.toml, line 3)."
        assert error.why == "Should be a duration such as 90, 10m or 1h30m."
        assert "How long a notebook may take" in error.hint

    def test_a_choice_lists_the_choices(self, tmp_path: Path) -> None:
        error = self.fail(tmp_path, kernel_transport="udp")
        assert "flag, --kernel-transport" in error.what
        assert "'ipc'" in error.why
        assert "'tcp'" in error.why

    def test_a_variable_is_named(self, tmp_path: Path) -> None:
        error = self.fail(tmp_path, {"DAYFLY_OUTPUT_LIMIT": "lots"})
        assert error.what == (
            "The setting 'output_limit' cannot be 'lots' (environment, DAYFLY_OUTPUT_LIMIT)."
        )
        assert error.why == "Should be a size such as 500000, 100MB or 2GiB."

    def test_an_unknown_variable_is_an_error_too(self, tmp_path: Path) -> None:
        assert "environment, DAYFLY_KERNAL" in self.fail(tmp_path, {"DAYFLY_KERNAL": "ir"}).what

    def test_a_line_in_pyproject_is_counted_in_that_file(self, tmp_path: Path) -> None:
        write(tmp_path, "[tool.other]\ntimeout = 'x'\n[tool.dayfly]\ntimeout = 'soon'\n", "pyproject.toml")
        assert "(pyproject.toml, line 4)" in self.fail(tmp_path).what

    def test_a_table_where_a_value_should_be_names_its_header(self, tmp_path: Path) -> None:
        write(tmp_path, "[tool.dayfly]\n[tool.dayfly.timeout]\na = 1\n", "pyproject.toml")
        assert "(pyproject.toml, line 2)" in self.fail(tmp_path).what

    def test_a_file_that_is_no_toml_names_the_line(self, tmp_path: Path) -> None:
        write(tmp_path, "timeout = 5\nkernel = \n")
        error = self.fail(tmp_path)
        assert error.what == f"{tmp_path / 'dayfly.toml'} is not valid TOML."
        assert "line 2" in error.why

    def test_a_file_that_is_no_text_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "dayfly.toml").write_bytes(b"\xff\xfe")
        assert "is not valid TOML" in self.fail(tmp_path).what

    def test_a_pyproject_of_ours_that_is_broken_is_an_error(self, tmp_path: Path) -> None:
        write(tmp_path, "[tool.dayfly]\nkernel = \n", "pyproject.toml")
        assert "pyproject.toml is not valid TOML" in self.fail(tmp_path).what

    @given(
        before=st.lists(st.sampled_from(["", "# note", "grace = 5", "allow_errors = true"]), unique=True),
        indent=st.sampled_from(["", "  ", "\t"]),
        quote=st.sampled_from(["", '"', "'"]),
    )
    def test_the_line_is_right_wherever_the_key_stands(
        self, before: list[str], indent: str, quote: str
    ) -> None:
        text = "\n".join([*before, f"{indent}{quote}timeout{quote} = 'soon'", "# timeout = 5"])
        assert _line_of(text, "timeout", in_pyproject=False) == len(before) + 1


class TestPaths:
    def test_a_path_in_the_file_is_relative_to_it(self, tmp_path: Path) -> None:
        write(tmp_path, 'outputs = "results"\n')
        (tmp_path / "a").mkdir()
        project = load_project(tmp_path / "a", {})
        assert project.resolve("results") == tmp_path / "results"

    def test_an_absolute_path_stays(self, tmp_path: Path) -> None:
        assert load_project(tmp_path, {}).resolve("/x/y") == Path("/x/y")


def test_with_one_setting_asked_for_a_mistake_in_another_is_no_error(tmp_path: Path) -> None:
    """`dayfly stop` must find the store whatever else the file says."""
    (tmp_path / "dayfly.toml").write_text('timout = 3\nstore = "runs"\n')
    project = load_project(tmp_path, {"DAYFLY_GRACE": "never"}, only="store")
    assert project.settings.store == "runs"


class TestVariablesOfTables:
    def test_a_setting_of_a_table_has_a_variable(self, tmp_path: Path) -> None:
        write(tmp_path, '[image]\nnetwork = "host"\nbase = "debian"\n')
        image = load_project(tmp_path, {"DAYFLY_IMAGE_BASE": "ubuntu"}).settings.image
        assert (image.base, image.network) == ("ubuntu", "host")

    def test_it_needs_no_table_in_a_file(self, tmp_path: Path) -> None:
        project = load_project(tmp_path, {"DAYFLY_AWS_REGION": "eu-central-1"})
        assert project.settings.aws.region == "eu-central-1"
        assert project.sources["aws"] == "environment, DAYFLY_AWS_REGION"

    def test_a_wrong_value_names_the_variable(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="DAYFLY_AWS_ACCESS"):
            load_project(tmp_path, {"DAYFLY_AWS_ACCESS": "perhaps"})

    def test_a_name_that_no_table_has_is_an_unknown_setting(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="Unknown setting 'image_bas'"):
            load_project(tmp_path, {"DAYFLY_IMAGE_BAS": "debian"})
