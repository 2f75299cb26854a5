"""A picture on the terminal that is drawn again and again while something goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.live import Live
    from rich.text import Text


class LivePicture:
    """What live views have in common: a title, what is drawn below it, and a notice at the bottom.

    Nothing is written before the first picture; `close` leaves the terminal as it was.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._live: Live | None = None
        self._notice = ""

    def notice(self, text: str) -> None:
        """Shown below the picture; writing it directly would disturb that."""
        self._notice = text

    def close(self) -> None:
        """Leave the terminal as it was; the summary follows."""
        if self._live is not None:
            self._live.stop()

    def _show(self, picture: RenderableType) -> None:
        self._opened().update(picture, refresh=True)

    def _height(self) -> int:
        """Lines of the terminal."""
        return self._opened().console.height

    def _width(self) -> int:
        """Columns of the terminal."""
        return self._opened().console.width

    def _opened(self) -> Live:
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            console = Console(stderr=True, highlight=False)
            self._live = Live(console=console, auto_refresh=False, transient=True)
            self._live.start()
        return self._live

    def _head(self, beside: str) -> Text:
        """The title, and more beside it."""
        from rich.text import Text

        head = Text(self._title, style="bold", overflow="ellipsis", no_wrap=True)
        return head.append(f"  {beside}", style="dim") if beside else head

    def _below_each_other(self, *parts: RenderableType) -> Group:
        """The parts of the picture, and the notice below them."""
        from rich.console import Group
        from rich.text import Text

        return Group(*parts, *([Text(self._notice, style="yellow")] if self._notice else []))
