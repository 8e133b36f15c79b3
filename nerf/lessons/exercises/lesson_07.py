"""Exercises of notebook 07, hash grids."""

import jax.numpy as jnp
import numpy as np

from nerf.lessons.exercise import Exercise, Mistake, call
from nerf.ray.hashgrid import Grid, corners

POINT = np.array([0.2, 0.5, 0.9])  # in a cell of width 1


def _trilinear(x: float, y: float, z: float, flip: bool = False) -> list[float]:
    """Return the weights of the 8 corners in the order (0,0,0), (0,0,1), ..., (1,1,1), of this cell or its mirror image."""
    shares = [(a, 1 - a) if flip else (1 - a, a) for a in (x, y, z)]
    return [a * b * c for a in shares[0] for b in shares[1] for c in shares[2]]


def _count_rows(table: int, step: int = 1) -> int:
    """Count the rows of 16 resolutions from 16 to 2048 cells per axis, vertex by vertex."""
    cells = np.rint(np.geomspace(16, 2048, 16)).astype(int)
    return sum(min((int(n) + step) ** 3, table) for n in cells)


def _collisions() -> float:
    """Count, over 200 draws, how often a vertex shares its row with one of 999 others, in a table of 4096."""
    draw = np.random.default_rng(0)
    rows = draw.integers(4096, size=(200, 1000))
    return float(np.mean([np.isin(row, np.flatnonzero(np.bincount(row, minlength=4096) > 1)).mean() for row in rows]))


EXERCISES = {
    '07.1': Exercise(
        against='brute force (a count of vertices)',
        truth=lambda: _count_rows(2**19),
        because='Coarse resolutions have a row for every vertex, fine ones 2^19 rows each: the table stops growing there.',
        mistakes=(
            Mistake(16 * 2**19, 'you gave every resolution 2^19 rows: coarse ones have fewer vertices than that.'),
            Mistake(_count_rows(2**19, 0), 'you counted cells: N cells per axis have N + 1 vertices.'),
            Mistake(_count_rows(2**62), 'you counted all vertices: a resolution has at most 2^19 rows.'),
        ),
        atol=0.5,
    ),
    '07.2': Exercise(
        against='a count over 200 random draws',
        truth=_collisions,
        because='1 - (1 - 1/T)^(n-1): a table has collisions long before it is full.',
        mistakes=(
            Mistake(1000 / 4096, 'that is how full the table is: some of the others share rows among themselves.'),
            Mistake(1.0, 'that is the chance that ANY two collide, the birthday problem: asked is the share of vertices.'),
            Mistake((1 - 1 / 4096) ** 999, 'that is the share that have a row alone: take 1 minus it.'),
        ),
        atol=0.004,
    ),
    '07.3': Exercise(
        against='`corners` of a grid with one cell',
        truth=lambda: np.asarray(corners(Grid(1, 1, 1, 3), jnp.asarray(POINT, jnp.float32))[1])[:, 0],
        because='They sum to 1, and each is 1 at its own corner: the interpolation is exact for a trilinear function.',
        mistakes=(
            Mistake(
                lambda x, y, z: _trilinear(x, y, z, flip=True),
                'these are the weights of the opposite corners: the nearest corner has the largest weight.',
            ),
            Mistake(lambda x, y, z: [1 / 8] * 8, 'that is the mean of the corners, wherever the point is.'),
            Mistake(
                lambda x, y, z: _trilinear(z, y, x),
                'the order is that of x, y, z, with z changing fastest: you exchanged x and z.',
            ),
        ),
        read=lambda weights: call(weights, *POINT),
        atol=1e-5,
    ),
    '07.4': Exercise(
        against='closed form',
        truth=lambda: (1 - 0.1) / (1 + 0.1),
        because='The row minimises (f - 1)^2 + w (f + 1)^2: the visible vertex wins, and w = 0.001 would leave 0.998 of it.',
        mistakes=(
            Mistake(0.0, 'that is the mean of the targets, for equal weights.'),
            Mistake(0.9, 'you have 1 - w: divide by the sum of the weights, 1 + w.'),
            Mistake(1.0, 'the second vertex still pulls a little: w is not 0.'),
            Mistake(1 / 1.1, 'its target is -1, not 0: it pulls to the other side.'),
        ),
    ),
    '07.5': Exercise(
        against='closed form',
        truth=lambda: 0.3 * 2 + 0.5 * -1,
        because='A row collects from every point of the batch that touches it, by its trilinear weight: a scatter-add.',
        mistakes=(
            Mistake(0.05, 'you took the mean: the gradient of a sum is a sum.'),
            Mistake(1.0, 'you left out the trilinear weights.'),
            Mistake(-0.5, 'that is the last point alone: writes to one row must be added, not overwritten.'),
        ),
    ),
}
