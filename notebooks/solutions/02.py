"""Solutions of notebook 02."""

import numpy as np

from nerf.lessons.checks import check

sigma, delta = np.array([1.0, 0.0, 2.0]), np.ones(3)
arrives = np.exp(-np.concatenate([[0.0], np.cumsum(sigma * delta)[:-1]]))
check('02.1', arrives * (1 - np.exp(-sigma * delta)))

check('02.2', 1 - np.exp(-2 * 0.5 / np.cos(np.radians(30))))


def cut(density, delta):
    """Cut the second interval at a quarter of its length."""
    return (
        np.concatenate([density[:1], [density[1], density[1]], density[2:]]),
        np.concatenate([delta[:1], [0.25 * delta[1], 0.75 * delta[1]], delta[2:]]),
    )


check('02.3', cut)

tau = 1.25 * (0.1 * 2 + 2 * 0.5 + 0.5 * 1)
check('02.4', [tau, np.exp(-tau)])


def opacity(density, delta):
    """Return the sum of all weights without computing one: the sum of T_i - T_{i+1} telescopes."""
    return 1 - np.exp(-np.sum(density * delta))


check('02.5', opacity)

# T(s) = exp(-15 s) = 1/2
check('02.6', np.log(2) / 15)
