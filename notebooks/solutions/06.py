"""Solutions of notebook 06."""

import numpy as np

from nerf.lessons.checks import check

# The length r becomes 2 - 1/r: its slope is 1/r^2; circles of radius r become circles of radius 2 - 1/r.
r = 5
check('06.1', [1 / r**2, (2 - 1 / r) / r])

check('06.2', 1 - (-1) / (-1 + 3 * -1))

check('06.3', [0.8**2 * 0.3 / 3, 2 * 0.4 * 0.6 * 0.5])

draw = np.random.default_rng(0)
u, v = (
    np.where(draw.uniform(size=1_000_000) < 0.25, draw.uniform(0, 0.5, 1_000_000), draw.uniform(0.5, 1, 1_000_000))
    for _ in range(2)
)
check('06.4', np.mean(np.abs(u - v)))

# The bound of the first two intervals is 0.3: 0.8 exceeds it.
check('06.5', [0.8, 0.0, 0.1, 0.1])
