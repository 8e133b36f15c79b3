"""NeRF (Mildenhall et al., ECCV 2020) on photos taken from the front (LLFF), by the recipe of the paper's code.

    python main.py --config=configs/nerf_llff.py:fern --data_dir=nerf_llff_data

The paper reports 26.50 dB as the mean of the eight scenes at a quarter of the photos' size (25.17 dB on fern) after 200 k
steps of 4096 rays, about a day on one accelerator. Where only images_8 is there, add --config.data.factor=8. As in
`nerf_blender.py` the paper's own conventions are on: rays through the corners of pixels, and a ReLU density, which can die.
"""

import ml_collections

from configs import nerf_blender


def get_config(scene: str = 'fern') -> ml_collections.ConfigDict:
    """NeRF in normalised device coordinates, 64 + 128 samples, two MLPs of 8 x 256."""
    config = nerf_blender.get_config(scene)
    config.scene_type = 'forward_facing'
    config.model.density_noise = 1.0
    config.num_steps = 200_000
    config.batch_size = 4096
    config.optimizer.decay_steps = 250_000
    config.data.format = 'llff'  # also where COLMAP's model lies beside the rows: the paper's cameras
    config.data.factor = 4
    config.data.batching = 'mixed'
    config.data.crop_steps = 0
    return config
