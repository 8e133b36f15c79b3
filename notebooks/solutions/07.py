"""Solutions of notebook 07."""

import numpy as np

from nerf.lessons.checks import check

cells = np.rint(np.geomspace(16, 2048, 16)).astype(np.int64)
check('07.1', np.sum(np.minimum((cells + 1) ** 3, 2**19)))

check('07.2', 1 - (1 - 1 / 4096) ** 999)


def weights(x, y, z):
    """Return the trilinear weights of the 8 corners of a cell, z changing fastest."""
    return [a * b * c for a in (1 - x, x) for b in (1 - y, y) for c in (1 - z, z)]


check('07.3', weights)

# d/df [(f - 1)^2 + w (f + 1)^2] = 0
check('07.4', (1 - 0.1) / (1 + 0.1))

check('07.5', 0.3 * 2 + 0.5 * -1)
