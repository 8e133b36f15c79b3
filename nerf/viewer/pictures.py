"""Pictures of a scene fast enough to look around in it: how large they may be, and which of the model's levels they show."""

import dataclasses
import functools
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from flax import linen as nn

from nerf.ray.cameras import Camera
from nerf.ray.occupancy import Occupancy
from nerf.render import outputs
from nerf.render.image import Picture, Renderer, default_chunk
from nerf.viewer.views import Subject, View, camera_of, shape_of

_log = logging.getLogger('nerf')

# Pixels that a picture may have.
SIZES = tuple(1024 * 2**i for i in range(11))
ANSWER = 0.2  # s that a move of the camera may take to be seen; it may have to wait for a block, or for another answer
FINER = 4  # each picture has this many times the pixels of the one before
# What a picture shows, as the page calls it.
LABELS = {'colour' if name == 'rgb' else name.replace('_', ' '): name for name in outputs.OUTPUTS}


class Settings(NamedTuple):
    """What a browser wants to see.

    Attributes:
        shown: one of `nerf.render.outputs.OUTPUTS`.
        level: number of the model's level that is shown; the last is the final one.
        most: pixels that the finest picture may have.
    """

    shown: str = 'rgb'
    level: int = -1
    most: int = SIZES[8]


class Pace:
    """How many pixels a second are rendered, by the last few pictures."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._seconds_per_pixel: deque[float] = deque(maxlen=4)

    def took(self, num_pixels: int, seconds: float) -> None:
        """A picture of so many pixels took so long."""
        self._seconds_per_pixel.append(seconds / num_pixels)

    def affordable(self, seconds: float, most: int) -> int:
        """The largest size of at most `most` pixels that takes no longer than this, even at the slowest of late; or the least.

        The slowest counts because a view of empty space is fast and the next one need not be.
        """
        slowest = max(self._seconds_per_pixel, default=np.inf)
        return max([size for size in SIZES if size <= most and size * slowest <= seconds], default=SIZES[0])


def finer(size: int, most: int) -> int | None:
    """The size of the next picture while a camera stands still; None: this one was the finest of at most `most` pixels."""
    largest = max([each for each in SIZES if each <= most], default=SIZES[0])
    return min(FINER * size, largest) if size < largest else None


@dataclasses.dataclass(frozen=True)
class Kind:
    """A renderer of one pass, with or without normals, and how fast it is."""

    renderer: Renderer
    pace: Pace = dataclasses.field(default_factory=Pace)


class Pictures:
    """Pictures of one model from anywhere, all by the one renderer of images, compiled when a kind is first asked for.

    Attributes:
        cameras: the training cameras, stacked: near, far and NDC are theirs.
    """

    def __init__(
        self,
        model: nn.Module,
        background: str,
        cameras: Camera,
        subject: Subject | None = None,
        chunk: int | None = None,
        occupancy: Occupancy | None = None,
    ) -> None:
        """`chunk` rays at a time on each device (None: what fits); given an `occupancy`, what is empty is skipped."""
        self.cameras, self._subject = cameras, subject
        # Blocks of one chunk: a move is heard soon, and all pictures are computed by what was compiled for the first.
        chunk = chunk or default_chunk()
        self._make = functools.partial(Renderer, model, background, chunk, occupancy, rays_per_block=chunk)
        self._kinds: dict[tuple[int, bool], Kind] = {}

    def is_ready(self, settings: Settings) -> bool:
        """Whether what these settings need is compiled."""
        return self._key(settings) in self._kinds

    def prepare(self, variables: Any, settings: Settings = Settings()) -> None:  # noqa: B008, immutable
        """Compile what these settings need, by rendering a training view."""
        level, with_normal = key = self._key(settings)
        kind = Kind(self._make(with_normal=with_normal, level=level))
        first = self.cameras.at(0)
        width, height = int(first.width), int(first.height)
        focal = float(first.camera_to_pixel[1, 1])
        view = View(np.asarray(first.camera_to_world, np.float64), 2 * np.arctan(0.5 * height / focal), width / height)
        what = f'pictures{"" if level == -1 else " of an earlier pass"}{" with normals" if with_normal else ""}'
        _log.info('viewer: compiling %s ...', what)
        began = time.monotonic()
        self._render(kind, variables, view, SIZES[0])
        _log.info('viewer: compiled in %.1f s', time.monotonic() - began)
        self._timed(kind, variables, view, SIZES[0])
        self._kinds[key] = kind

    def render(
        self, variables: Any, view: View, settings: Settings, size: int, between: Callable[[], None] = lambda: None
    ) -> Picture:
        """All there is to see of a view in about `size` pixels, at the pass of the settings; `prepare` comes first.

        What `between` raises after a block of rays ends the picture.
        """
        return self._timed(self._kinds[self._key(settings)], variables, view, size, between)

    def answer_size(self, settings: Settings) -> int:
        """How many pixels a picture may have that a moving camera waits for."""
        return self._kinds[self._key(settings)].pace.affordable(ANSWER, settings.most)

    def camera(self, view: View, size: int) -> Camera:
        """The camera of a picture of about `size` pixels."""
        return camera_of(view, shape_of(size, view.aspect), self.cameras, self._subject)

    def _key(self, settings: Settings) -> tuple[int, bool]:
        return settings.level, outputs.needs_normal(settings.shown)

    def _timed(self, kind: Kind, *args: Any) -> Picture:
        began = time.monotonic()
        picture = self._render(kind, *args)
        kind.pace.took(args[2], time.monotonic() - began)
        return picture

    def _render(self, kind: Kind, variables: Any, view: View, size: int, between: Callable[[], None] = lambda: None) -> Picture:
        return kind.renderer.image(variables, self.camera(view, size), between)


def to_show(picture: Picture, camera: Camera, shown: str) -> np.ndarray:
    """A picture as colours, uint8 [h, w, 3]; in depths, near is bright."""
    return outputs.show(shown, picture, camera)
