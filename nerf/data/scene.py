"""The internal form of a scene, the same for all formats: images, cameras and splits."""

import dataclasses
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from nerf.data.names import SPLITS as SPLITS
from nerf.data.names import check_names, stem_of
from nerf.errors import UserError
from nerf.lifting import over_rays, over_samples
from nerf.ray.cameras import Camera, pixel_to_camera
from nerf.ray.lenses import Lens, distort, undistort
from nerf.ray.maths import matmul, norm
from nerf.ray.structs import Array

# Bound on the numbers of a camera: their squares and products do not overflow float32.
LARGEST = 1e9
CORNERS = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float32)  # of an image of width and height 1
MAX_SIDE, MAX_PIXELS = 2**16, 2**28  # px of one image
EDGES = np.array([[0, 0.5], [1, 0.5], [0.5, 0], [0.5, 1]], np.float32)  # midpoints of its edges


@dataclasses.dataclass(frozen=True)
class Scene:
    """Posed images of a scene, of any sizes.

    Attributes:
        names: one per image, unique: the split and the file's name without folder and ending, `test_r_0`.
        split: one of `SPLITS` per image.
        pixels: uint8 [sum of width x height, 4]: premultiplied sRGB and alpha of all images, row by row, concatenated.
        cameras: a `Camera` of numpy arrays with a leading image axis.
        weights: weight in the loss of each pixel of an image, float32 [images]; 1 unless given.
        points: float32 [n, 3], world, surface points, such as those of a COLMAP model; n may be 0.
        used: bool [sum of width x height], in the order of `pixels`: False where a mask takes a pixel out of the loss and of
            the metrics; None: no image has a mask.
    """

    names: tuple[str, ...]
    split: tuple[str, ...]
    pixels: np.ndarray
    cameras: Camera
    weights: np.ndarray | None = None
    points: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 3), np.float32))
    used: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.weights is None:
            object.__setattr__(self, 'weights', np.ones(len(self.names), np.float32))

    @property
    def offsets(self) -> np.ndarray:
        """Index of each image's first pixel in `pixels`, int64 [images + 1]; the last entry is the number of pixels."""
        sizes = self.cameras.width.astype(np.int64) * self.cameras.height
        return np.concatenate([[0], np.cumsum(sizes)])

    def indices(self, split: str) -> np.ndarray:
        """Return the indices of a split's images, in file order, int32 [k]."""
        return np.array([i for i, name in enumerate(self.split) if name == split], np.int32)

    def image(self, index: int) -> np.ndarray:
        """Return one image, uint8 [height, width, 4], premultiplied."""
        start, stop = self.offsets[index : index + 2]
        return self.pixels[start:stop].reshape(int(self.cameras.height[index]), int(self.cameras.width[index]), 4)

    def mask(self, index: int) -> np.ndarray | None:
        """Return where one image is used, bool [height, width]; None if no image of the scene has a mask."""
        if self.used is None:
            return None
        start, stop = self.offsets[index : index + 2]
        return self.used[start:stop].reshape(int(self.cameras.height[index]), int(self.cameras.width[index]))

    def stem(self, index: int) -> str:
        """Return an image's name without its split (`r_0`), unique within the split; renders are named by it."""
        return stem_of(self.names[index], self.split[index])

    def camera(self, index: int) -> Camera:
        """Return the camera of one image."""
        return self.cameras.at(index)


def make_scene(
    names: Sequence[str],
    split: Sequence[str],
    images: Sequence[np.ndarray],
    cameras: Camera,
    weights: np.ndarray | None = None,
) -> Scene:
    """Make a checked `Scene` from premultiplied uint8 images [height, width, 4] and their stacked cameras.

    The images are copied; loaders of files, which may be many, fill the buffer themselves and call `checked`.
    `weights` [images] are the weights in the loss of each pixel of an image; None: all 1.

    Raises:
        UserError: as `checked`, or an image that is not uint8 or not of its camera's size.
    """
    for i, (name, image) in enumerate(zip(names, images, strict=True)):
        size = (int(cameras.height[i]), int(cameras.width[i]))
        if image.shape != (*size, 4) or image.dtype != np.uint8:
            raise UserError(f'image {name}: found {image.dtype} {image.shape}, expected uint8 {(*size, 4)} by its camera')
    pixels = np.concatenate([image.reshape(-1, 4) for image in images]) if images else np.zeros((0, 4), np.uint8)
    return checked(Scene(tuple(names), tuple(split), pixels, cameras, weights))


