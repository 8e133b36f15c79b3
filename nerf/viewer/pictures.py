"""Pictures at interactive rates: their size by the measured speed, and renderers for each of the model's levels."""

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
from nerf.viewer.crop import Bounds, cropped
from nerf.viewer.views import Subject, View, camera_of, shape_of

_log = logging.getLogger('nerf')

# Sizes of pictures, in pixels.
SIZES = tuple(1024 * 2**i for i in range(11))
ANSWER = 0.2  # s, for the first picture after a camera move; waiting for a block or another browser comes on top
FINER = 4  # each refinement has this many times the pixels of the picture before
PLAIN = {
    'rgb': 'colour',
    'mean': 'distance (mean)',
    'median': 'distance (median)',
    'acc': 'opacity',
    'normals': 'surface normals',
    'normals_camera': "surface normals, in the camera's axes",
}
# The names of outputs, by their labels on the page: of those that every view has.
LABELS = {PLAIN.get(name, name.replace('_', ' ')): name for name, output in outputs.OUTPUTS.items() if output.quantity is None}


class Settings(NamedTuple):
    """Settings of a browser's picture.

    Attributes:
        shown: one of `nerf.render.outputs.OUTPUTS`.
        level: number of the model's level that is shown, from the end: -1 is the final one.
        most: pixels that the finest picture may have.
        crop: bounds of the box outside of which nothing is shown; None: all is.
    """

    shown: str = 'rgb'
    level: int = -1
    most: int = SIZES[8]
    crop: Bounds | None = None


class Pace:
    """Rendering speed, measured on the last few pictures."""

    def __init__(self) -> None:
        """Start without measurements."""
        self._seconds_per_pixel: deque[float] = deque(maxlen=4)

    def took(self, num_pixels: int, seconds: float) -> None:
        """Record the time that a picture of this many pixels took."""
        self._seconds_per_pixel.append(seconds / num_pixels)

    def affordable(self, seconds: float, most: int) -> int:
        """Return the largest size of at most `most` pixels that renders within `seconds` at the slowest recent speed.

        Without one, return the smallest size. The slowest counts because views of empty space are fast and the next may not be.
        """
        slowest = max(self._seconds_per_pixel, default=np.inf)
        return max([size for size in SIZES if size <= most and size * slowest <= seconds], default=SIZES[0])


def finer(size: int, most: int) -> int | None:
    """Return the size of the next refinement for a still camera; None: `size` is the finest of at most `most` pixels."""
    largest = max([each for each in SIZES if each <= most], default=SIZES[0])
    return min(FINER * size, largest) if size < largest else None


@dataclasses.dataclass
class Kind:
    """Renderer of one level, with or without normals, its measured speed, and the box that it is cropped to now."""

    renderer: Renderer
    crop: Bounds | None = None
    pace: Pace = dataclasses.field(default_factory=Pace)


class Pictures:
    """Pictures of one model from any viewpoint.

    The renderer for each level, with or without normals, cropped or not, is compiled once.

    Attributes:
        cameras: the training cameras, stacked, which define near, far and NDC.
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
        """Compute `chunk` rays at a time on each device (None: what fits); with an `occupancy`, skip empty space."""
        self.cameras, self._subject = cameras, subject
        # Blocks of one chunk: a move takes effect soon, and pictures of all sizes share one compiled program.
        chunk = chunk or default_chunk()
        self._make = functools.partial(Renderer, model, background, chunk, rays_per_block=chunk)
        self._occupancy = occupancy
        self._kinds: dict[tuple[int, bool, bool], Kind] = {}

    def is_ready(self, settings: Settings) -> bool:
        """Return whether the renderer for these settings is compiled."""
        return self._key(settings) in self._kinds

    def prepare(self, variables: Any, settings: Settings = Settings()) -> None:  # noqa: B008, immutable
        """Compile the renderer for these settings, by rendering a training view."""
        level, with_normal, is_cropped = key = self._key(settings)
        occupancy = cropped(settings.crop, self._occupancy) if is_cropped else self._occupancy
        kind = Kind(self._make(occupancy=occupancy, with_normal=with_normal, level=level), crop=settings.crop)
        first = self.cameras.at(0)
        width, height = int(first.width), int(first.height)
        focal = float(first.camera_to_pixel[1, 1])
        view = View(np.asarray(first.camera_to_world, np.float64), 2 * np.arctan(0.5 * height / focal), width / height)
        what = f'pictures{"" if level == -1 else " of an earlier level"}{" with normals" if with_normal else ""}'
        what += ', cropped' if is_cropped else ''
        _log.info('viewer: compiling %s ...', what)
        began = time.monotonic()
        self._render(kind, variables, view, SIZES[0])
        _log.info('viewer: compiled in %.1f s', time.monotonic() - began)
        self._timed(kind, variables, view, SIZES[0])
        self._kinds[key] = kind

    def render(
        self, variables: Any, view: View, settings: Settings, size: int, between: Callable[[], None] = lambda: None
    ) -> Picture:
        """Render all maps of a view in about `size` pixels, at the level of the settings; call `prepare` first.

        An exception raised by `between`, which is called after each block of rays, ends the picture.
        """
        kind = self._kinds[self._key(settings)]
        if settings.crop != kind.crop:
            kind.renderer.replace_occupancy(cropped(settings.crop, self._occupancy))
            kind.crop = settings.crop
        return self._timed(kind, variables, view, size, between)

    def answer_size(self, settings: Settings) -> int:
        """Return the number of pixels of the first picture after a camera move."""
        return self._kinds[self._key(settings)].pace.affordable(ANSWER, settings.most)

    def camera(self, view: View, size: int) -> Camera:
        """Build the camera of a picture of about `size` pixels."""
        return camera_of(view, shape_of(size, view.aspect), self.cameras, self._subject)

    def _key(self, settings: Settings) -> tuple[int, bool, bool]:
        return settings.level, outputs.needs_normal(settings.shown), settings.crop is not None

    def _timed(self, kind: Kind, *args: Any) -> Picture:
        began = time.monotonic()
        picture = self._render(kind, *args)
        kind.pace.took(args[2], time.monotonic() - began)
        return picture

    def _render(self, kind: Kind, variables: Any, view: View, size: int, between: Callable[[], None] = lambda: None) -> Picture:
        return kind.renderer.image(variables, self.camera(view, size), between)


def to_show(picture: Picture, camera: Camera, shown: str) -> np.ndarray:
    """Convert a rendered picture to colours, uint8 [h, w, 3]; in depth maps, near is bright."""
    return outputs.show(shown, picture, camera)
