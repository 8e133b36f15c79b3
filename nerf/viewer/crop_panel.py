"""Crop box of a page: six numbers, drawn as a box, that cut the picture, with the command that exports what is in it."""

from collections.abc import Callable
from typing import Any

import numpy as np

from nerf.viewer.crop import Bounds, flag_of
from nerf.viewer.failures import on_event
from nerf.viewer.stage import Stage

HINT = 'Cuts the picture; meshes and points by the command that is shown here then.'
COLOUR = (220, 60, 20)


class CropPanel:
    """Controls of the box, on one page."""

    def __init__(self, client: Any, stage: Stage, changed: Callable[[Bounds | None], None]) -> None:
        """Add the controls; `changed` receives the box, or None if nothing is cut."""
        self._scene, self._model_dir, self._changed = client.scene, stage.model_dir, changed
        gui, (limits, step) = client.gui, stage.crop
        with gui.add_folder('Crop box'):
            self._is_on = gui.add_checkbox('Crop the scene', False)
            self._axes = [
                gui.add_multi_slider(name, low, high, step, (low, high), min_range=step)
                for name, low, high in zip('xyz', limits[:3], limits[3:], strict=True)
            ]
            self._said = gui.add_markdown(HINT)
        for each in (self._is_on, *self._axes):
            each.on_update(on_event(self._update))

    def _update(self) -> None:
        """Draw the box, say how to export what is in it, and tell of it; a box that is none changes nothing."""
        if not self._is_on.value:
            self._scene.remove_by_name('/crop')
            self._said.content = HINT
            self._changed(None)
            return
        pairs = np.array([each.value for each in self._axes], np.float64)
        if pairs.shape != (3, 2) or not np.isfinite(pairs).all() or not (pairs[:, 0] < pairs[:, 1]).all():
            return
        bounds = tuple(map(float, pairs.T.ravel()))
        self._scene.add_box(
            '/crop',
            color=COLOUR,
            dimensions=tuple(pairs[:, 1] - pairs[:, 0]),
            position=tuple(pairs.mean(axis=1)),
            wireframe=True,
        )
        self._said.content = (
            f'Export what is in it:\n\n`python render.py --model_dir={self._model_dir} --task=mesh,points {flag_of(bounds)}`'
        )
        self._changed(bounds)
