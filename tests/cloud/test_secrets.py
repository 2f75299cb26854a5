"""No secret is in what a submission makes (SECURITY 12): each has a canary, which is looked for everywhere.

The emulator proves what is sent to AWS and stands there afterwards. What a machine and its notebook write is
for the rehearsal.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dayfly.aws.client import Aws
from dayfly.rehearsal.emulator import Emulator
from dayfly.runs import layout
from tests.cloud.stacks import base_stack, user_data
from tests.cloud.submissions import CloudProject, make_project

CANARY = "canary-7d1f0b52"
HOOK = f"https://hooks.example.org/services/{CANARY}-hook"


@pytest.fixture
def project(tmp_path: Path, aws: Aws, emulator: Emulator) -> CloudProject:
    """A project of somebody with secrets in the environment, in the credentials file and in a setting."""
    made = make_project(tmp_path, aws, base_stack(aws), emulator)
    config = Path(made.environ["HOME"]) / ".aws"
    config.mkdir()
    (config / "credentials").write_text(
        f"[default]\naws_access_key_id = AKIA{CANARY}\naws_secret_access_key = {CANARY}-file\n",
        encoding="utf-8",
    )
    settings = made.root / "dayfly.toml"
    settings.write_text(settings.read_text(encoding="utf-8") + f'notify = "{HOOK}"\n', encoding="utf-8")
    (made.root / ".gitignore").write_text("dayfly.toml\n.env\n", encoding="utf-8")
    made.git("rm", "--quiet", "--cached", "dayfly.toml")
    made.git("add", ".gitignore")
    made.git("commit", "--quiet", "--amend", "--no-edit")
    (made.root / ".env").write_text(f"TOKEN={CANARY}-dotenv\n", encoding="utf-8")
    secrets = {"DATABASE_PASSWORD": f"{CANARY}-environment", "AWS_SESSION_TOKEN": f"{CANARY}-session"}
    return replace(made, environ={**made.environ, **secrets})


def test_no_secret_of_whoever_submits_is_in_what_is_made(
    project: CloudProject, aws: Aws, emulator: Emulator
) -> None:
    done = project.cli("run", "nb.ipynb", "--on", "ec2", "--timeout", "2h", "--detach")
    run_id = done.out.strip()
    (instance,) = emulator.instances()
    cloudformation = aws.cloudformation
    name = f"dayfly-{project.base.project}--{run_id}"
    said = {
        "what the command says": done.out + done.err,
        "user data": user_data(aws, instance["InstanceId"]),
        "instance": instance,
        "stack": cloudformation.describe_stacks(StackName=name)["Stacks"],
        "stack events": cloudformation.describe_stack_events(StackName=name)["StackEvents"],
        "template": cloudformation.get_template(StackName=name)["TemplateBody"],
        "schedule": aws.scheduler.get_schedule(Name=run_id, GroupName=project.base.schedule_group),
        "calls": emulator.requests(),
        "show": project.cli("show", run_id, "--json").out,
        "machines": project.cli("machines", "--json").out,
        "dry run": project.cli("run", "nb.ipynb", "--on", "ec2", "--dry-run", "--json").out,
    }
    store = project.store
    objects = [entry.key for folder in ("runs", "status", "tokens") for entry in store.list(folder)]
    notify = layout.run_key(run_id, layout.NOTIFY)
    said |= {key: (store.get(key) or b"").decode("utf-8", "replace") for key in objects if key != notify}
    assert len(said) > 14
    assert [what for what, text in said.items() if CANARY in json.dumps(text, default=str)] == []
    # The one place where the target is: in the bucket, for the machine to read.
    assert store.get(notify) == HOOK.encode()
