"""Video of a page's path: ordered and stopped by a button."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from nerf.errors import UserError
from nerf.viewer.failures import on_event
from nerf.viewer.orders import Order, Orders

HINT = 'Of what is shown, along the path; by `--task=video`, in the folder of the run.'


class RenderPanel:
    """Button and line of one page; the progress is shown where that of all long work is."""

    def __init__(self, gui: Any, orders: Orders, save: Callable[[], Path], shown: Callable[[], str]) -> None:
        """Add the controls; `save` returns the file of the path, or raises `UserError`; `shown` what the video shows."""
        self._orders, self._save, self._shown = orders, save, shown
        self._order: Order | None = None
        with gui.add_folder('Video'):
            self._button = gui.add_button('Render video')
            self._said = gui.add_markdown(HINT)
        self._button.on_click(on_event(self._click))

    def _click(self) -> None:
        """Order a video, or stop the one that was ordered."""
        if self._order is not None:
            self._order.is_stopped = True
            self._said.content = 'Stopping ...'
            return
        try:
            self._order = order = Order(self._save(), self._shown(), self._finish)
            self._button.label, self._said.content = 'Stop rendering', f'Rendering along {order.file} ...'
            self._orders.place(order)
        except UserError as error:
            self._finish(str(error))

    def _finish(self, said: str) -> None:
        self._order = None
        self._button.label, self._said.content = 'Render video', said
