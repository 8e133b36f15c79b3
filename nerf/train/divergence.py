"""Training that goes nowhere: steps that are not finite, and pictures of one colour."""

import dataclasses
import logging
from collections.abc import Mapping

import numpy as np

from nerf.data.scene import Scene
from nerf.errors import UserError
from nerf.render import evaluation

_log = logging.getLogger('nerf')
MAX_SKIPPED_IN_ROW = 10
COLLAPSE_AFTER = 500


def constant_colour_mse(scene: Scene, background: str) -> float:
    """Compute the mean squared error over the training images of the best single colour, where nothing is masked."""
    count, total, squares = 0, np.zeros(3), np.zeros(3)
    for i in scene.indices('train'):
        pixels = scene.image(i).reshape(-1, 4)
        pixels = (pixels if scene.used is None else pixels[scene.mask(i).ravel()])[::7]
        colours = evaluation.over_background(pixels, background) / 255
        count, total, squares = count + len(colours), total + colours.sum(0), squares + (colours**2).sum(0)
    return float(np.mean(squares / count - (total / count) ** 2))


@dataclasses.dataclass
class DivergenceMonitor:
    """Looks for runs that go nowhere: steps that are not finite, and pictures of one colour."""

    constant_colour_mse: float
    has_warned: bool = False

    def check(self, step: int, metrics: Mapping[str, float]) -> None:
        """Warn of a collapse once, with its remedies.

        Raises:
            UserError: when too many steps in a row were not finite.
        """
        if metrics['skipped_in_row'] >= MAX_SKIPPED_IN_ROW:
            raise UserError(
                f'step {step}: the loss or its gradient was not finite in {metrics["skipped_in_row"]} steps in a row; '
                'lower config.optimizer.learning_rate, or set config.optimizer.clip_norm, and check the images and poses'
            )
        if step >= COLLAPSE_AFTER and metrics['mse'] > 0.95 * self.constant_colour_mse and not self.has_warned:
            self.has_warned = True
            what = 'empty (acc near 0)' if metrics['acc'] < 0.01 else f'of one colour (acc {metrics["acc"]:.2f})'
            _log.warning(
                'step %d: the pictures are %s and PSNR does not rise; try another config.seed, a lower '
                'config.optimizer.learning_rate, more warmup_steps, or a softplus density',
                step,
                what,
            )
