"""mip-NeRF (Barron et al., ICCV 2021) on a Blender scene, by the paper's recipe.

    python main.py --config=configs/mipnerf_blender.py:lego --data_dir=nerf_synthetic

The paper reports 33.09 dB as the mean of the eight scenes at 800 px after 1 M steps of 4096 rays, which are hours on
several accelerators. Ablations: --config.model.integrate=False, --config.model.ray_shape=cylinder,
--config.model.use_viewdirs=False.
"""

import ml_collections

from configs import default


def get_config(scene: str = 'lego') -> ml_collections.ConfigDict:
    """mip-NeRF, 2 x 128 samples, one MLP of 8 x 256."""
    config = default.get_config(scene)
    config.model_name = 'mipnerf'
    config.model = default.model_config('mipnerf')
    config.losses.coarse_mse = 0.1
    config.num_steps = 1_000_000
    config.batch_size = 4096
    config.optimizer.learning_rate = 5e-4
    config.optimizer.final_learning_rate = 5e-6
    config.optimizer.warmup_steps = 2500
    config.eval_every = 10_000
    config.checkpoint_every = 5000
    return config
