"""What can be known to be wrong before the first step."""

from typing import Any

import jax

from nerf.data.feed.batches import Batches
from nerf.data.scene import Scene
from nerf.errors import UserError, require
from nerf.train.run_folder import initial_shapes


def check_installed() -> None:
    """Refuse to train where only what rendering needs is installed.

    Raises:
        UserError: saying what to install.
    """
    for package in ('tensorflow', 'tensorflow_datasets', 'clu'):
        require(package, 'which training needs', 'train')


def make_batches(config: Any) -> Batches:
    """Return the choice of the pixels of each step."""
    data = config.data
    return Batches(config.seed, config.batch_size, data.batching, data.crop_steps)


def check_training(config: Any, scene: Scene) -> None:
    """Refuse a model that cannot be built, and batches that cannot be drawn or shared between the devices.

    Nothing is computed: the shapes of the parameters are enough.

    Raises:
        UserError: naming the entry of the config.
    """
    if not len(scene.indices('train')):
        raise UserError('the scene has no training images: check its split files, or config.test_every')
    if config.batch_size % jax.device_count():
        raise UserError(f'config.batch_size = {config.batch_size}: expected a multiple of the {jax.device_count()} devices')
    make_batches(config)
    initial_shapes(config, scene.cameras)
