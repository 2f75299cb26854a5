"""Leaving a run directory complete: the notebook, what was collected, receipt, result.

In that order, so that a result.json means that everything else is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import shutil
from datetime import timedelta
from pathlib import Path

from dayfly._version import __version__
from dayfly.runner import annotate
from dayfly.runner.clock import steady_s, utc_now
from dayfly.runner.context import Session
from dayfly.runner.ending import Intent
from dayfly.runner.facts import Facts
from dayfly.runs import layout
from dayfly.runs.atomic import write_atomically
from dayfly.runs.outputs import tidy_outputs
from dayfly.runs.receipt import FileHash, KernelFacts, Receipt
from dayfly.runs.result import Reason, Result
from dayfly.runs.state import State

_RESERVES = {".reserve": 256 * 1024, ".reserve-for-the-result": 64 * 1024}
"""Two: what is written last must not find that what came before has used it all."""
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
_STREAMS = {layout.EVENTS: ".jsonl", layout.LOG: ".txt"}
_HASHED = (layout.REQUEST, layout.INPUT, layout.OUTPUT)


def keep_reserve(run_dir: Path) -> None:
    """Put disk space aside, so that the end of the run can be told on a disk that is full."""
    with contextlib.suppress(OSError):
        for name, size in _RESERVES.items():
            (run_dir / name).write_bytes(bytes(size))


def release_reserve(run_dir: Path, *, all_of_it: bool = False) -> None:
    """Give that space back: the first part, for the notebook, or `all_of_it`, for the result."""
    for name in list(_RESERVES) if all_of_it else list(_RESERVES)[:1]:
        (run_dir / name).unlink(missing_ok=True)


async def save_notebook(session: Session, end: Intent) -> Intent:
    """The last save of output.ipynb; returns how the run ends, which a failing save changes."""
    session.result = make_result(session, end)
    annotate.annotate_end(session.file.metadata, session.result)
    try:
        await _write_twice(session)
    except OSError as error:
        problem = error
    else:
        return end
    full = problem.errno in _DISK_FULL
    return Intent(
        state=State.FAILED,
        reason=Reason.DISK_FULL if full else Reason.SAVE_FAILED,
        message=f"The executed notebook could not be saved ({problem.strerror}); output.ipynb is the last "
        f"checkpoint. {'' if end.state is State.SUCCEEDED else end.message}".rstrip(),
    )


async def _write_twice(session: Session) -> None:
    """Write output.ipynb; once more, with the reserve given back, when the disk is full."""
    snapshot = session.file.snapshot()
    try:
        await asyncio.to_thread(session.file.write, snapshot)
    except OSError:
        release_reserve(session.run_dir)
        await asyncio.to_thread(session.file.write, snapshot)


def make_result(session: Session, end: Intent) -> Result:
    """How the run ended, as of now."""
    took = timedelta(seconds=steady_s() - session.kernel.launched_s)  # the wall clock may have jumped
    return Result(
        run_id=session.request.run_id,
        state=end.state,
        reason=end.reason,
        message=end.message,
        started=session.started,
        ended=session.started + took,
        duration_s=round(took.total_seconds(), 3),
        cells=session.count_cells(),
        failed_cell=session.cells.failed if session.cells else None,
        warnings=session.journal.warnings,
        records=session.cells.client.records.values if session.cells else {},
    )


async def close_run(session: Session, end: Intent) -> Result:
    """Collect outputs, write receipt and result, say that the run has ended."""
    try:
        await asyncio.to_thread(_collect, session)
        copy_output(session)
        facts = await session.facts
        receipt = await asyncio.to_thread(_make_receipt, session, facts)
        write_atomically(session.run_dir / layout.RECEIPT, receipt.to_bytes())
    except OSError as error:
        release_reserve(session.run_dir)
        full = error.errno in _DISK_FULL
        end = Intent(
            state=State.FAILED,
            reason=Reason.DISK_FULL if full else Reason.SAVE_FAILED,
            message=f"The run's files could not all be saved ({error}).",
        )
        receipt = None
    release_reserve(session.run_dir, all_of_it=True)
    result = make_result(session, end).model_copy(
        update={
            "ended": session.result.ended if session.result else utc_now(),
            "duration_s": session.result.duration_s if session.result else 0.0,
            "receipt_sha256": hashlib.sha256(receipt.to_bytes()).hexdigest() if receipt else None,
        }
    )
    finish_run(session, result)
    return result


def finish_run(session: Session, result: Result) -> None:
    """result.json, then the last event."""
    write_atomically(session.run_dir / layout.RESULT, result.to_bytes())
    session.journal.event("ended", state=result.state, reason=result.reason, message=result.message)
    session.journal.close()
    with contextlib.suppress(OSError):
        if (session.run_dir / layout.RUNNER_LOG).stat().st_size == 0:
            (session.run_dir / layout.RUNNER_LOG).unlink()
    session.on_state(result.state)


def _collect(session: Session) -> None:
    folder = session.request.outputs
    if session.collect() == 0 and folder is not None:
        session.journal.warn(f"Nothing new was found in the outputs folder {folder}.")
    for sentence in tidy_outputs(session.run_dir / layout.OUTPUTS):
        session.journal.warn(sentence)


def copy_output(session: Session) -> None:
    """The executed notebook where the user asked for it, besides the run directory."""
    if session.request.output_copy is None or session.request.backend != "local":
        return  # in a container, that path is not the user's: whoever started it copies
    target = Path(session.request.output_copy)
    temporary = target.with_name(f".dayfly-{session.request.run_id}.tmp")
    try:
        shutil.copyfile(session.run_dir / layout.OUTPUT, temporary)
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        session.journal.warn(
            f"The executed notebook could not be written to {target} ({error.strerror}); "
            f"it is in {session.run_dir / layout.OUTPUT}."
        )


def _make_receipt(session: Session, facts: Facts) -> Receipt:
    request, spec = session.request, session.kernel.spec
    info = session.notebook["metadata"].get("language_info", {})
    python = spec.argv[0] == request.python.executable
    return Receipt(
        run_id=request.run_id,
        created=utc_now(),
        dayfly=__version__,
        platform=facts.platform,
        host=facts.host,
        notebook=request.notebook,
        parameters=request.parameters,
        kernel=KernelFacts(
            name=spec.name,
            language=info.get("name", spec.language),
            python=request.python.executable if python else None,
            python_version=info.get("version") if python else None,
            packages=facts.packages if python else {},
        ),
        git=facts.git,
        image=request.image,
        machine=request.machine,
        files=_hash_files(session),
    )


def _hash_files(session: Session) -> dict[str, FileHash]:
    run_dir = session.run_dir
    hashes = {name: _hash_file([run_dir / name]) for name in _HASHED}
    for name, size in session.journal.sizes().items():
        chunks = sorted((run_dir / name).glob(f"*{_STREAMS[name]}"))
        hashes[name] = _hash_file(chunks, size)
    outputs = run_dir / layout.OUTPUTS
    for parent, _, files in os.walk(outputs):
        for file in sorted(files):
            path = Path(parent, file)
            if path.is_file():
                hashes[path.relative_to(run_dir).as_posix()] = _hash_file([path])
    return hashes


def _hash_file(paths: list[Path], size: int | None = None) -> FileHash:
    """The hash of the files joined, or of the first `size` bytes of that."""
    digest, total = hashlib.sha256(), 0
    for path in paths:
        with path.open("rb") as stream:
            while piece := stream.read(1 << 20 if size is None else min(1 << 20, size - total)):
                digest.update(piece)
                total += len(piece)
    return FileHash(sha256=digest.hexdigest(), bytes=total)
