"""Collecting a cell's outputs: streams joined as they come, and never more than the run may keep."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from dayfly.runner.connection import OutputChannel
from dayfly.runner.notebook import tags_of
from dayfly.runner.records import Records
from dayfly.runner.serialize import LONG_TEXT, Text

_OVERWRITTEN = re.compile(r".*\r(?=[^\r\n])")
_OTHER_DATA_BYTES = 64
"""What JSON data is counted as."""
_OUTPUT_KINDS = {"stream", "error", "display_data", "execute_result"}


class OutputCollector(NotebookClient):
    """nbclient's message handling with bounded outputs.

    `on_text` receives what a person would see of each output, for the console log; `park` puts long
    texts on disk. A run keeps
    `limit_bytes` of output; what comes after is dropped with a note in the cell (once a cell).
    """

    on_text: Callable[[str], None]
    on_truncated: Callable[[int], None]
    park: Callable[[str], Text]
    limit_bytes: int
    records: Records

    def reset_execution_trackers(self) -> None:
        """Forget what earlier executions of the notebook left."""
        super().reset_execution_trackers()
        self._kept = 0
        self._kept_of_cell = 0
        self._truncated = False
        self._loose = 0  # characters of the stream that grows now which are in memory
        self.changed_cells: set[int] = set()

    def begin_cell(self) -> None:
        """The next output belongs to another cell."""
        self._kept_of_cell = 0
        self._truncated = False
        self._discard(discarding=False)

    def output(
        self, outs: list[NotebookNode], msg: dict[str, Any], display_id: str | None, cell_index: int
    ) -> NotebookNode | None:
        """Add one output to the cell, or to what overrides it (an Output widget)."""
        kind, content = msg["msg_type"], msg["content"]
        if kind == "display_data":
            self.records.take(content.get("data", {}))
        if self.output_hook_stack[msg["parent_header"].get("msg_id")]:
            return super().output(outs, msg, display_id, cell_index)
        if kind not in _OUTPUT_KINDS:
            return None
        self.on_text(_as_text(kind, content))
        if self.clear_before_next_output:
            self._forget_cell_outputs()
            outs.clear()
            self.clear_display_id_mapping(cell_index)
            self.clear_before_next_output = False
        room = self.limit_bytes - self._kept
        size = _size(kind, content)
        if size > room and kind != "error":  # an error is always kept
            if kind == "stream" and room > 0:
                content["text"] = content["text"][:room]
                self._add(outs, msg, display_id, cell_index, room)
            self._truncate(outs, cell_index)
            return None
        return self._add(outs, msg, display_id, cell_index, size)

    def _add(
        self,
        outs: list[NotebookNode],
        msg: dict[str, Any],
        display_id: str | None,
        cell_index: int,
        size: int,
    ) -> NotebookNode | None:
        self._kept += size
        self._kept_of_cell += size
        kind, content = msg["msg_type"], msg["content"]
        if kind == "stream":
            last = outs[-1] if outs else None
            if last is not None and last["output_type"] == "stream" and last["name"] == content["name"]:
                self._append_text(last["text"], content["text"])
                return None
            self._loose = len(content["text"])
        else:
            self._park_data(content)
            if display_id:
                places = self._display_id_map.setdefault(display_id, {})
                places.setdefault(cell_index, []).append(len(outs))
        outs.append(_make_output(kind, content))
        return outs[-1]

    def _append_text(self, pieces: list[Text], text: str) -> None:
        """Add text to a stream.

        Whenever a mebibyte has come, it becomes what a terminal would show of it, so that a progress bar
        drawn with carriage returns does not grow for hours, and what is still long is parked.
        """
        pieces.append(text)
        self._loose += len(text)
        if self._loose < LONG_TEXT:
            return
        joined = _collapse(_take_loose(pieces))
        if len(joined) < LONG_TEXT // 2:
            pieces.append(joined)
        else:
            end = joined.rfind("\n") + 1 or len(joined)
            pieces += [self.park(joined[:end]), joined[end:]]
        self._loose = len(pieces[-1]) if isinstance(pieces[-1], str) else 0

    def _park_data(self, content: dict[str, Any]) -> None:
        for mime, data in content.get("data", {}).items():
            if isinstance(data, str) and len(data) > LONG_TEXT:
                content["data"][mime] = self.park(data)

    async def _check_raise_for_error(
        self,
        cell: NotebookNode,
        cell_index: int,  # noqa: ARG002 -- nbclient's signature
        exec_reply: dict[str, Any] | None,
    ) -> None:
        """Raise when the cell raised and may not; nbclient's message would quote all of its output."""
        reply = exec_reply["content"] if exec_reply is not None else {"status": "ok"}
        allowed = self.allow_errors or "raises-exception" in tags_of(cell)
        if reply["status"] == "error" and not allowed:
            traceback = "\n".join(reply.get("traceback", []))
            raise CellExecutionError(traceback, reply.get("ename", ""), reply.get("evalue", ""))

    def _truncate(self, outs: list[NotebookNode], cell_index: int) -> None:
        if self._truncated:
            return
        self._truncated = True
        self._discard(discarding=True)
        note = (
            f"\n[dayfly] Output truncated here: the run's limit is {self.limit_bytes:,} bytes.\n"
            "         Raise it with --output-limit, or write large results to $DAYFLY_OUTPUTS.\n"
        )
        outs.append(NotebookNode(output_type="stream", name="stderr", text=[note]))
        self.on_text(note)
        self.on_truncated(cell_index)

    def _discard(self, *, discarding: bool) -> None:
        channel = self.kc.iopub_channel if self.kc is not None else None
        if isinstance(channel, OutputChannel):
            channel.discarding = discarding

    def clear_output(self, outs: list[NotebookNode], msg: dict[str, Any], cell_index: int) -> None:
        """What is cleared no longer counts towards the limit."""
        hooked = self.output_hook_stack[msg["parent_header"].get("msg_id")]
        if not hooked:
            if msg["content"].get("wait"):
                self._discard(discarding=False)  # the next output clears, so it must be seen
            else:
                self._forget_cell_outputs()
        super().clear_output(outs, msg, cell_index)

    def _forget_cell_outputs(self) -> None:
        self._kept -= self._kept_of_cell
        self._kept_of_cell = 0
        self._truncated = False
        self._discard(discarding=False)

    def _update_display_id(self, display_id: str, msg: dict[str, Any]) -> None:
        super()._update_display_id(display_id, msg)
        self.changed_cells.update(self._display_id_map.get(display_id, {}))

    def has_displays(self, cell_index: int) -> bool:
        """Whether an output of the cell can still be updated by later cells."""
        return any(cell_index in cells for cells in self._display_id_map.values())


