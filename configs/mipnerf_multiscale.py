"""mip-NeRF on the multiscale Blender data (Barron et al., ICCV 2021, section 5.1), by the paper's recipe.

    python -m nerf.data.multiscale --blender_dir=nerf_synthetic --out=nerf_multiscale --paper
    python main.py --config=configs/mipnerf_multiscale.py:lego --data_dir=nerf_multiscale

The paper reports, as means of the eight scenes, 32.63, 34.34, 35.47 and 35.60 dB at 800, 400, 200 and 100 px after 1 M
steps of 4096 rays, which are hours on several accelerators. Ablation: --config.data.area_weighting=False.
"""

import ml_collections

from configs import mipnerf_blender


def get_config(scene: str = 'lego') -> ml_collections.ConfigDict:
    """mip-NeRF as on single-scale data; pixels count by the area they cover."""
    config = mipnerf_blender.get_config(scene)
    config.data.format = 'multiscale_blender'
    return config
