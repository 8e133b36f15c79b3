"""Camera path of a page: its keyframes, the seconds between them, playing it, and saving it to a file."""

import dataclasses
import itertools
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nerf.errors import UserError
from nerf.paths.files import save_new_path_file
from nerf.ray.cameras import Camera
from nerf.viewer.failures import logged_failures, on_event
from nerf.viewer.marks import KEYFRAME, Marks
from nerf.viewer.stage import Stage
from nerf.viewer.views import View, path_through, view_of

MOST_KEYFRAMES = 1000
SECONDS = (0.1, 60.0)  # from a keyframe to the next, at least and at most
DEFAULT_SECONDS = 2.0
MOVES = 15  # of the camera in a second while a path is played
NONE = 'none'

Move = Callable[[View, np.ndarray], None]


@dataclasses.dataclass(eq=False)
class Keyframe:
    """View that the path passes, with the name of its mark and the seconds to the next one."""

    view: View
    mark: str
    seconds: float


class PathPanel:
    """Controls of a path, on one page."""

    def __init__(self, client: Any, stage: Stage, marks: Marks, jump: Move, move: Move) -> None:
        """Add the controls; `jump` and `move` bring the page's camera to a view and an up direction, `jump` for good."""
        self._client, self._stage, self._marks = client, stage, marks
        self._jump, self._move = jump, move
        self._keyframes: list[Keyframe] = []
        self._playing: threading.Event | None = None  # set: to stop
        self._turn, self._is_closed = threading.Lock(), False
        self._add_controls()

    def close(self) -> None:
        """Stop playing, for good: the page is gone."""
        self._is_closed = True
        self._stop()

    def _stop(self) -> None:
        with self._turn:
            playing, self._playing = self._playing, None
        if playing is not None:
            playing.set()
        self._play_button.label = 'Play'

    def _add_controls(self) -> None:
        gui = self._client.gui
        with gui.add_folder('Path'):
            add = gui.add_button('Add keyframe')
            self._chosen = gui.add_dropdown('Keyframe', (NONE,), initial_value=NONE)
            self._seconds = gui.add_number('Seconds to the next', DEFAULT_SECONDS, min=SECONDS[0], max=SECONDS[1], step=0.1)
            remove, clear = (gui.add_button(label) for label in ('Remove keyframe', 'Clear'))
            self._play_button = gui.add_button('Play')
            save = gui.add_button('Save path')
            self._said = gui.add_markdown('')
        for button, action in (
            (add, self._add),
            (remove, self._remove),
            (clear, self._clear),
            (self._play_button, self._play),
            (save, self._save),
        ):
            button.on_click(on_event(action))
        self._chosen.on_update(on_event(self._show_seconds))
        self._seconds.on_update(on_event(self._set_seconds))

    def _add(self) -> None:
        view = view_of(self._client.camera)
        if view is None or len(self._keyframes) >= MOST_KEYFRAMES:
            self._said.content = f'Not added: {MOST_KEYFRAMES} keyframes at most, each from a view of the scene.'
            return
        used = {each.mark for each in self._keyframes}
        mark = next(name for i in itertools.count(1) if (name := f'/keyframes/{i}') not in used)
        keyframe = Keyframe(view, mark, self._asked_seconds() or DEFAULT_SECONDS)
        self._keyframes.append(keyframe)
        self._marks.draw(keyframe.mark, view, KEYFRAME, on_event(lambda: self._clicked(keyframe)))
        self._list(len(self._keyframes))

    def _clicked(self, keyframe: Keyframe) -> None:
        """Choose a keyframe, and move the camera there."""
        self._list(self._keyframes.index(keyframe) + 1)
        self._jump(keyframe.view, keyframe.view.pose[:, 1])

    def _remove(self) -> None:
        """Remove the chosen keyframe."""
        keyframe = self._chosen_one()
        if keyframe is None:
            self._said.content = 'Choose a keyframe to remove.'
            return
        number = self._keyframes.index(keyframe)
        self._keyframes.remove(keyframe)
        self._marks.remove(keyframe.mark)
        self._list(min(number + 1, len(self._keyframes)))

    def _clear(self) -> None:
        """Remove all keyframes."""
        while self._keyframes:
            self._marks.remove(self._keyframes.pop().mark)
        self._list(0)

    def _list(self, chosen: int) -> None:
        """List the keyframes by their numbers, with the one of number `chosen` chosen, and say how long the path is."""
        self._chosen.options = tuple(str(i + 1) for i in range(len(self._keyframes))) or (NONE,)
        self._chosen.value = str(chosen) if chosen else NONE
        self._show_seconds()
        self._say_length()

    def _say_length(self) -> None:
        count = len(self._keyframes)
        seconds = sum(each.seconds for each in self._keyframes[:-1])
        length = f', {seconds:g} s' if count > 1 else ''
        self._said.content = f'{count} keyframe{"s" if count > 1 else ""}{length}' if count else ''

    def _chosen_one(self) -> Keyframe | None:
        """Return the keyframe whose number is chosen; a value that the page does not offer is none."""
        numbers = {str(i + 1): each for i, each in enumerate(self._keyframes)}
        return numbers.get(str(self._chosen.value))

    def _show_seconds(self) -> None:
        keyframe = self._chosen_one()
        if keyframe is not None:
            self._seconds.value = keyframe.seconds

    def _set_seconds(self) -> None:
        keyframe, seconds = self._chosen_one(), self._asked_seconds()
        if keyframe is not None and seconds is not None:
            keyframe.seconds = seconds
            self._say_length()

    def _asked_seconds(self) -> float | None:
        """Return the seconds of the control, within their limits; None: they are no number."""
        seconds = float(self._seconds.value)
        return min(max(seconds, SECONDS[0]), SECONDS[1]) if math.isfinite(seconds) else None

    def _path(self, fps: float) -> Camera:
        keyframes = list(self._keyframes)
        return path_through(
            [each.view for each in keyframes], [each.seconds for each in keyframes[:-1]], self._stage.cameras, fps
        )

    def _play(self) -> None:
        """Move the camera along the path, in its own time; or stop that."""
        if self._playing is not None:
            self._stop()
            return
        try:
            path = self._path(MOVES)
        except UserError as error:
            self._said.content = str(error)
            return
        with self._turn:  # of two clicks at once, one begins
            if self._playing is not None or self._is_closed:
                return
            self._playing = ended = threading.Event()
        self._play_button.label = 'Stop'
        # A thread of its own: viser's are few, and shared by all pages.
        threading.Thread(target=self._follow, args=(path, ended), daemon=True).start()

    def _follow(self, path: Camera, ended: threading.Event) -> None:
        with logged_failures('playing a path'):
            began, last = time.monotonic(), len(path.width) - 1
            while not ended.is_set():
                number = min(round((time.monotonic() - began) * MOVES), last)
                camera = path.at(number)
                pose = np.asarray(camera.camera_to_world, np.float64)
                height, focal = float(camera.height), float(camera.camera_to_pixel[1, 1])
                view = View(pose, 2 * math.atan(0.5 * height / focal), float(camera.width) / height)
                self._move(view, pose[:, 1])
                if number == last:
                    break
                ended.wait(1 / MOVES)
        if not ended.is_set():
            self._stop()

    def save(self) -> Path:
        """Save the path to a new file, unless there is one with the same path, and return it.

        Raises:
            UserError: there is no path, or it cannot be saved.
        """
        return save_new_path_file(self._stage.model_dir, self._path(self._stage.fps), self._stage.fps)

    def _save(self) -> None:
        folder = self._stage.model_dir
        try:
            file = self.save()
        except UserError as error:
            self._said.content = str(error)
            return
        self._said.content = (
            f'Saved {file}. Make a video of it:\n\n'
            f'`python render.py --model_dir={folder} --task=video --path=file --path_file={file}`'
        )
