"""A small mip-NeRF on the built-in scene at four sizes, for a machine without a GPU.

    python -m nerf.data.procedural --out=still_life --width=200
    python -m nerf.data.multiscale --blender_dir=still_life --out=still_life_multiscale
    python main.py --config=configs/mipnerf_multiscale_small.py --data_dir=still_life_multiscale

24.1, 25.0, 26.6 and 28.2 dB at 200, 100, 50 and 25 px after 2000 steps of 512 rays, which are about five minutes of one
core. From full size to 1/8 it rises by 4.1 dB, and NeRF as it was (`nerf_multiscale_paper_small.py`) falls by 2.8; in
the paper (means of eight scenes, 800 px, 1 M steps) they rise by 3.0 and fall by 8.7 dB.
"""

import ml_collections

from configs import mipnerf_small


def get_config(scene: str = '') -> ml_collections.ConfigDict:
    """mip-NeRF, 2 x 32 samples, one MLP of 4 x 64."""
    config = mipnerf_small.get_config(scene)
    config.data.format = 'multiscale_blender'
    config.data.factor = 1
    config.batch_size = 512
    return config