def _make_output(kind: str, content: dict[str, Any]) -> NotebookNode:
    """The notebook's form of an output message.

    The same as nbformat's `output_from_msg` without its validation of every output (0.4 ms each).
    https://nbformat.readthedocs.io/en/latest/format_description.html#code-cell-outputs
    """
    if kind == "stream":
        return NotebookNode(output_type=kind, name=content["name"], text=[content["text"]])
    if kind == "error":
        fields = {name: content[name] for name in ("ename", "evalue", "traceback")}
        return NotebookNode(output_type=kind, **fields)
    output = NotebookNode(output_type=kind, metadata=content.get("metadata", {}), data=content["data"])
    if kind == "execute_result":
        output["execution_count"] = content["execution_count"]
    return output


def finish_streams(outputs: list[NotebookNode]) -> None:
    """Make each stream's text what a terminal would show of it: overwritten parts removed."""
    for output in outputs:
        if output["output_type"] != "stream" or not isinstance(output["text"], list):
            continue
        pieces = output["text"]
        rest = _collapse(_take_loose(pieces))
        output["text"] = [*pieces, rest] if pieces else rest


def _take_loose(pieces: list[Text]) -> str:
    """Remove and join what comes after the last parked piece."""
    loose: list[str] = []
    while pieces and isinstance(last := pieces[-1], str):
        loose.append(last)
        pieces.pop()
    return "".join(reversed(loose))


def _collapse(text: str) -> str:
    return _OVERWRITTEN.sub("", text) if "\r" in text else text


def _size(kind: str, content: dict[str, Any]) -> int:
    """About how many bytes an output has: of a picture, its own, not those of its base64 form."""
    if kind == "stream":
        return len(content["text"])
    if kind == "error":
        return sum(len(line) for line in content.get("traceback", []))
    return sum(_size_of_data(mime, data) for mime, data in content.get("data", {}).items())


def _size_of_data(mime: str, data: Any) -> int:
    if not isinstance(data, str):
        return _OTHER_DATA_BYTES
    is_text = mime.startswith("text/") or mime.endswith(("+xml", "/json", "+json"))
    return len(data) if is_text else len(data) * 3 // 4


def _as_text(kind: str, content: dict[str, Any]) -> str:
    """An output as the console log shows it."""
    if kind == "stream":
        text: str = content["text"]
        return text
    if kind == "error":
        return "\n".join(content.get("traceback", [])) + "\n"
    data = content.get("data", {})
    plain = data.get("text/plain")
    shown = "".join(plain) if isinstance(plain, list) else str(plain or "")
    pictures = [mime for mime in data if mime.startswith("image/")]
    if pictures:
        shown += f"{' ' if shown else ''}[{pictures[0]}]"
    return shown + "\n" if shown else ""
