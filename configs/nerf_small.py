"""A small NeRF for a machine without a GPU, trained exactly as `mipnerf_small.py` for comparison.

    python main.py --config=configs/nerf_small.py:lego --data_dir=nerf_synthetic

On lego at 100 px (400 px images, factor 4): 19.3, 20.8, 21.7 and 22.7 dB after 250, 500, 1000 and 2000 steps.
"""

import ml_collections

from configs import default, mipnerf_small


def get_config(scene: str = 'lego') -> ml_collections.ConfigDict:
    """NeRF, 32 + 32 samples, two MLPs of 4 x 64, centred pixels and a density that cannot die."""
    config = mipnerf_small.get_config(scene)
    config.model_name = 'nerf'
    config.model = default.model_config('nerf')
    config.model.num_coarse = 32
    config.model.num_fine = 32
    config.model.depth = 4
    config.model.width = 64
    config.model.view_width = 32
    config.model.density_activation = 'softplus'
    return config
