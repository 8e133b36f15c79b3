"""A small mip-NeRF for a machine without a GPU: a Blender scene at a quarter of its size.

    python main.py --config=configs/mipnerf_small.py:lego --data_dir=nerf_synthetic

On lego at 100 px (400 px images, factor 4): 20.1, 21.3, 22.3 and 23.0 dB after 250, 500, 1000 and 2000 steps, which
take 3.5 minutes on two cores.
"""

import ml_collections

from configs import mipnerf_blender


def get_config(scene: str = 'lego') -> ml_collections.ConfigDict:
    """mip-NeRF, 2 x 32 samples, one MLP of 4 x 64."""
    config = mipnerf_blender.get_config(scene)
    config.model.num_samples = 32
    config.model.depth = 4
    config.model.width = 64
    config.model.view_width = 32
    config.data.factor = 4
    config.num_steps = 2000
    config.batch_size = 1024
    config.optimizer.learning_rate = 2e-3
    config.optimizer.final_learning_rate = 2e-4
    config.optimizer.warmup_steps = 100
    config.eval_every = 500
    config.checkpoint_every = 250
    config.keep_steps = (250, 500, 1000, 2000)
    return config
