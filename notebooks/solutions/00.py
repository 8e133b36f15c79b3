"""Solutions of notebook 00."""

import numpy as np

from nerf.lessons.checks import check

weights, grey, background = np.array([0.2, 0.5]), np.array([1.0, 0.4]), 0.8
check('00.1', np.sum(weights * grey) + (1 - np.sum(weights)) * background)

direction, t = np.array([0.3, -0.4, -1.0]), 2.0
check('00.2', t * np.linalg.norm(direction))

# -10 log10((e / 2)^2) + 10 log10(e^2) = 10 log10(4)
check('00.3', 10 * np.log10(4))

# T(s) = exp(-sigma s) = 1/2 at s = ln 2 / sigma.
check('00.4', 3.3825 + np.log(2) / 10)
