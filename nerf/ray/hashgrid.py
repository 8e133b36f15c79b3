"""The hash grid: features of one point from grids of several resolutions, the fine ones hashed (Müller et al. 2022)."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from nerf.ray.structs import expect

PRIMES = (1, 2654435761, 805459861)


@dataclasses.dataclass(frozen=True)
class Grid:
    """Grids on the unit cube whose vertices share one table of rows, resolution after resolution.

    Attributes:
        num_levels: L, number of resolutions.
        coarsest: cells per axis of the first.
        finest: cells per axis of the last; those between grow geometrically (equations 2 and 3 of the paper).
        log2_rows: a resolution has at most 2^log2_rows rows. One with fewer vertices has a row for each of them and is
            dense; in the others vertices of equal hash share a row.
    """

    num_levels: int
    coarsest: int
    finest: int
    log2_rows: int

    @functools.cached_property
    def resolutions(self) -> np.ndarray:
        """Compute the cells per axis of each resolution, [L]."""
        return np.rint(np.geomspace(self.coarsest, self.finest, self.num_levels)).astype(np.uint32)

    @functools.cached_property
    def is_dense(self) -> np.ndarray:
        """Return whether each resolution has a row for every vertex, [L]."""
        return (self.resolutions.astype(np.int64) + 1) ** 3 <= 2**self.log2_rows

    @functools.cached_property
    def rows(self) -> np.ndarray:
        """Count the rows of each resolution, [L]."""
        return np.where(self.is_dense, (self.resolutions.astype(np.int64) + 1) ** 3, 2**self.log2_rows)

    @property
    def num_rows(self) -> int:
        """Count the rows of the whole table."""
        return int(self.rows.sum())

    @functools.cached_property
    def first_rows(self) -> np.ndarray:
        """Compute the first row of each resolution in the table, [L]."""
        return (np.cumsum(self.rows) - self.rows).astype(np.uint32)

    @functools.cached_property
    def strides(self) -> np.ndarray:
        """Compute the factors of x, y, z in a vertex's row, [L, 3]: strides if dense, else the paper's primes."""
        step = self.resolutions + 1
        dense = np.stack([np.ones_like(step), step, step * step], axis=1)
        return np.where(self.is_dense[:, None], dense, np.array([PRIMES], np.uint32)).astype(np.uint32)


def corners(
    grid: Grid, point: Float[Array, '3']
) -> tuple[Int[Array, '8 {grid.num_levels}'], Float[Array, '8 {grid.num_levels}']]:
    """Compute the rows of the 8 vertices around a point in each resolution, and their trilinear weights.

    The row of vertex (i, j, k) is i + (N + 1) j + (N + 1)^2 k at a dense resolution N, and at a hashed one
    (i xor 2654435761 j xor 805459861 k) mod 2^log2_rows (equation 4). Points outside the unit cube are moved to its face.
    Vertices that share a row are told apart by training: the gradient of a row is the sum over its vertices, and where it is
    visible, a vertex with larger rendering weights dominates that sum.

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


def lookup(grid: Grid, table: Float[Array, 'rows F'], point: Float[Array, '3']) -> Float[Array, '{grid.num_levels} F']:
    """Interpolate the features of a point in the unit cube, trilinearly in every resolution.

    Raises:
        ValueError: if given a batch of points, or a table of another size.
    """
    expect('one table', table, grid.num_rows, None)
    # The barriers keep the stages apart, and the sum is written out to be vectorised: otherwise XLA computes rows and
    # weights anew for each feature and for the gradient. Worth about a tenth of a training step on a CPU.
    row, weight = jax.lax.optimization_barrier(corners(grid, point))
    values = jax.lax.optimization_barrier(table.at[row].get(mode='promise_in_bounds'))
    return jax.lax.optimization_barrier(sum(values[c] * weight[c][:, None] for c in range(8)))
