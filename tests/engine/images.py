"""The images of the engine tests: Debian with Python from Debian's packages, and a kernel from PyPI."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from dayfly.environment.docker import Docker
from tests.engine.bench import CACHE, SYSTEM_PATH, digest, one_at_a_time, program, variables

SUITE = "bookworm"
PACKAGES = "python3,python3-venv,ca-certificates"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
# How this machine reaches a package index; what names its own files would lead nowhere in a container.
PASSED_ON = (
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "PIP_DEFAULT_TIMEOUT",
    "UV_INDEX_URL",
)
BUILD_S = 600.0

KERNEL = """\
FROM {base}
RUN python3 -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir ipykernel
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin
"""


def make_base_image(docker: Docker) -> str:
    """The tag of a Debian image with Python and with this machine's certificates and package index."""
    certificates = Path(CERTIFICATES).read_bytes()
    environ = dict.fromkeys(("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), CERTIFICATES) | {
        "UV_NATIVE_TLS": "1",
        "UV_SYSTEM_CERTS": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    environ |= {name: value for name in PASSED_ON if (value := os.environ.get(name)) and "file:" not in value}
    with one_at_a_time("images"):
        debian = _imported(docker, _debian())
        dockerfile = f"FROM {debian}\nCOPY certificates.crt {CERTIFICATES}\n{variables(environ)}"
        return build(docker, "dayfly-test/base", dockerfile, {"certificates.crt": certificates})


def make_kernel_image(docker: Docker, base: str) -> str:
    """The tag of the base image with ipykernel in a virtual environment."""
    with one_at_a_time("images"):
        return build(docker, "dayfly-test/kernel", KERNEL.format(base=base))


def build(docker: Docker, name: str, dockerfile: str, files: dict[str, bytes] | None = None) -> str:
    """Build an image from these files, once: its tag says what it was made of."""
    files = files or {}
    tag = f"{name}:{digest(dockerfile, *(part for item in files.items() for part in item))}"
    if docker.inspect("image", tag) is None:
        with tempfile.TemporaryDirectory() as folder:
            for file, content in {**files, "Dockerfile": dockerfile.encode()}.items():
                (Path(folder) / file).write_bytes(content)
            docker.run(["build", "--network", "host", "--tag", tag, folder], timeout_s=BUILD_S)
    return tag


def _imported(docker: Docker, archive: Path) -> str:
    tag = f"dayfly-test/debian:{archive.stem.rpartition('-')[2]}"
    if docker.inspect("image", tag) is None:
        docker.run(["import", "--change", 'CMD ["bash"]', str(archive), tag], timeout_s=BUILD_S)
    return tag


def _debian() -> Path:
    """An archive of a small Debian's files, kept in the cache."""
    archive = CACHE / f"debian-{digest(SUITE, PACKAGES, platform.machine(), '1')}.tar"
    if archive.exists():
        return archive
    with tempfile.TemporaryDirectory(prefix="debian-", dir=CACHE) as folder:
        root = Path(folder) / "root"
        command = [program("debootstrap"), "--variant=minbase", f"--include={PACKAGES}"]
        _must_run([*command, SUITE, str(root), mirror()])
        for left in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man"):
            shutil.rmtree(root / left)
            (root / left).mkdir()
        half = Path(folder) / "archive.tar"
        devices = ["--exclude=./dev/*", "--exclude=./proc/*", "--exclude=./sys/*"]
        _must_run(
            ["tar", "--create", "--numeric-owner", f"--file={half}", f"--directory={root}", *devices, "."]
        )
        half.rename(archive)
    return archive


def mirror() -> str:
    """The mirror from which this machine installs its own packages."""
    lines = Path("/etc/os-release").read_text().splitlines()
    codename = dict(line.split("=", 1) for line in lines if "=" in line)["VERSION_CODENAME"].strip('"')
    wanted = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    listed = _must_run(["apt-get", "indextargets", "--no-release-info", "--format", wanted])
    for line in listed.splitlines():
        uri, release, component = line.split()
        if (release, component) == (codename, "main"):
            return uri
    message = f"apt has no source for {codename} main:\n{listed}"
    raise AssertionError(message)


def _must_run(command: list[str]) -> str:
    done = subprocess.run(
        command,
        env={**os.environ, "PATH": SYSTEM_PATH, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=BUILD_S,
        check=False,
    )
    assert done.returncode == 0, f"{command[0]} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout
