"""`dayfly snapshot`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dayfly.cli.options import JsonOption

if TYPE_CHECKING:
    from dayfly.snapshot.bundle import Bundle
    from dayfly.snapshot.plan import Snapshot


def snapshot(
    commit: Annotated[
        str | None,
        typer.Option("--commit", metavar="COMMIT", help="A commit, branch or tag.", show_default="HEAD"),
    ] = None,
    dirty: Annotated[bool, typer.Option("--dirty", help="Take the working tree as it is.")] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write it there, as a Git bundle.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="List the files.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what a run would carry of the Git repository: a commit, or with --dirty the working tree."""
    from dayfly.cli.text import safe_text, to_stderr
    from dayfly.errors import RunConflictError
    from dayfly.project.load import load_project
    from dayfly.runner.directories import cache_directory
    from dayfly.snapshot.bundle import write_bundle
    from dayfly.snapshot.plan import changed_files, plan_snapshot

    if output is not None and not force and (output.exists() or output.is_symlink()):
        raise RunConflictError(
            f"{output} is there already.", hint="Write to another file, or overwrite it with --force."
        )
    project = load_project(Path.cwd(), os.environ, only="allow_secrets")
    with plan_snapshot(
        Path.cwd(),
        commit=commit,
        dirty=dirty,
        allow_secrets=project.settings.allow_secrets,
        cache=cache_directory(os.environ),
    ) as planned:
        bundle = write_bundle(planned, output) if output is not None else None
        named = dirty or commit is not None
        changed = [] if named else changed_files(planned.repository)
    if as_json:
        typer.echo(json.dumps(_facts(planned, bundle, listed=listed), indent=1))
    else:
        _show(planned, bundle, listed=listed)
    if changed:
        files = "1 file differs" if len(changed) == 1 else f"{len(changed)} files differ"
        to_stderr(f"{files} from HEAD; --dirty carries them.")
    for path in planned.left_out:
        to_stderr(safe_text(f"left out: {_shown(path)} (a secret by its name; see allow_secrets)"))


def _facts(planned: Snapshot, bundle: Bundle | None, *, listed: bool) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "repository": str(planned.repository),
        "commit": planned.commit,
        "tree": planned.tree,
        "base": planned.base,
        "branch": planned.branch,
        "dirty": planned.dirty,
        "files": planned.files,
        "size_bytes": planned.size_bytes,
        "left_out": list(planned.left_out),
        "bundle": None if bundle is None else vars(bundle),
    }
    if listed:
        facts["entries"] = [
            {"path": entry.path, "mode": entry.mode, "size_bytes": entry.size} for entry in planned.entries
        ]
    return facts


def _show(planned: Snapshot, bundle: Bundle | None, *, listed: bool) -> None:
    from dayfly.cli.text import format_size, safe_text

    if listed:
        width = max((len(format_size(entry.size)) for entry in planned.entries), default=0)
        for entry in planned.entries:
            typer.echo(safe_text(f"{format_size(entry.size):>{width}}  {_shown(entry.path)}"))
        return
    where = f" (branch {planned.branch})" if planned.branch else ""
    state = "the working tree, which has changes" if planned.dirty else "a commit, as it is"
    typer.echo(safe_text(f"commit  {planned.commit}{'' if planned.dirty else where}"))
    typer.echo(f"tree    {planned.tree}")
    typer.echo(f"state   {state}")
    if planned.dirty:
        typer.echo(safe_text(f"base    {planned.base or 'none: no commit yet'}{where}"))
    typer.echo(f"files   {planned.files}, {format_size(planned.size_bytes)}")
    if bundle is not None:
        typer.echo(f"bundle  {format_size(bundle.size_bytes)}, sha256 {bundle.sha256}")


def _shown(path: str) -> str:
    from dayfly.snapshot.git import readable

    return readable(path)
