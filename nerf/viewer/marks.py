"""Cameras drawn into the scene of a page: those of the photos, and keyframes."""

from collections.abc import Callable
from typing import Any

import numpy as np

from nerf.viewer.views import View, to_browser

INSIDE = 5.0  # a camera nearer to the viewpoint than this many scales is not drawn: it would hide everything
PHOTO, KEYFRAME = (90, 90, 90), (220, 60, 20)


class Marks:
    """Cameras drawn on one page, by their names; all are shown or none, and never one that the viewpoint is in."""

    def __init__(self, scene: Any, scale: float) -> None:
        """Draw them into viser's scene, in this size, world."""
        self._scene, self._scale = scene, scale
        self._marks: dict[str, tuple[Any, np.ndarray]] = {}  # handles and positions
        self._is_shown, self._viewpoint = True, np.full(3, np.inf)

    def draw(
        self,
        name: str,
        view: View,
        colour: tuple[int, int, int],
        clicked: Callable[[Any], None],
        photo: np.ndarray | None = None,
    ) -> None:
        """Draw a camera, which calls `clicked` when it is clicked."""
        wxyz, position = to_browser(view.pose)
        mark = self._scene.add_camera_frustum(
            name,
            view.fov,
            view.aspect,
            scale=self._scale,
            thickness=self._scale / 30,
            color=colour,
            image=photo,
            wxyz=wxyz,
            position=position,
            visible=self._is_visible(position),
        )
        mark.on_click(clicked)
        self._marks[name] = mark, position

    def remove(self, name: str) -> None:
        """Remove the camera of this name."""
        self._marks.pop(name)[0].remove()

    def update(self, view: View, is_shown: bool) -> None:
        """Show the cameras, except those around the viewpoint, or hide all of them."""
        self._is_shown, self._viewpoint = is_shown, view.pose[:, 3]
        for mark, position in list(self._marks.values()):
            is_visible = self._is_visible(position)
            if mark.visible != is_visible:
                mark.visible = is_visible

    def _is_visible(self, position: np.ndarray) -> bool:
        return bool(self._is_shown and np.linalg.norm(position - self._viewpoint) > INSIDE * self._scale)
