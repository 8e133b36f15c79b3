"""Exercises of notebook 06, all of space: NDC, contraction, proposals."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nerf.lessons.exercise import Exercise, Mistake
from nerf.ray.contraction import contract
from nerf.ray.losses import upper_bound
from nerf.ray.ndc import to_ndc
from nerf.ray.structs import Ray

PROPOSAL_S, PROPOSAL = np.array([0.0, 0.5, 1.0], np.float32), np.array([0.3, 0.7], np.float32)
FINE_S = np.array([0.0, 0.25, 0.5, 0.75, 1.0], np.float32)


def _slopes() -> np.ndarray:
    """Differentiate the contraction at a distance of 5, along the point and across it."""
    jacobian = jax.jacfwd(contract)(jnp.array([3.0, 4.0, 0.0]))
    along, across = jnp.array([0.6, 0.8, 0.0]), jnp.array([0.8, -0.6, 0.0])
    return np.array([along @ jacobian @ along, across @ jacobian @ across])


def _t_in_ndc() -> float:
    """Map the point t = 3 of a ray from the near plane into NDC, and find its t' on the NDC ray."""
    direction = jnp.array([0.2, 0.1, -1.0])
    ray = Ray(jnp.array([0.0, 0.0, -1.0]), direction, direction, *map(jnp.float32, (0.01, 0.0, 10.0)))
    found = to_ndc(ray, jnp.ones(2))
    z = -4.0  # of the point
    return float(((1 + 2 / z) - found.origin[2]) / found.direction[2])


def _expected_distance() -> float:
    """Estimate E|u - v| of two points drawn from weights (1/4, 3/4) over [0, 1/2, 1], by numerical integration."""
    points = (np.arange(2000) + 0.5) / 2000
    density = np.where(points < 0.5, 0.5, 1.5) / 2000
    return float(density @ np.abs(points[:, None] - points[None, :]) @ density)


def _violates(weights: Any) -> list[bool]:
    """Judge weights of four intervals: a valid set of weights, and whether one exceeds the proposal's bound."""
    w = np.asarray(weights, np.float32)
    bound = upper_bound(jnp.array(FINE_S), jnp.array(PROPOSAL_S), jnp.array(PROPOSAL))
    return [w.shape == (4,), bool((w >= 0).all()), bool(w.sum() <= 1 + 1e-6), bool((w > np.asarray(bound) + 1e-4).any())]


EXERCISES = {
    '06.1': Exercise(
        against='automatic differentiation',
        truth=_slopes,
        because='1/r^2 along the ray from the origin, (2 - 1/r)/r across it: far away, space is squeezed most along '
        'the distance.',
        mistakes=(
            Mistake([0.2, 0.2], 'you scaled by 1/r in all directions: the length 2 - 1/r has the derivative 1/r^2.'),
            Mistake([0.36, 0.04], 'along and across are exchanged.'),
            Mistake([0.04, 1.8], 'across, the circle of radius r becomes one of radius 2 - 1/r: divide by r.'),
            Mistake([0.04, 0.2], 'across, the new radius is 2 - 1/r, not 1: divide 1.8 by 5.'),
        ),
    ),
    '06.2': Exercise(
        against='the map of points',
        truth=_t_in_ndc,
        because="t' = 1 - o_z / (o_z + t d_z): half of [0, 1] is used up to twice the near distance, and 1 is infinitely far.",
        mistakes=(
            Mistake(0.25, "that is o_z / (o_z + t d_z) = 1/4: t' is 1 minus it, so that it grows with the distance."),
            Mistake(1 - 1 / 3, 'you left out o_z: the point is at z = -1 - 3.'),
            Mistake(0.5, "that is z' = 1 + 2 n / z, which runs from -1 to 1: t' runs from 0 to 1."),
        ),
    ),
    '06.3': Exercise(
        against='closed form',
        truth=lambda: [0.8**2 * 0.3 / 3, 2 * 0.4 * 0.6 * 0.5],
        because='The first is the spread within an interval, the second that between intervals: both orders of each '
        'pair count.',
        mistakes=(
            Mistake([0.8**2 * 0.3, 0.24], 'the mean distance of two points within an interval is 1/3 of its length.'),
            Mistake([0.8**2 * 0.3 / 12, 0.24], '1/12 belongs to a variance; here it is the mean distance, 1/3.'),
            Mistake([0.8**2 * 0.3 / 3, 0.12], 'the pair counts twice, as (i, j) and as (j, i).'),
            Mistake([0.8 * 0.3 / 3, 0.24], 'both points must fall into the interval: w is squared.'),
        ),
    ),
    '06.4': Exercise(
        against='numerical integration',
        truth=_expected_distance,
        because='The loss of mip-NeRF 360 IS this mean distance, where the weights sum to 1.',
        mistakes=(
            Mistake(0.1875, 'you left out pairs within one interval: they are w^2 d / 3 each.'),
            Mistake(1 / 3, 'that is for even weights, (1/2, 1/2).'),
            Mistake(0.09375 + 0.104167, 'pairs of different intervals count twice.'),
        ),
        atol=4e-3,
    ),
    '06.5': Exercise(
        against='the bound itself',
        truth=lambda: [True] * 4,
        because='No interval may have more than the proposal has in all the intervals that touch it.',
        mistakes=(
            Mistake([0.3, 0.0, 0.7, 0.0], 'these are exactly as large as the bound: the loss is 0, as nothing exceeds it.'),
            Mistake([0.9, 0.9, 0.0, 0.0], 'weights are probabilities of one ray: they sum to at most 1.'),
            Mistake([-0.2, 0.6, 0.3, 0.3], 'a weight is a probability: it cannot be negative.'),
        ),
        read=_violates,
        atol=0.1,
    ),
}
