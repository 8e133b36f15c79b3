"""Batches of pixels, each a pure function of (seed, step), so that training can resume at any step."""

import dataclasses
from collections.abc import Iterator

import jax
import numpy as np

from nerf.data.scene import Scene
from nerf.errors import UserError, unknown
from nerf.ray.structs import Pixel

BATCHINGS = ('mixed', 'single_image')
DRAWS = 100  # of a pixel, until one is found that no mask takes out
CROP = 0.5  # of width and height, in the first steps of a run with `crop_steps` (NeRF's code)


@dataclasses.dataclass(frozen=True)
class Batches:
    """The choice of the pixels of each batch.

    A batch is a function of (seed, step), so that any step can be made without the ones before it: resuming is exact and free.

    Attributes:
        seed: of the whole run.
        batch_size: pixels of a batch, of all processes and devices together.
        batching: 'mixed' draws from all pixels of all images, 'single_image' from one image for each batch.
        crop_steps: during these first steps only the central half of each image is used.
    """

    seed: int
    batch_size: int
    batching: str = 'mixed'
    crop_steps: int = 0

    def __post_init__(self) -> None:
        if self.batching not in BATCHINGS:
            raise unknown('batching', self.batching, BATCHINGS)
        if self.batch_size < 1:
            raise UserError(f'batch_size {self.batch_size} found, expected at least 1')
        if self.seed < 0:
            raise UserError(f'seed {self.seed} found, expected at least 0')

    def at(self, scene: Scene, images: np.ndarray, step: int) -> Pixel:
        """Draw the whole batch of a step, over all processes, from the pixels of the images with indices `images` [k]."""
        crop = CROP if step < self.crop_steps else 1.0
        return pixel_batch(scene, images, self.seed, step, self.batch_size, self.batching, crop)


def plain_batches(scene: Scene, batches: Batches, first_step: int, rows: slice = slice(None)) -> Iterator[Pixel]:
    """Yield this process's `rows` of the batch of each step from `first_step` on, of training pixels, without end."""
    images, step = scene.indices('train'), first_step
    while True:
        yield jax.tree.map(lambda field: field[rows], batches.at(scene, images, step))
        step += 1


def pixel_batch(
    scene: Scene, images: np.ndarray, seed: int, step: int, count: int, batching: str = 'mixed', crop: float = 1.0
) -> Pixel:
    """Draw `count` pixels uniformly, with replacement, from the central parts of images [k], as a function of (seed, step).

    Pixels that a mask takes out are drawn anew, so that a batch has as many rays with a mask as without; if nothing else is
    found, their weight is 0. Where all of the central parts is masked, the whole images are drawn from.

    Args:
        images: [k], their indices in the scene.
        crop: share of the width and of the height that is used.

    Returns:
        A `Pixel` of numpy arrays with a leading axis [count]; each has its image's weight, or 0.
    """
    draw = np.random.Generator(np.random.Philox(key=np.array([seed, step], np.uint64)))
    all_images = images
    if batching == 'single_image':
        images = images[draw.integers(len(images), size=1)]
    size = np.stack([scene.cameras.width, scene.cameras.height], axis=1)[images].astype(np.int64)
    part = np.maximum(1, np.rint(size * crop).astype(np.int64))
    corner = (size - part) // 2

    stops = np.cumsum(part[:, 0] * part[:, 1])
    starts = np.concatenate([[0], stops])

    def place_of(drawn: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return camera, column, row and the index in `scene.pixels` of numbers [n] of pixels of these parts."""
        chosen = np.searchsorted(stops, drawn, side='right')
        within = drawn - starts[chosen]
        column = corner[chosen, 0] + within % part[chosen, 0]
        row = corner[chosen, 1] + within // part[chosen, 0]
        return images[chosen], column, row, scene.offsets[images[chosen]] + row * size[chosen, 0] + column

    drawn = draw.integers(stops[-1], size=count)
    masked = np.arange(count)
    for _ in range(0 if scene.used is None else DRAWS):
        masked = masked[~scene.used[place_of(drawn[masked])[3]]]
        if not len(masked):
            break
        drawn[masked] = draw.integers(stops[-1], size=len(masked))
    if scene.used is not None and len(masked) == count and crop < 1:  # a batch without any weight has no gradient
        return pixel_batch(scene, all_images, seed, step, count, batching)
    camera, column, row, index = place_of(drawn)
    weight = scene.weights[camera]
    return Pixel(
        camera=camera.astype(np.int32),
        xy=np.stack([column, row], axis=1).astype(np.float32) + np.float32(0.5),
        rgba=scene.pixels[index],
        weight=weight if scene.used is None else weight * scene.used[index],
    )