def checked(scene: Scene) -> Scene:
    """Return the scene if it can be trained on.

    Raises:
        UserError: an invalid name, camera or distortion, pixels that are not those of the cameras, a weight that is not
            positive, an image of which nothing is used, no training image.
    """
    check_names(scene.names, scene.split)
    for i, name in enumerate(scene.names):
        check_camera(name, scene.cameras.at(i))
    check_lenses(scene.names, scene.cameras)
    count = int(scene.offsets[-1])
    if scene.pixels.shape != (count, 4) or scene.pixels.dtype != np.uint8:
        raise UserError(f'found pixels {scene.pixels.dtype} {scene.pixels.shape}, expected uint8 {(count, 4)} by the cameras')
    if 'train' not in scene.split:
        raise UserError(f'no training image among {len(scene.names)}: check the split files')
    for name, weight in zip(scene.names, scene.weights, strict=True):
        if not 0 < weight < LARGEST:
            raise UserError(f'image {name}: weight {weight} found, expected a positive number below {LARGEST:g}')
    if scene.used is not None:
        if scene.used.shape != (count,) or scene.used.dtype != bool:
            raise UserError(f'found masks {scene.used.dtype} {scene.used.shape}, expected bool {(count,)} by the cameras')
        for i, name in enumerate(scene.names):
            if not scene.mask(i).any():
                raise UserError(f'image {name}: its mask leaves nothing of it, expected white where it is used: leave it out')
    return scene


def check_camera(name: str, camera: Camera) -> None:
    """Check one camera: finite numbers, a rotation, positive sizes and focal lengths, 0 <= near < far; see `check_lenses`.

    Raises:
        UserError: an invalid camera; the message names it and the value.
    """
    pose = np.asarray(camera.camera_to_world, np.float64)
    if not (np.abs(pose) < LARGEST).all():
        raise UserError(
            f'camera of {name}: its pose has a value that is not finite or above {LARGEST:g}; repair or remove this frame'
        )
    rotation = pose[:, :3]
    if not np.allclose(rotation.T @ rotation, np.eye(3), atol=1e-3) or np.linalg.det(rotation) < 0:
        raise UserError(f'camera of {name}: its 3x3 part is not a rotation (right-handed, orthonormal columns)')
    width, height = int(camera.width), int(camera.height)
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and width * height <= MAX_PIXELS):
        raise UserError(f'camera of {name}: {width} x {height} px found, expected 1 to {MAX_SIDE} px and {MAX_PIXELS} in all')
    lens = np.asarray(camera.camera_to_pixel, np.float64)
    if not (np.abs(lens) < LARGEST).all() or min(lens[0, 0], lens[1, 1]) < 1 / LARGEST:
        raise UserError(
            f'camera of {name}: focal lengths {lens[0, 0]:g}, {lens[1, 1]:g} px and principal point {lens[0, 2]:g}, '
            f'{lens[1, 2]:g} px found, expected positive focal lengths, and all below {LARGEST:g}'
        )
    if [lens[1, 0], *lens[2]] != [0, 0, 0, 1]:
        raise UserError(f'camera of {name}: intrinsics {lens.tolist()} found, expected 0 below f_x, and the last row 0, 0, 1')
    if not 0 <= camera.near < camera.far < LARGEST:
        raise UserError(
            f'camera of {name}: near {camera.near} and far {camera.far} found, expected 0 <= near < far < {LARGEST:g}'
        )
    if camera.lens is not None and not (np.abs(camera.lens.coefficients) < LARGEST).all():
        raise UserError(f'camera of {name}: distortion {_listed(camera.lens)} found, expected finite numbers')
    if camera.lens is not None and camera.lens.is_fisheye not in (0, 1):
        raise UserError(f'camera of {name}: lens_is_fisheye {camera.lens.is_fisheye} found, expected 0 or 1')
    if camera.ndc is not None and not (np.isfinite(camera.ndc).all() and np.min(camera.ndc) > 0):
        raise UserError(f'camera of {name}: NDC scale {np.asarray(camera.ndc).tolist()} found, expected positive numbers')


def check_lenses(names: Sequence[str], cameras: Camera) -> None:
    """Check that the distortion of stacked cameras can be inverted at the corners of the image, to half a pixel.

    For a fisheye, whose image may be a circle, the midpoints of the edges are checked instead.

    Raises:
        UserError: it cannot; the message names the camera and its coefficients.
    """
    if cameras.lens is None:
        return
    for i, (name, miss) in enumerate(zip(names, np.asarray(_misses(cameras)), strict=True)):
        if not miss < 0.5:
            lens = cameras.at(i).lens
            where = 'middle of an edge' if lens.is_fisheye else 'corner'
            raise UserError(
                f'camera of {name}: distortion {_listed(lens)} found, which shows nothing at a {where} of its image; '
                'expected coefficients that were fitted to the whole image: check their order and sign'
            )


