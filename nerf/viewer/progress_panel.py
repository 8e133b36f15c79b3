"""Progress on a page: a line and a bar about the training, or about what is rendered into files."""

from typing import Any


class ProgressPanel:
    """Line and bar of one page."""

    def __init__(self, gui: Any, text: str, share: float | None) -> None:
        """Add them below the other controls so far, with the last report."""
        self._text = gui.add_markdown(text)
        self._bar = gui.add_progress_bar(0.0, visible=False)
        self.report(text, share)

    def report(self, text: str, share: float | None) -> None:
        """Show a line, and the share that is done as a bar; None: no bar."""
        self._text.content = text
        if share is not None:
            self._bar.value = 100 * min(max(share, 0.0), 1.0)
        self._bar.visible = share is not None
