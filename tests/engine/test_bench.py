"""The bench itself: an engine, images and a registry that do what the other engine tests take for granted."""

from __future__ import annotations

from dayfly.environment.docker import Docker
from tests.helpers import Place


def test_the_engine_answers(docker: Docker) -> None:
    assert docker.run(["version", "--format", "{{.Server.Os}}"]).strip() == "linux"


def test_the_base_image_has_python(docker: Docker, base_image: str) -> None:
    said = docker.run(["run", "--rm", base_image, "python3", "-c", "import venv, ssl; print(6 * 7)"])
    assert said.strip() == "42"


def test_the_kernel_image_has_a_kernel_and_an_init(docker: Docker, kernel_image: str) -> None:
    said = docker.run(
        ["run", "--rm", "--init", kernel_image, "python", "-c", "import ipykernel; print('here')"]
    )
    assert said.strip() == "here"


def test_the_registry_takes_a_push_and_gives_it_back_by_digest(
    docker: Docker, base_image: str, registry: str
) -> None:
    pushed = f"{registry}/bench/base:1"
    docker.run(["tag", base_image, pushed])
    docker.run(["push", pushed])
    facts = docker.inspect("image", pushed)
    assert facts is not None
    (by_digest,) = [name for name in facts["RepoDigests"] if name.startswith(registry)]
    docker.run(["rmi", pushed])
    assert docker.inspect("image", by_digest) is None
    docker.run(["pull", by_digest])
    assert docker.inspect("image", by_digest) is not None
    docker.run(["rmi", by_digest])


def test_a_project_reaches_the_engine(project: Place, docker: Docker) -> None:
    docker.run(["build", "--network", "host", "--tag", "dayfly-test/project", str(project.root)])
    assert project.environ.get("DOCKER_HOST") == docker.environ.get("DOCKER_HOST")