def _listed(lens: Lens) -> str:
    """Format the coefficients that the distortion model uses, for messages."""
    names = ('k1', 'k2', 'k3', 'k4') if lens.is_fisheye else ('k1', 'k2', 'p1', 'p2', 'k3', 'k4', 'k5', 'k6')
    return ', '.join(f'{name} {float(value):g}' for name, value in zip(names, lens.coefficients, strict=False))


def _miss(camera: Camera) -> Array:
    """Compute the largest |distort(undistort(p)) - p| at the corners (fisheye: edge midpoints) of ONE image, px, []."""
    lens, to_pixel = camera.lens, camera.camera_to_pixel
    xys = jnp.where(lens.is_fisheye > 0, EDGES, CORNERS) * jnp.stack([camera.width, camera.height])[None]

    def miss(xy: Array) -> Array:
        x, y, _ = pixel_to_camera(to_pixel, xy)
        plane = jnp.stack([x, -y])
        return norm(matmul(to_pixel[:2, :2], distort(lens, undistort(lens, plane)) - plane))

    return jnp.max(over_samples(miss)(xys))


_misses = jax.jit(over_rays(_miss))


def stack_cameras(
    poses: np.ndarray, lenses: np.ndarray, sizes: np.ndarray, near: float | np.ndarray, far: float | np.ndarray
) -> Camera:
    """Stack cameras from poses [k, 3, 4], intrinsics [k, 3, 3], (width, height) [k, 2] and bounds near, far, [] or [k]."""
    count = len(poses)
    with np.errstate(over='ignore'):  # overflow to infinity is refused by `check_camera`
        poses, lenses = np.asarray(poses, np.float32), np.asarray(lenses, np.float32)
    return Camera(
        camera_to_world=poses,
        camera_to_pixel=lenses,
        width=np.asarray(sizes)[:, 0].astype(np.int32),
        height=np.asarray(sizes)[:, 1].astype(np.int32),
        near=np.full(count, near, np.float32),
        far=np.full(count, far, np.float32),
    )


# Shape of one camera's numbers and their type, of all that is always there; then of what may be there.
CAMERA_ARRAYS = {
    'camera_to_world': ((3, 4), np.float32),
    'camera_to_pixel': ((3, 3), np.float32),
    'width': ((), np.int32),
    'height': ((), np.int32),
    'near': ((), np.float32),
    'far': ((), np.float32),
}
OPTIONAL_ARRAYS = {
    'lens_coefficients': ((8,), np.float32),
    'lens_is_fisheye': ((), np.int32),
    'ndc': ((2,), np.float32),
}


def camera_arrays(cameras: Camera) -> dict[str, np.ndarray]:
    """Return the fields of stacked cameras that are not None, by name; `lens` as lens_coefficients and lens_is_fisheye."""
    fields = {field.name: getattr(cameras, field.name) for field in dataclasses.fields(Camera)}
    lens = fields.pop('lens')
    if lens is not None:
        fields |= {f'lens_{field.name}': getattr(lens, field.name) for field in dataclasses.fields(Lens)}
    return {name: np.asarray(value) for name, value in fields.items() if value is not None}


def cameras_of_arrays(arrays: Mapping[str, np.ndarray]) -> Camera:
    """Make stacked cameras of the arrays of `camera_arrays`; other names are ignored.

    Raises:
        KeyError: an array that all cameras need is missing.
    """
    names = [field.name for field in dataclasses.fields(Camera) if field.name not in ('lens', 'ndc')]
    lens = Lens(arrays['lens_coefficients'], arrays['lens_is_fisheye']) if 'lens_coefficients' in arrays else None
    return Camera(**{name: arrays[name] for name in names}, lens=lens, ndc=arrays.get('ndc'))


def with_corner_pixels(scene: Scene) -> Scene:
    """Move rays from the centres of pixels to their corners, as in the original NeRF code (`DataOptions.paper_pixels`).

    The principal point moves by half a pixel in all splits, so that training and evaluation agree. The effect is small on
    images of 800 px; on images downsampled to 100 px it is why NeRF falls behind.
    """
    lenses = scene.cameras.camera_to_pixel.copy()
    lenses[:, :2, 2] += 0.5
    return dataclasses.replace(scene, cameras=scene.cameras.replace(camera_to_pixel=lenses))
