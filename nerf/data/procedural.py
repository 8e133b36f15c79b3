"""The built-in scene: its cameras, images of any width, exact geometry, and its export as a folder in Blender's layout.

python -m nerf.data.procedural --out=DIR [--width=100]
"""

import argparse
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import jax
import jax.numpy as jnp
import numpy as np

from nerf.data.built_in.still_life import Surface, trace
from nerf.data.images import premultiply
from nerf.data.scene import SPLITS, Scene, make_scene, stack_cameras
from nerf.errors import UserError, exit_with_sentence
from nerf.host.files import atomic_folder
from nerf.lifting import in_chunks, over_samples
from nerf.ray.cameras import Camera, cast
from nerf.ray.structs import Array

CAMERA_ANGLE_X = 0.6911112070083618  # the field of view of the public Blender scenes, radians
RADIUS, NEAR, FAR = 4.0, 2.0, 6.0
COUNTS = {'train': 60, 'val': 4, 'test': 10}
SAMPLES = 4  # per pixel and axis
BLOCK = 1024  # pixels computed at once
SMALLEST = 8  # px


def _angles(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return azimuth and elevation of a split's cameras, radians.

    Training cameras lie on a Fibonacci spiral, evenly on the sphere from 5 to 75 degrees above the plate. Held-out cameras
    go around it once, at elevations between 20 and 46 degrees.
    """
    i = np.arange(COUNTS[split])
    share = (i + 0.5) / len(i)
    if split == 'train':
        low, high = np.sin(np.radians([5.0, 75.0]))
        return i * math.pi * (3 - math.sqrt(5)), np.arcsin(low + (high - low) * share)
    azimuth = 2 * math.pi * share
    wave = np.sin(2 * azimuth) if split == 'test' else np.cos(2 * azimuth + 0.5)
    return azimuth, np.radians(33 + 13 * wave)


def poses(split: str) -> np.ndarray:
    """Return the camera_to_world matrices of a split, [k, 3, 4]: on the upper hemisphere, looking at the origin, z up."""
    azimuth, elevation = _angles(split)
    zero = np.zeros_like(azimuth)
    right = np.stack([-np.sin(azimuth), np.cos(azimuth), zero], 1)
    back = np.stack([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], 1)
    return np.stack([right, np.cross(back, right), back, RADIUS * back], 2)


def views(width: int) -> tuple[tuple[str, ...], tuple[str, ...], Camera]:
    """Return names, splits and cameras of all images, `width` px wide and high; only the intrinsics depend on `width`.

    Raises:
        UserError: `width` is less than 8 px.
    """
    if width < SMALLEST:
        raise UserError(f'width {width} px found for the built-in scene, expected at least {SMALLEST}: choose a larger one')
    split = tuple(each for each in SPLITS for _ in range(COUNTS[each]))
    names = tuple(f'{each}_r_{i}' for each in SPLITS for i in range(COUNTS[each]))
    focal = 0.5 * width / math.tan(0.5 * CAMERA_ANGLE_X)
    lens = np.array([[focal, 0, 0.5 * width], [0, focal, 0.5 * width], [0, 0, 1]])
    count = len(names)
    pose = np.concatenate([poses(each) for each in SPLITS])
    return names, split, stack_cameras(pose, np.tile(lens, (count, 1, 1)), np.full((count, 2), width), NEAR, FAR)


def _colour(camera: Camera, xy: Array) -> Array:
    """Compute the colour [4] of ONE pixel, straight sRGB and alpha in [0, 1]: the mean over a grid of rays.

    Colours are averaged premultiplied and in sRGB, as images are composited.
    """
    steps = (jnp.arange(SAMPLES) + 0.5) / SAMPLES - 0.5
    grid = jnp.stack(jnp.meshgrid(steps, steps), -1).reshape(-1, 2)
    seen = over_samples(lambda offset: trace(cast(camera, xy + offset)))(grid)
    alpha = jnp.mean(seen.alpha)
    return jnp.append(jnp.mean(seen.rgb, axis=0) / jnp.maximum(alpha, 1e-6), alpha)


def _over_pixels(function: Callable) -> Callable:
    """Lift a function of ONE (camera, xy) to stacked cameras, camera indices [k] and pixels `xy` [k, 2]; numpy arrays."""

    @jax.jit
    def lifted(cameras: Camera, image: Array, xy: Array) -> Any:
        return in_chunks(lambda image, xy: function(cameras.at(image), xy), BLOCK)(image, xy)

    def call(cameras: Camera, image: np.ndarray, xy: np.ndarray) -> Any:
        padded = np.arange(-(-len(image) // BLOCK) * BLOCK).clip(max=len(image) - 1)  # whole chunks: one shape to compile
        with jax.disable_jit(False):  # what JAX_DISABLE_JIT is to show is the model, not how its photos are drawn
            found = lifted(cameras, image[padded], xy[padded])
        return jax.tree.map(lambda values: np.asarray(values)[: len(image)], found)

    return call


_colours = _over_pixels(_colour)
_coverages = _over_pixels(lambda camera, xy: _colour(camera, xy)[3])  # compiled without paint and light
_surfaces = _over_pixels(lambda camera, xy: trace(cast(camera, xy)))


def _centres(cameras: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Return image index [k] and centre [k, 2], px, of all pixels of all cameras, row by row, concatenated."""
    image, xy = [], []
    for i, (width, height) in enumerate(zip(cameras.width, cameras.height, strict=True)):
        rows, columns = np.divmod(np.arange(width * height), width)
        image.append(np.full(len(rows), i))
        xy.append(np.stack([columns, rows], axis=1).astype(np.float32) + 0.5)
    return np.concatenate(image), np.concatenate(xy)


def straight_images(cameras: Camera) -> list[np.ndarray]:
    """Render stacked cameras to straight sRGB and alpha on a transparent background, uint8 [height, width, 4] each."""
    image, xy = _centres(cameras)
    colours = np.zeros((len(image), 4), np.float32)
    seen = np.flatnonzero(_coverages(cameras, image, xy))
    if len(seen):
        colours[seen] = _colours(cameras, image[seen], xy[seen])
    pixels = np.rint(255 * colours).astype(np.uint8)
    sizes = list(zip(cameras.height, cameras.width, strict=True))
    ends = np.cumsum([height * width for height, width in sizes])
    return [each.reshape(*size, 4) for each, size in zip(np.split(pixels, ends[:-1]), sizes, strict=True)]


def ground_truth(camera: Camera) -> Surface:
    """Compute the exact surfaces at one camera's pixel centres: a `Surface` of numpy maps [height, width, ...]."""
    cameras = jax.tree.map(lambda field: np.asarray(field)[None], camera)
    surfaces = _surfaces(cameras, *_centres(cameras))
    size = (int(camera.height), int(camera.width))
    return jax.tree.map(lambda field: field.reshape(*size, *field.shape[1:]), surfaces)


def load(width: int = 100) -> Scene:
    """Render the built-in scene, its images `width` px wide and high.

    Raises:
        UserError: `width` is less than 8 px.
    """
    names, split, cameras = views(width)
    return make_scene(names, split, [premultiply(image) for image in straight_images(cameras)], cameras)


def write(out: str, width: int = 100) -> None:
    """Write the scene as a folder in the layout of the Blender scenes: PNGs with straight alpha and transforms_*.json.

    Files are written beside `out` and moved there at the end, so that a failure leaves nothing half written.

    Raises:
        UserError: `out` exists and is not an empty folder, or cannot be written, or `width` is less than 8 px.
    """
    with atomic_folder(out) as folder:
        _, split, cameras = views(width)
        images = straight_images(cameras)
        for each in SPLITS:
            _write_split(folder, each, [image for image, of in zip(images, split, strict=True) if of == each])


def _write_split(folder: Path, split: str, images: list[np.ndarray]) -> None:
    """Write one split's PNGs and its transforms file below `folder`."""
    Path(folder, split).mkdir(parents=True)
    frames = []
    for i, (image, pose) in enumerate(zip(images, poses(split), strict=True)):
        imageio.imwrite(Path(folder, split, f'r_{i}.png'), image)
        frames.append({'file_path': f'./{split}/r_{i}', 'transform_matrix': [*pose.tolist(), [0.0, 0.0, 0.0, 1.0]]})
    content = {'camera_angle_x': CAMERA_ANGLE_X, 'frames': frames}
    Path(folder, f'transforms_{split}.json').write_text(json.dumps(content, indent=2), encoding='utf-8')


@exit_with_sentence
def main(args: Sequence[str] | None = None) -> None:
    """Run the command: write the built-in scene to --out, --width px wide."""
    parser = argparse.ArgumentParser(prog='python -m nerf.data.procedural', description='Write the built-in scene as images.')
    parser.add_argument('--out', required=True, help='folder to write, new or empty')
    parser.add_argument('--width', type=int, default=100, help='width and height of the images, px')
    options = parser.parse_args(args)
    write(options.out, options.width)
    print(f'wrote {sum(COUNTS.values())} images of {options.width} px to {options.out}')


if __name__ == '__main__':
    main()
