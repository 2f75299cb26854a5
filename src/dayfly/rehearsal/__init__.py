"""The rehearsal: the cloud half on an emulated AWS, on this machine.

By hand:

    python -m dayfly.rehearsal.emulator --state DIR [--port N]

starts the emulated AWS and prints the environment variables to export in another terminal; `dayfly`, boto3
and the AWS command line then talk to it. Ctrl-C ends it, and nothing of it is left but DIR.

In tests: `with start_emulator(tmp_path) as emulator:`, or the fixtures of `tests/cloud/conftest.py`.

The emulator is ministack, in a virtual environment of its own (`environment`), with what it lacks added by
`extension`, which runs there and does not import dayfly. What a success here proves, and what it does not,
is in docs/evidence.md.
"""
