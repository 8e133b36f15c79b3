"""Solutions of notebook 03."""

import jax
import jax.numpy as jnp
import numpy as np

from nerf.lessons.checks import check

# The CDF of weights (1, 3) over [0, 0.5, 1] passes 0, 1/4, 1.
check('03.1', np.interp([0.05, 0.25, 0.5], [0, 0.25, 1], [0, 0.5, 1]))

check('03.2', [2, 4, 1, 1])


def blur(w, padding):
    """Return the two-tap maximum, then the two-tap average, plus the padding."""
    padded = np.concatenate([w[:1], w, w[-1:]])
    highest = np.maximum(padded[:-1], padded[1:])
    return (highest[:-1] + highest[1:]) / 2 + padding


check('03.3', blur)


def strata(key, num):
    """Draw one position in each of `num` even strata of [0, 1]."""
    return (jnp.arange(num) + jax.random.uniform(key, (num,))) / num


check('03.4', strata)

# A step from 0.2 to 0.8 at 0.5, and x exactly there.
check('03.5', (0.5, [0, 0.5, 0.5, 1], [0, 0.2, 0.8, 1]))
