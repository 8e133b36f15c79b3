"""Page of one browser: its controls, the background image, and the cameras drawn into the scene."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nerf.errors import UserError
from nerf.paths.files import save_path_file
from nerf.viewer.failures import logged_failures
from nerf.viewer.pictures import LABELS, SIZES, Settings
from nerf.viewer.progress_panel import ProgressPanel
from nerf.viewer.session import Session, Sessions
from nerf.viewer.stage import Stage
from nerf.viewer.views import View, path_through, to_browser, view_of

LIMITS = {str(math.isqrt(size)): size for size in SIZES[::2]}  # keys: the side of a square with as many pixels
INSIDE = 5.0  # a camera nearer to the viewpoint than this many scales is not drawn: it would hide everything
PHOTO, KEYFRAME = (90, 90, 90), (220, 60, 20)
MOST_KEYFRAMES = 1000


def _on_event(action: Callable[[], None]) -> Callable[[Any], None]:
    """Return a callback for an event of the page; one that fails is logged, and changes nothing else."""

    def callback(_: Any) -> None:
        with logged_failures('a request of a browser'):
            action()

    return callback


class Panel:
    """Page of one client of viser; a `nerf.viewer.session.Page`."""

    def __init__(self, client: Any, stage: Stage, sessions: Sessions) -> None:
        """Fill the page with controls and cameras, and register the callbacks."""
        self._client, self._stage, self._sessions = client, stage, sessions
        self._keyframes: list[View] = []
        self._marks: dict[str, tuple[Any, np.ndarray]] = {}  # handles and positions of the cameras drawn
        self._progress = ProgressPanel(client.gui, *sessions.reported)
        self._session: Session = sessions.add(self)
        self._add_controls()
        self._add_path_controls()
        for mark in stage.marks:
            self._draw(f'/cameras/{mark.name}', mark.view, PHOTO, mark.photo)
        client.camera.on_update(_on_event(self._look))
        self._look()

    def close(self) -> None:
        """Remove the session of a browser that has disconnected."""
        self._sessions.remove(self._session)

    def show(self, picture: np.ndarray, depth: np.ndarray | None) -> None:
        """Set a picture, uint8 [h, w, 3], as the background; `depth` [h, w] hides drawn cameras behind surfaces."""
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
        reset = gui.add_button('First view')
        for each in (self._shown, self._level, self._limit):
            each.on_update(_on_event(self._settle))
        self._fov.on_update(_on_event(self._widen))
        self._cameras.on_update(_on_event(self._redraw))
        reset.on_click(_on_event(lambda: self._jump(self._stage.beginning.view, self._stage.beginning.up)))

    def _add_path_controls(self) -> None:
        gui = self._client.gui
        with gui.add_folder('Path'):
            add, clear, save = (gui.add_button(label) for label in ('Add keyframe', 'Clear', 'Save path'))
            self._said = gui.add_markdown('')
        add.on_click(_on_event(self._add_keyframe))
        clear.on_click(_on_event(self._clear))
        save.on_click(_on_event(self._save))

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
        settings = Settings(LABELS[self._shown.value], level, LIMITS[self._limit.value])
        if settings != self._session.settings:
            self._sessions.change(self._session, settings=settings)

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
            self._hide_inside(view)

    def _jump(self, view: View, up: np.ndarray) -> None:
        """Move the camera to a view, to orbit around a point ahead of it, with `up` [3] upwards."""
        camera, (_, position) = self._client.camera, to_browser(view.pose)
        with self._client.atomic():
            camera.position = position
            camera.up_direction = up
            camera.look_at = position - self._stage.beginning.reach * view.pose[:, 2]
            camera.fov = view.fov
        self._fov.value = min(max(round(math.degrees(view.fov)), self._fov.min), self._fov.max)

    def _draw(self, name: str, view: View, colour: tuple[int, int, int], photo: np.ndarray | None = None) -> None:
        """Draw a camera into the scene; a click on it moves the viewer's camera there."""
        wxyz, position = to_browser(view.pose)
        scale = self._stage.mark_scale
        mark = self._client.scene.add_camera_frustum(
            name,
            view.fov,
            view.aspect,
            scale=scale,
            thickness=scale / 30,
            color=colour,
            image=photo,
            wxyz=wxyz,
            position=position,
            visible=self._cameras.value,
        )
        mark.on_click(_on_event(lambda: self._jump(view, view.pose[:, 1])))
        self._marks[name] = mark, position

    def _redraw(self) -> None:
        """Show or hide the cameras."""
        if self._session.view is not None:
            self._hide_inside(self._session.view)
        self._sessions.change(self._session)

    def _hide_inside(self, view: View) -> None:
        for mark, position in list(self._marks.values()):
            is_away = np.linalg.norm(position - view.pose[:, 3]) > INSIDE * self._stage.mark_scale
            is_visible = bool(self._cameras.value and is_away)
            if mark.visible != is_visible:
                mark.visible = is_visible

    def _add_keyframe(self) -> None:
        view = view_of(self._client.camera)
        if view is None or len(self._keyframes) >= MOST_KEYFRAMES:
            self._said.content = f'Not added: {MOST_KEYFRAMES} keyframes at most, each from a view of the scene.'
            return
        self._keyframes.append(view)
        self._draw(f'/keyframes/{len(self._keyframes)}', view, KEYFRAME)
        self._hide_inside(view)
        self._said.content = f'{len(self._keyframes)} keyframe{"s" if len(self._keyframes) > 1 else ""}'

    def _clear(self) -> None:
        self._keyframes.clear()
        for name in [each for each in self._marks if each.startswith('/keyframes/')]:
            self._marks.pop(name)[0].remove()
        self._said.content = ''

    def _save(self) -> None:
        stage = self._stage
        try:
            save_path_file(str(stage.path_file), path_through(self._keyframes, stage.cameras, stage.num_frames), stage.fps)
        except UserError as error:
            self._said.content = str(error)
            return
        self._said.content = (
            f'Saved {stage.path_file}. Make a video of it:\n\n'
            f'`python render.py --model_dir={stage.path_file.parent} --task=video --path=file --path_file={stage.path_file}`'
        )
