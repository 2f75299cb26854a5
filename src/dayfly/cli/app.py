"""The commands, put together."""

from __future__ import annotations

import importlib
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from dayfly._version import __version__

_COMMANDS = {
    "init": ("init", "init"),
    "run": ("run", "run"),
    "rerun": ("run", "rerun"),
    "sweep": ("sweep", "sweep"),
    "retry": ("sweep", "retry"),
    "attach": ("run", "attach"),
    "inspect": ("inspection", "inspect"),
    "ps": ("look", "ps"),
    "show": ("look", "show"),
    "logs": ("look", "logs"),
    "timeline": ("timeline", "timeline"),
    "machines": ("machines", "machines"),
    "ssh": ("ssh", "ssh"),
    "stop": ("manage", "stop"),
    "open": ("compare", "open_run"),
    "fetch": ("compare", "fetch"),
    "results": ("results", "results"),
    "verify": ("compare", "verify"),
    "cost": ("cost", "cost"),
    "snapshot": ("snapshot", "snapshot"),
    "diff": ("compare", "diff"),
    "rm": ("manage", "rm"),
    "prune": ("manage", "prune"),
    "rehearse": ("rehearse", "rehearse"),
    "lab": ("lab", "lab"),
    "image": ("image", "image"),
    "cloud": ("cloud", "cloud"),
    "mirror": ("mirror", "mirror"),
    "config": ("configuration", "config"),
}
"""Each command's module and function (or sub-commands), in the order in which --help lists them."""


_MEANT = {
    "list": "ps",
    "ls": "ps",
    "status": "show",
    "cancel": "stop",
    "kill": "stop",
    "delete": "rm",
    "remove": "rm",
    "compare": "diff",
    "resume": "retry",
}
"""What other programs call a command, for whoever tries that; what is only misspelt, Typer finds itself."""


class _Commands(TyperGroup):
    """The commands, and which one is meant by a name that another program has for it."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As Typer does."""
        if args[0] in _MEANT and args[0] not in self.commands:
            ctx.fail(f"No such command '{args[0]}'. Did you mean '{_MEANT[args[0]]}'?")
        return super().resolve_command(ctx, args)


def make_app(only: str | None = None) -> typer.Typer:
    """The command line; when `only` is the name of a command, with that command alone.

    Typer looks at every parameter of every command it is given, which takes longer than `dayfly ps`.
    """
    app = typer.Typer(
        name="dayfly",
        cls=_Commands,
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(dayfly)
    for name in [only] if only in _COMMANDS else _COMMANDS:
        module, function = _COMMANDS[name]
        found = getattr(importlib.import_module(f"dayfly.cli.{module}"), function)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name)
        else:
            app.command(name=name)(found)
    return app


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"dayfly {__version__}")
        raise typer.Exit


def dayfly(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Run a notebook on a machine that lives exactly as long as the notebook does."""
