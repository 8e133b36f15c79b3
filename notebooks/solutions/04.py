"""Solutions of notebook 04."""

import numpy as np

from nerf.lessons.checks import check


def layer(inputs, outputs):
    """Count the parameters of one dense layer."""
    return inputs * outputs + outputs


# 96 features of 16 octaves, 4 layers of 64; density; 64 features beside 27 of the direction; 32; colour.
check('04.1', layer(96, 64) + 3 * layer(64, 64) + layer(64, 1) + layer(64, 64) + layer(64 + 27, 32) + layer(32, 3))

check('04.2', 2 * np.pi / 2**9)

check('04.3', [6 * 0.1 ** (100 / 1200), 0.6])

check('04.4', -10 * np.log10(0.25))


def batch(batches, scene):
    """Make the batch of step 7 without those before it."""
    return batches.at(scene, scene.indices('train'), 7)


check('04.5', batch)
