"""NeRF (Mildenhall et al., ECCV 2020) on a Blender scene, by the recipe of the paper's code.

    python main.py --config=configs/nerf_blender.py:lego --data_dir=nerf_synthetic

The paper reports 31.01 dB as the mean of the eight scenes at 800 px after 500 k steps of 1024 rays, about a day on one
accelerator. The paper's own conventions are on: rays through the corners of pixels, and a ReLU density, which can die
(an all-white picture; try another --config.seed, or --config.model.density_activation=softplus).
Ablation: --config.model.use_viewdirs=False.
"""

import ml_collections

from configs import default


def get_config(scene: str = 'lego') -> ml_collections.ConfigDict:
    """NeRF, 64 + 128 samples, two MLPs of 8 x 256."""
    config = default.get_config(scene)
    config.model_name = 'nerf'
    config.model = default.model_config('nerf')
    config.losses.coarse_mse = 1.0
    config.num_steps = 500_000
    config.batch_size = 1024
    config.optimizer.learning_rate = 5e-4
    config.optimizer.final_learning_rate = 5e-5
    config.optimizer.decay_steps = 500_000
    config.data.batching = 'single_image'
    config.data.crop_steps = 500
    config.data.paper_pixels = True
    config.eval_every = 10_000
    config.checkpoint_every = 5000
    return config
