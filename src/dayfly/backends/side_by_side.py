"""Many questions to a store that is far away, asked side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")

AT_ONCE = 16


def side_by_side(call: Callable[[T], U], items: Sequence[T], at_once: int = AT_ONCE) -> list[U]:
    """What `call` returns for each, in order; raises what one of them raised, and begins no more then.

    Unlike those of an executor, the threads keep no command from ending while a store does not answer.
    """
    if at_once == 1:
        return [call(item) for item in items]
    waiting: SimpleQueue[int] = SimpleQueue()
    for place in range(len(items)):
        waiting.put(place)
    answers: dict[int, U] = {}
    errors: list[BaseException] = []

    def work() -> None:
        while not errors:
            try:
                place = waiting.get_nowait()
            except Empty:
                return
            try:
                answers[place] = call(items[place])
            except BaseException as error:  # noqa: BLE001 -- raised again below
                errors.append(error)

    threads = [
        threading.Thread(target=work, name="side-by-side", daemon=True)
        for _ in range(min(at_once, len(items)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return [answers[place] for place in range(len(items))]
