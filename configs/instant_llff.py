"""A hash grid of what lies before cameras that all look one way, for LLFF's scenes and a machine without a GPU.

    python main.py --config=configs/instant_llff.py:fern --data_dir=nerf_llff_data

On fern, 130 px wide: 28.0 dB after 40 s and 30.0 dB after two and a half minutes of training on two cores.
"""

import ml_collections

from configs import instant_360


def get_config(scene: str = 'fern') -> ml_collections.ConfigDict:
    """Return the grid of `instant_360.py`, on normalised device coordinates instead of contracted space."""
    config = instant_360.get_config(scene)
    config.scene_type = 'forward_facing'
    config.num_steps = 2000
    config.skip_empty = False  # every ray meets something
    return config
