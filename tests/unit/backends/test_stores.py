"""Which stores a project has, and with what they are opened."""

from pathlib import Path

import pytest
from obstore.store import S3Store

from dayfly.backends.stores import cloud_store, project_stores
from dayfly.errors import StoreError, UsageError
from dayfly.project.load import Project, load_project

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
AWS = '[aws]\nbucket = "dayfly-x-1-eu"\nregion = "eu-north-1"\n'


def project(folder: Path, text: str, **environ: str) -> Project:
    (folder / "dayfly.toml").write_text(text, encoding="utf-8")
    return load_project(folder, environ)


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials in the environment, so that nothing else is looked for."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)


@pytest.mark.usefixtures("keys")
def test_a_project_with_a_bucket_has_two(tmp_path: Path) -> None:
    stores = project_stores(project(tmp_path, AWS), {})
    assert stores.local.root == tmp_path / ".dayfly"
    assert stores.cloud is not None
    assert stores.cloud.url == "s3://dayfly-x-1-eu"


@pytest.mark.usefixtures("keys")
def test_the_bucket_is_in_the_projects_region(tmp_path: Path) -> None:
    objects = cloud_store(project(tmp_path, AWS), {}).objects
    assert isinstance(objects, S3Store)
    assert objects.config["region"] == "eu-north-1"


@pytest.mark.usefixtures("keys")
def test_a_profile_of_the_project_is_stronger_than_keys_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is for boto3: who names a profile means that account."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    with pytest.raises(StoreError, match="cannot be read") as caught:
        cloud_store(project(tmp_path, AWS + 'profile = "team"\n'), {})
    assert "team" in caught.value.why


def test_a_project_without_one_has_one(tmp_path: Path) -> None:
    assert project_stores(project(tmp_path, ""), {}).cloud is None


def test_a_store_that_the_environment_names_is_the_only_one(tmp_path: Path) -> None:
    made = project(tmp_path, AWS, DAYFLY_STORE=str(tmp_path / "runs"))
    assert project_stores(made, {}).open_cloud is None


def test_a_store_that_a_flag_names_is_the_only_one(tmp_path: Path) -> None:
    (tmp_path / "dayfly.toml").write_text(AWS, encoding="utf-8")
    made = load_project(tmp_path, {}, {"store": str(tmp_path / "runs")})
    assert project_stores(made, {}).open_cloud is None


@pytest.mark.usefixtures("keys")
def test_a_bucket_that_is_the_projects_store_already_is_not_listed_twice(tmp_path: Path) -> None:
    made = project(tmp_path, f'store = "s3://dayfly-x-1-eu/"\n{AWS}')
    assert project_stores(made, {}).open_cloud is None


def test_without_a_bucket_the_cloud_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no bucket in AWS") as caught:
        cloud_store(project(tmp_path, ""), {})
    assert "dayfly cloud up" in caught.value.hint
