"""NeRF as it was on the multiscale Blender data: the first row of the mip-NeRF paper's table.

    python main.py --config=configs/nerf_multiscale_paper.py:lego --data_dir=nerf_multiscale

For comparison with `mipnerf_multiscale.py`, which says how to make the data. The mip-NeRF paper reports, as means of the
eight scenes, 31.20, 30.65, 26.25 and 22.53 dB at 800, 400, 200 and 100 px.
"""

import ml_collections

from configs import nerf_multiscale


def get_config(scene: str = 'lego') -> ml_collections.ConfigDict:
    """NeRF with rays through the corners of pixels, each pixel counting the same whatever area it covers."""
    config = nerf_multiscale.get_config(scene)
    config.data.paper_pixels = True
    config.data.area_weighting = False
    return config
