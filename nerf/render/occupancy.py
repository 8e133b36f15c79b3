"""The occupancy grid of a trained model: its density sampled once all over the scene, so that rendering skips empty space."""

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from nerf import lifting
from nerf.host.untrusted import ArrayHeader, UnreadableError, read_arrays
from nerf.ray.cameras import Camera, cast
from nerf.ray.occupancy import Occupancy
from nerf.render.image import default_chunk

# Cells per axis: of the grid that finds where the scene is, and of the one that is kept.
COARSE, FINE = 64, 128
# A cell is empty where a ray that crosses it is stopped with less than this probability.
MIN_ALPHA = 0.01
# Cells of one block on each device.
BLOCK = 65536
MAX_BYTES = 2**23  # of a stored grid, unpacked


def view_bounds(cameras: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Compute the box that holds the views of cameras (stacked) between near and far, lower and upper corner [3].

    In the space of the rays: the world, or NDC. From rays on a grid of 5 x 5 over each image, its corners and edges included.
    """
    shares = np.array(list(itertools.product(np.linspace(0, 1, 5), repeat=2)), np.float32)

    def ends(camera: Camera, share: Array) -> Array:
        ray = cast(camera, share * jnp.stack([camera.width, camera.height]))
        return jnp.stack([ray.origin + t * ray.direction for t in (ray.near, ray.far)])

    of_all = lifting.over_rays(lifting.over_samples(ends, in_axes=(None, 0)), in_axes=(0, None))
    points = np.asarray(jax.jit(of_all)(cameras, shares), np.float64).reshape(-1, 3)
    return points.min(0), points.max(0)


def cell_centres(lower: np.ndarray, upper: np.ndarray, n: int) -> np.ndarray:
    """Return the centres of the n x n x n cells of a box, [n^3, 3], world; x changes slowest, as in `Occupancy.cells`."""
    axes = [low + (np.arange(n) + 0.5) * (high - low) / n for low, high in zip(lower, upper, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing='ij'), axis=-1).reshape(-1, 3).astype(np.float32)


def cell_opacity(
    model: nn.Module, variables: Mapping[str, Any], centre: Float[Array, '3'], widths: Float[Array, '3']
) -> Float[Array, '']:
    """Compute how likely ONE cell of these widths stops a ray that crosses it: the most of its eight octants."""
    edge = jnp.max(widths)

    def density(octant: Array) -> Array:
        return model.apply(variables, centre + octant * widths, edge / 2, method='density')

    density = lifting.over_samples(density)(jnp.array(list(itertools.product((-0.25, 0.25), repeat=3))))
    return 1 - jnp.exp(-jnp.max(density) * edge)


def dilate(cells: np.ndarray) -> np.ndarray:
    """Mark every neighbour of an occupied cell too, corners included, bool [n, n, n] -> [n, n, n]."""
    for axis in range(3):
        padded = np.pad(cells, [(1, 1) if i == axis else (0, 0) for i in range(3)])
        n = cells.shape[axis]
        cells = np.logical_or.reduce([padded.take(range(i, i + n), axis) for i in range(3)])
    return cells


def build_occupancy(model: nn.Module, variables: Any, cameras: Camera, between: Callable[[], None] = lambda: None) -> Occupancy:
    """Find where the model (variables replicated) has density, within the views of these cameras (stacked).

    A coarse grid over all the views finds the box around the scene; a fine one over this box is evaluated only where the
    coarse one is occupied. Either is widened by one cell on all sides. `between` is called after each block of cells.
    """
    opacity = lifting.Blocks(
        lambda variables, widths, centre: cell_opacity(model, variables, centre, widths), default_chunk(), BLOCK
    )

    def occupied(points: np.ndarray, widths: np.ndarray) -> np.ndarray:
        if not len(points):
            return np.zeros(0, bool)
        return opacity(variables, widths, points, size=opacity.size(), between=between) > MIN_ALPHA

    lower, upper = view_bounds(cameras)
    widths = ((upper - lower) / COARSE).astype(np.float32)
    coarse = dilate(occupied(cell_centres(lower, upper, COARSE), widths).reshape(COARSE, COARSE, COARSE))
    if not coarse.any():
        return Occupancy(lower.astype(np.float32), upper.astype(np.float32), coarse.astype(np.uint8))

    where = np.argwhere(coarse)
    lower, upper, origin = lower + where.min(0) * widths, lower + (where.max(0) + 1) * widths, lower
    points = cell_centres(lower, upper, FINE)
    x, y, z = np.clip((points - origin) / widths, 0, COARSE - 1).astype(int).T
    fine = coarse[x, y, z]
    fine[fine] = occupied(points[fine], ((upper - lower) / FINE).astype(np.float32))
    cells = dilate(fine.reshape(FINE, FINE, FINE)).astype(np.uint8)
    return Occupancy(lower.astype(np.float32), upper.astype(np.float32), cells)


def read_occupancy(path: Path, built_from: str) -> Occupancy | None:
    """Read a stored occupancy grid; None if it is missing, damaged, or of other parameters or cameras."""

    def check(headers: dict[str, ArrayHeader]) -> None:
        found = {name: (header.shape, header.dtype) for name, header in headers.items() if name != 'built_from'}
        corner = ((3,), np.float32)
        known = [{'lower': corner, 'upper': corner, 'cells': ((n, n, n), np.uint8)} for n in (COARSE, FINE)]
        text = headers.get('built_from')
        if found not in known or text is None or text.shape != () or text.dtype.kind != 'U':
            raise UnreadableError('is no occupancy grid')

    try:
        arrays = read_arrays(path, MAX_BYTES, check)
    except UnreadableError:
        return None
    is_of_these = str(arrays.pop('built_from')) == built_from
    is_a_box = np.isfinite([arrays['lower'], arrays['upper']]).all() and (arrays['lower'] < arrays['upper']).all()
    return Occupancy(**arrays) if is_of_these and is_a_box else None
