"""A table of features looked up at one point: grids of several resolutions, the fine ones hashed (Müller et al. 2022).

Vertices that collide share a row, and no collision is resolved explicitly. Training does it: most vertices lie in empty space,
and of those that share a row the one whose samples have the larger compositing weight dominates the gradient, so its features
win. Vertices that collide at one resolution rarely do so at another as well.
"""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt32

from nerf.ray.structs import expect

PRIMES = (1, 2654435761, 805459861)


@dataclasses.dataclass(frozen=True)
class Grid:
    """Grids on the unit cube whose vertices share one table of rows, resolution after resolution.

    Attributes:
        num_levels: L, number of resolutions.
        coarsest: cells per axis of the first.
        finest: cells per axis of the last; those between grow geometrically (equations 2 and 3 of the paper).
        log2_rows: a resolution has at most 2^log2_rows rows. With fewer vertices, each has a row and the resolution is
            `dense`; in the others vertices of equal hash share a row.
    """

    num_levels: int
    coarsest: int
    finest: int
    log2_rows: int

    @functools.cached_property
    def resolutions(self) -> UInt32[np.ndarray, 'levels']:
        """Compute the cells per axis of each resolution."""
        return np.rint(np.geomspace(self.coarsest, self.finest, self.num_levels)).astype(np.uint32)

    @functools.cached_property
    def is_dense(self) -> Bool[np.ndarray, 'levels']:
        """Return whether each resolution has a row for every vertex."""
        return (self.resolutions.astype(np.int64) + 1) ** 3 <= 2**self.log2_rows

    @functools.cached_property
    def rows(self) -> Int[np.ndarray, 'levels']:
        """Count the rows of each resolution."""
        return np.where(self.is_dense, (self.resolutions.astype(np.int64) + 1) ** 3, 2**self.log2_rows)

    @property
    def num_rows(self) -> int:
        """Count the rows of the whole table."""
        return int(self.rows.sum())

    @functools.cached_property
    def first_rows(self) -> UInt32[np.ndarray, 'levels']:
        """Compute the first row of each resolution in the table."""
        return (np.cumsum(self.rows) - self.rows).astype(np.uint32)

    @functools.cached_property
    def strides(self) -> UInt32[np.ndarray, 'levels 3']:
        """Compute the factors of x, y, z in a vertex's row: distances between rows if dense, else the paper's primes."""
        step = self.resolutions + 1
        dense = np.stack([np.ones_like(step), step, step * step], axis=1)
        return np.where(self.is_dense[:, None], dense, np.array([PRIMES], np.uint32)).astype(np.uint32)


def corners(
    grid: Grid, point: Float[Array, '3']
) -> tuple[Int[Array, '8 {grid.num_levels}'], Float[Array, '8 {grid.num_levels}']]:
    """Find the rows of the 8 vertices around a point at each resolution, and their trilinear weights.

    The row of vertex (i, j, k) is i + (N + 1) j + (N + 1)^2 k if the resolution N is dense, and in a hashed one
    (i xor 2654435761 j xor 805459861 k) mod 2^log2_rows (equation 4). Points outside the unit cube are moved to its face.

    Raises:
        ValueError: if given a batch of points.
    """
    expect('one point', point, 3, lift='over_samples')
    cells = grid.resolutions.astype(np.float32)
    at, share = [], []
    for axis, x in enumerate(jnp.clip(point, 0.0, 1.0)):
        position = x * cells
        # The last cell also has the cube's far face: its vertices are in no other.
        cell = jnp.minimum(jnp.floor(position), cells - 1)
        lower = cell.astype(jnp.uint32) * grid.strides[:, axis]
        at.append((lower, lower + grid.strides[:, axis]))
        share.append((1 - (position - cell), position - cell))
    rows, weights = [], []
    for i, j, k in itertools.product((0, 1), repeat=3):
        x, y, z = at[0][i], at[1][j], at[2][k]
        hashed = (x ^ y ^ z) & np.uint32(2**grid.log2_rows - 1)
        rows.append((jnp.where(grid.is_dense, x + y + z, hashed) + grid.first_rows).astype(jnp.int32))
        weights.append(share[0][i] * share[1][j] * share[2][k])
    return jnp.stack(rows), jnp.stack(weights)


def lookup(
    grid: Grid, table: Float[Array, '{grid.num_rows} features'], point: Float[Array, '3']
) -> Float[Array, '{grid.num_levels} features']:
    """Interpolate the features of a point in the unit cube trilinearly at each resolution: sum_c weight_c table[row_c].

    Raises:
        ValueError: if given a batch of points or tables.
    """
    expect('one table', table, grid.num_rows, None)
    # The barriers keep the stages apart, and the sum is written out to be vectorised: otherwise XLA computes rows and
    # weights anew for each feature and for the gradient. Worth about a tenth of a training step on a CPU.
    row, weight = jax.lax.optimization_barrier(corners(grid, point))
    values = jax.lax.optimization_barrier(table.at[row].get(mode='promise_in_bounds'))
    return jax.lax.optimization_barrier(sum(values[c] * weight[c][:, None] for c in range(8)))
