"""Every setting: its name, type, default and meaning. The JSON schema and `dayfly config` come from here."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from dayfly.project.units import parse_duration, parse_size

Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": ["string", "number"], "examples": ["90", "10m", "1h30m"]}),
]
"""Seconds."""
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["500000", "100MB", "2GiB"]}),
]
"""Bytes."""


_LEAST_ON_A_MACHINE = 1_000_000


def _not_tiny(size: int) -> int:
    """Whoever writes `--memory 32` means gigabytes, and would get the smallest machine that there is."""
    if size < _LEAST_ON_A_MACHINE:
        raise ValueError(f"should have a unit: {size} is a number of bytes")
    return size


MachineSize = Annotated[Size, AfterValidator(_not_tiny)]
"""Bytes of a memory or a disk."""


def _split_names(value: Any) -> Any:
    """A list as an environment variable has it: names with commas between them."""
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


class ImageSettings(BaseModel):
    """The table `[image]`: how the project's image is built, in the words of Compose's `build`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dockerfile: str | None = Field(
        None, description="The Dockerfile, relative to this file. Default: Dockerfile, where there is one."
    )
    base: str | None = Field(
        None,
        description="The image to begin with where there is no Dockerfile. "
        "Default: python:3.12-slim-bookworm, for environment.yml mambaorg/micromamba:2.",
    )
    context: str = Field(".", description="The build context: the folder that COPY and ADD take files from.")
    target: str | None = Field(None, description="The stage to build. Default: the last.")
    build_args: dict[str, str] = Field(default_factory=dict, description="Values for the Dockerfile's ARGs.")
    platform: str | None = Field(
        None, description="Such as linux/amd64 or linux/arm64. Default: that of the Docker engine."
    )
    network: str | None = Field(
        None, description="The network of RUN while the image is built, such as host. Default: the engine's."
    )
    name: str | None = Field(
        None, description="The image's name. Default: dayfly/ and the name of the project's folder."
    )


class AwsSettings(BaseModel):
    """The table `[aws]`: which account and region, and what holds for all machines of the project."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: str | None = Field(None, description="The AWS profile. Default: what the AWS CLI would use.")
    region: str | None = Field(None, description="The AWS region. Default: that of the profile.")
    project: str | None = Field(
        None, description="The project's name in AWS: up to 24 of a-z, 0-9 and -. Default: its folder's name."
    )
    bucket: str | None = Field(
        None, description="The bucket of the project's runs in AWS; `dayfly cloud up` writes it here."
    )
    ami: str | None = Field(
        None,
        description="The machine image: an AMI's id, or an SSM parameter that names one. "
        "Default: Amazon Linux 2023; with GPUs, AWS's Deep Learning Base AMI.",
    )
    access: bool = Field(
        default=False, description="Let notebooks on machines use the machine's AWS role. Default: no."
    )
    boot_budget: Duration = Field(
        900.0, description="How long a machine may take until its notebook begins. Default: 15m."
    )
    notify: str | None = Field(
        None, description="Told once when a machine ends: an SNS topic's ARN or an https URL."
    )


class SweepSettings(BaseModel):
    """The table `[sweep]`: how the points of a sweep are run on this machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preload: Annotated[tuple[str, ...], BeforeValidator(_split_names)] = Field(
        (),
        description="Modules that are imported once, before the kernels of a sweep are forked, such as "
        "pandas. They must start no thread.",
    )
    jobs: int | None = Field(
        None, ge=1, description="How many points to run at once. Default: as many as cores and memory bear."
    )
    retries: int = Field(
        0, ge=0, description="How often to try a point again that was lost or interrupted. Default: 0."
    )


class Settings(BaseModel):
    """The settings of one command, from flags, environment, project file and defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="dayfly.toml")

    store: str | None = Field(
        None,
        description="Where run directories live: a directory (relative to this file) or s3://bucket/prefix. "
        "Default: .dayfly beside dayfly.toml, else dayfly in the user's data directory.",
    )
    outputs: str | None = Field(
        None,
        description="A folder, relative to this file, whose files a run collects besides those in "
        "$DAYFLY_OUTPUTS. Runs that share it take turns.",
    )
    python: str | None = Field(
        None,
        description="The Python that runs Python notebooks: an executable or the folder of an environment. "
        "Default: the active environment, else .venv beside the notebook or project, else dayfly's own.",
    )
    kernel: str | None = Field(None, description="The kernelspec. Default: the one that the notebook names.")
    kernel_transport: Literal["ipc", "tcp"] = Field(
        "ipc", description="How to talk to the kernel: Unix sockets, or TCP for kernels that know no other."
    )
    cwd: str | None = Field(
        None, description="The directory the notebook runs in. Default: the one it lies in, as in JupyterLab."
    )
    timeout: Duration | None = Field(None, description="How long a notebook may take. Default: no limit.")
    cell_timeout: Duration | None = Field(None, description="How long one cell may take. Default: no limit.")
    grace: Duration = Field(
        10.0, description="How long a cell has to end after being interrupted before its kernel is killed."
    )
    output_limit: Size = Field(
        100 << 20,
        description="How much output a run keeps in its notebook, and in its log. Default: 100 MiB.",
    )
    allow_errors: bool = Field(default=False, description="Go on after a cell that raises, as nbclient does.")
    cpus: float | None = Field(
        None, gt=0, description="How many processors a run in a container may use. Default: all."
    )
    memory: MachineSize | None = Field(
        None, description="How much memory a run in a container may use, such as 4GB. Default: all."
    )
    gpus: str | None = Field(
        None, description="The GPUs that a run in a container sees, as `docker run --gpus` has it: all, 2."
    )
    instance: str | None = Field(
        None, description="The EC2 instance type, such as m7i.2xlarge. Default: the cheapest that fits."
    )
    arch: Literal["x86_64", "arm64"] | None = Field(
        None, description="The processors of the machine. Default: those of the project's image."
    )
    spot: bool = Field(
        default=False, description="Use spare capacity: cheaper, and AWS may end it with two minutes' notice."
    )
    disk: MachineSize = Field(30 * 10**9, description="The disk of a machine. Default: 30GB.")
    max_cost: Decimal | None = Field(
        None, gt=0, description="Dollars that a machine may cost at most; they shorten its deadline."
    )
    keep_on_failure: Duration | None = Field(
        None, description="How long a machine stays after its notebook has failed, for a look at it."
    )
    allow_secrets: tuple[str, ...] = Field(
        (),
        description="Files that a snapshot may carry although they look like secrets: patterns as in "
        ".gitignore, relative to the repository.",
    )
    image: ImageSettings = Field(
        default_factory=ImageSettings, description="How the project's image is built (a table, see below)."
    )
    aws: AwsSettings = Field(
        default_factory=AwsSettings, description="The project in AWS (a table, see below)."
    )
    sweep: SweepSettings = Field(
        default_factory=SweepSettings, description="How sweeps run on this machine (a table, see below)."
    )


RESERVED_VARIABLES = {"DAYFLY_OUTPUTS", "DAYFLY_RUN_ID", "DAYFLY_MACHINE_BASE"}
"""Variables that dayfly sets for the notebook, or that a command alone reads; they are no settings."""


def json_schema() -> dict[str, Any]:
    """The JSON schema of `dayfly.toml`, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Settings.model_json_schema()}
