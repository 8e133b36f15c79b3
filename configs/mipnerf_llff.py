"""mip-NeRF (Barron et al., ICCV 2021) on photos taken from the front (LLFF), by the recipe of the paper's code.

    python main.py --config=configs/mipnerf_llff.py:fern --data_dir=nerf_llff_data

Rays are cylinders in normalised device coordinates: a cone would not be one there. Hours on several accelerators for 1 M
steps of 4096 rays; --config.batch_size and --config.num_steps make it shorter. Where only images_8 is there, add
--config.data.factor=8.
"""

import ml_collections

from configs import mipnerf_blender


def get_config(scene: str = 'fern') -> ml_collections.ConfigDict:
    """mip-NeRF in normalised device coordinates, 2 x 128 samples, one MLP of 8 x 256."""
    config = mipnerf_blender.get_config(scene)
    config.scene_type = 'forward_facing'
    config.model.ray_shape = 'cylinder'
    config.model.density_noise = 1.0
    config.data.format = 'llff'  # also where COLMAP's model lies beside the rows: the paper's cameras
    config.data.factor = 4
    return config
