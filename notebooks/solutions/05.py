"""Solutions of notebook 05."""

import numpy as np

from nerf.lessons.checks import check

# A disc: E[x^2] = r^2 / 4. A square: p^2 / 12.
check('05.1', 2 * 0.004 / np.sqrt(12))

t = 1 + 2 * (np.arange(100_000) + 0.5) / 100_000
check('05.2', np.sum(t * t**2) / np.sum(t**2))

samples = np.random.default_rng(0).normal(0.3, 0.2, 10_000_000)
check('05.3', np.mean(np.sin(4 * samples)))

octaves = np.arange(20)
check('05.4', np.argmax(np.exp(-0.5 * 4.0**octaves * 0.05**2) < 0.01))

tilted = np.array([[0.1, 0.05, 0.0], [0.05, 0.1, 0.0], [0.0, 0.0, 0.1]])
mirrored = tilted * np.array([[1, -1, 1], [-1, 1, 1], [1, 1, 1]])
check('05.5', (tilted, mirrored))
