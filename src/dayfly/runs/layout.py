"""The names in a run directory, the same on disk and in S3 (see `docs/architecture.md`)."""

from __future__ import annotations

REQUEST = "request.json"
INPUT = "input.ipynb"
OUTPUT = "output.ipynb"
RESULT = "result.json"
RECEIPT = "receipt.json"
EVENTS = "events"
LOG = "log"
OUTPUTS = "outputs"
STOP = "stop.json"
"""Asks the runner to end the run; whoever may write to the run directory may ask."""
LOCK = "lock"
"""Held (flock) by the runner as long as it lives; only ever on a local disk."""
RUNNER_LOG = "runner.log"
"""What runner and kernel processes themselves wrote to stdout and stderr; for diagnosis."""

MACHINE = "machine"
"""What a machine tells of itself while it boots and ends: JSON lines in chunks, like the events."""
MACHINE_RECORD = "machine.json"
"""Which stack and schedule a run has; rewritten when another zone is tried."""
NOTIFY = "notify"
"""Whom the machine tells when it ends: an SNS topic's ARN or an https URL, on one line."""
MACHINE_LOG = "machine.log"
"""What the boot script and the system wrote; uploaded when something failed."""

BUNDLE = "snapshot.bundle"
"""The commit to check out, in a run directory on its way; in the store it has a place of its own."""

RUNS = "runs"
STATUS = "status"
SNAPSHOTS = "snapshots"
IMAGES = "images"
BUILDS = "builds"
LABS = "labs"
TOKENS = "tokens"
SWEEPS = "sweeps"
SWEEP_BASES = "sweep-bases"
SWEEP_CLAIMS = "sweep-claims"
SWEEP = "sweep.json"
POINTS = "points.jsonl"


def run_prefix(run_id: str) -> str:
    """The prefix of everything a run has, with its trailing slash."""
    return f"{RUNS}/{run_id}/"


def run_key(run_id: str, name: str) -> str:
    """The key of one file of a run."""
    return f"{RUNS}/{run_id}/{name}"


def status_key(run_id: str) -> str:
    """The key of a run's status object (see `runs.status`)."""
    return f"{STATUS}/{run_id}"


def snapshot_key(commit: str) -> str:
    """The key of the bundle of a commit, which all runs of that commit share."""
    return f"{SNAPSHOTS}/{commit}.bundle"


def image_key(content_key: str) -> str:
    """The key of what is known of an image in the image repository: its digest, Python and kernels."""
    return f"{IMAGES}/{content_key}.json"


def token_key(digest: str) -> str:
    """The key of a submission token, by its SHA-256: it holds the id of the run that it has made."""
    return f"{TOKENS}/{digest}"


def sweep_key(sweep_id: str, name: str) -> str:
    """The key of one file of a sweep; its runs are runs like any other."""
    return f"{SWEEPS}/{sweep_id}/{name}"


def sweep_base_key(base: str, sweep_id: str) -> str:
    """The key of an empty object that says: this sweep has points whose identity begins with `base`."""
    return f"{SWEEP_BASES}/{base}/{sweep_id}"


def sweep_claim_key(digest: str) -> str:
    """The key of what holds the id of the sweep that was asked for first, of those that are alike."""
    return f"{SWEEP_CLAIMS}/{digest}"
