"""A held-out view beside its photograph, in one picture."""

import numpy as np

from nerf.render.colours import error_picture

GAP = 4  # px between two pictures
NAMES = ('photo', 'render', 'error', 'depth')


def side_by_side(truth: np.ndarray, rgb: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Join photo, render, error and depth, `NAMES`, from left to right with white between; all uint8 [h, w, 3]."""
    gap = np.full((truth.shape[0], GAP, 3), 255, np.uint8)
    first, *rest = truth, rgb, error_picture(rgb, truth), depth
    return np.concatenate([first, *(each for picture in rest for each in (gap, picture))], axis=1)
