"""Page of one browser: its controls, the background image, and the cameras drawn into the scene."""

import functools
import math
from typing import Any

import imageio.v3 as imageio
import numpy as np

from nerf.viewer.crop import Bounds
from nerf.viewer.crop_panel import CropPanel
from nerf.viewer.failures import on_event
from nerf.viewer.marks import PHOTO, Marks
from nerf.viewer.path_panel import PathPanel
from nerf.viewer.pictures import LABELS, SIZES, Settings
from nerf.viewer.progress_panel import ProgressPanel
from nerf.viewer.render_panel import RenderPanel
from nerf.viewer.session import Session, Sessions
from nerf.viewer.stage import Stage
from nerf.viewer.views import View, to_browser, view_of

LIMITS = {str(math.isqrt(size)): size for size in SIZES[::2]}  # keys: the side of a square with as many pixels
MOST_SCREENSHOTS = 100  # until the page is loaded anew


class Panel:
    """Page of one client of viser; a `nerf.viewer.session.Page`."""

    def __init__(self, client: Any, stage: Stage, sessions: Sessions) -> None:
        """Fill the page with controls and cameras, and register the callbacks."""
        self._client, self._stage, self._sessions = client, stage, sessions
        self._marks = Marks(client.scene, stage.mark_scale)
        self._progress = ProgressPanel(client.gui, *sessions.reported)
        self._picture: np.ndarray | None = None
        self._screenshots = 0
        self._session: Session = sessions.add(self)
        self._add_controls()
        self._path = PathPanel(client, stage, self._marks, self._jump, self._move)
        if stage.crop is not None:
            self._crop = CropPanel(client, stage, self._cut)
        self._video = RenderPanel(client.gui, sessions.orders, self._path.save, lambda: self._session.settings.shown)
        for mark in stage.marks:
            jump = functools.partial(self._jump, mark.view, mark.view.pose[:, 1])
            self._marks.draw(f'/cameras/{mark.name}', mark.view, PHOTO, on_event(jump), mark.photo)
        client.camera.on_update(on_event(self._look))
        self._look()

    def close(self) -> None:
        """Remove the session of a browser that has disconnected."""
        self._path.close()
        self._sessions.remove(self._session)

    def show(self, picture: np.ndarray, depth: np.ndarray | None) -> None:
        """Set a picture, uint8 [h, w, 3], as the background; `depth` [h, w] hides drawn cameras behind surfaces."""
        self._picture = picture
        is_needed = depth is not None and self._cameras.value
        self._client.scene.set_background_image(picture, 'jpeg', jpeg_quality=90, depth=depth if is_needed else None)
        self._client.flush()

    def say(self, text: str) -> None:
        """Show a line of text above the controls."""
        self._status.content = text

    def report(self, text: str, share: float | None) -> None:
        """Show a line about what goes on besides pictures, and the share of it that is done."""
        self._progress.report(text, share)

    def _add_controls(self) -> None:
        gui, levels = self._client.gui, self._stage.levels
        self._status = gui.add_markdown('waiting for a picture ...')
        self._shown = gui.add_dropdown('Show', tuple(LABELS), initial_value='colour')
        names = tuple(each.name for each in levels)
        self._level = gui.add_dropdown('Level', names, initial_value=names[-1], visible=len(names) > 1)
        default = {size: name for name, size in LIMITS.items()}[Settings().most]
        self._limit = gui.add_dropdown('Resolution', tuple(LIMITS), initial_value=default)
        fov = round(math.degrees(self._stage.beginning.view.fov))
        self._fov = gui.add_slider('Field of view', min(10, fov), max(120, fov), 1, fov)
        self._cameras = gui.add_checkbox('Training cameras', True)
        reset, screenshot = gui.add_button('First view'), gui.add_button('Screenshot')
        for each in (self._shown, self._level, self._limit):
            each.on_update(on_event(self._settle))
        self._fov.on_update(on_event(self._widen))
        self._cameras.on_update(on_event(self._redraw))
        reset.on_click(on_event(lambda: self._jump(self._stage.beginning.view, self._stage.beginning.up)))
        screenshot.on_click(on_event(self._download))

    def _download(self) -> None:
        """Give the picture as it is to the browser, as a PNG to download; only some, as they wait here until it takes them."""
        if self._picture is not None and self._screenshots < MOST_SCREENSHOTS:
            self._screenshots += 1
            content = imageio.imwrite('<bytes>', self._picture, extension='.png')
            self._client.send_file_download('screenshot.png', content, save_immediately=True)

    def _settle(self) -> None:
        """Apply the values of the controls; a level without colours cannot be shown in colour.

        A value that the page does not offer is ignored.
        """
        names = [each.name for each in self._stage.levels]
        if self._level.value not in names or self._shown.value not in LABELS or self._limit.value not in LIMITS:
            return
        chosen = names.index(self._level.value)
        has_colour = self._stage.levels[chosen].has_colour
        possible = tuple(name for name in LABELS if has_colour or LABELS[name] != 'rgb')
        if tuple(self._shown.options) != possible:
            # viser replaces a value that is no longer possible by the first option, which calls this again.
            self._shown.options = possible
        level = chosen - len(self._stage.levels)
        settings = Settings(LABELS[self._shown.value], level, LIMITS[self._limit.value], self._session.settings.crop)
        if settings != self._session.settings:
            self._sessions.change(self._session, settings=settings)

    def _cut(self, bounds: Bounds | None) -> None:
        """Show what is within bounds only; None: all."""
        if bounds != self._session.settings.crop:
            self._sessions.change(self._session, settings=self._session.settings._replace(crop=bounds))

    def _widen(self) -> None:
        """Set the camera's field of view to that of the control, within its limits."""
        degrees = float(self._fov.value)
        if math.isfinite(degrees):
            self._client.camera.fov = math.radians(min(max(degrees, self._fov.min), self._fov.max))

    def _look(self) -> None:
        """Update the session if the camera has moved; what is not a camera is ignored."""
        view, before = view_of(self._client.camera), self._session.view
        if view is None:
            return
        if before is None or view.lens != before.lens or not np.array_equal(view.pose, before.pose):
            self._sessions.change(self._session, view=view)
            self._marks.update(view, self._cameras.value)

    def _jump(self, view: View, up: np.ndarray) -> None:
        """Move the camera to a view, to orbit around a point ahead of it, with `up` [3] upwards."""
        self._move(view, up)
        self._fov.value = min(max(round(math.degrees(view.fov)), self._fov.min), self._fov.max)

    def _move(self, view: View, up: np.ndarray) -> None:
        camera, (_, position) = self._client.camera, to_browser(view.pose)
        with self._client.atomic():
            camera.position = position
            camera.up_direction = up
            camera.look_at = position - self._stage.beginning.reach * view.pose[:, 2]
            camera.fov = view.fov

    def _redraw(self) -> None:
        """Show or hide the cameras."""
        if self._session.view is not None:
            self._marks.update(self._session.view, self._cameras.value)
        self._sessions.change(self._session)
