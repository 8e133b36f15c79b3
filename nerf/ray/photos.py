"""Per-image parameters (exposure, appearance embedding, refinement of the pose), and what they change of ONE pixel.

`PHOTO_NUMBERS` maps the names that a config may train (`config.photos.NAME = {'learning_rate': ...}`) to `PhotoNumbers`.
The tables [num_photos, count] are in the training state; each pixel is given the row of its own photo. A row has three
places: the camera before the ray is cast, the model (`photo` of its call), and the composited colour. A view that is no
photo has none (`photo` is None), and nothing is changed. Add one line to add numbers.
"""

import dataclasses
from collections.abc import Callable, Mapping

from jaxtyping import Array, Float

from nerf.ray.cameras import Camera

Photo = dict[str, Float[Array, 'count']]


@dataclasses.dataclass(frozen=True)
class PhotoNumbers:
    """Numbers of each photo under one name. A model may read them too: its `photo[name]`.

    Attributes:
        count: how many of each photo.
        start: their value before training: the one that changes nothing.
        camera: (camera, numbers) -> the camera through which the pixel's ray is cast.
        colour: (rgb, numbers) -> the colour of the pixel, after compositing.
    """

    count: int
    start: float = 0.0
    camera: Callable[[Camera, Float[Array, 'count']], Camera] = lambda camera, numbers: camera
    colour: Callable[[Float[Array, '3'], Float[Array, 'count']], Float[Array, '3']] = lambda rgb, numbers: rgb


PHOTO_NUMBERS: dict[str, PhotoNumbers] = {}


def adjust_camera(camera: Camera, photo: Mapping[str, Array] | None) -> Camera:
    """Return the camera that a photo's numbers correct; the same camera without a photo."""
    for name, numbers in (photo or {}).items():
        camera = PHOTO_NUMBERS[name].camera(camera, numbers)
    return camera


def adjust_colour(rgb: Float[Array, '3'], photo: Mapping[str, Array] | None) -> Float[Array, '3']:
    """Return the composited colour as a photo's numbers change it; the same colour without a photo."""
    for name, numbers in (photo or {}).items():
        rgb = PHOTO_NUMBERS[name].colour(rgb, numbers)
    return rgb
