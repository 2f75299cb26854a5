"""Starts ministack with the additions, on a listening socket that it is given: `python -m extension FD`."""

from __future__ import annotations

import asyncio
import os
import sys
import threading


def _end_with_standard_input() -> None:
    """Whoever started us holds the other end of the pipe: when they are gone, so are we."""
    while os.read(0, 4096):
        pass
    os._exit(0)


def main() -> None:
    """Serve until standard input ends."""
    threading.Thread(target=_end_with_standard_input, daemon=True).start()
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    from . import (
        batch,
        batch_resources,
        codecommit,
        control,
        discovery,
        dispatch,
        fixes,
        guards,
        inner,
        instances,
        registry,
        resources,
        scheduler,
    )

    for part in (
        dispatch,
        batch,
        batch_resources,
        instances,
        resources,
        fixes,
        scheduler,
        discovery,
        codecommit,
        guards,
        inner,
        registry,
    ):
        part.install()
    config = Config()
    config.bind = [f"fd://{sys.argv[1]}"]
    config.certfile = os.environ["MINISTACK_SSL_CERT"]
    config.keyfile = os.environ["MINISTACK_SSL_KEY"]
    config.keep_alive_timeout = 75
    config.loglevel = os.environ["LOG_LEVEL"]
    asyncio.run(serve(control.application, config))


if __name__ == "__main__":
    main()
