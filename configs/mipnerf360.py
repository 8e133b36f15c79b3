"""mip-NeRF 360 (Barron et al., CVPR 2022) on unbounded scenes, by the paper's recipe.

    python main.py --config=configs/mipnerf360.py:garden --data_dir=360_v2

The paper reports 27.69 dB as the mean of nine scenes (outdoor ones at a quarter of their size, indoor ones at half:
--config.data.factor=2) after 250 k steps of 16384 rays, which are many hours on several accelerators. It also takes
bounded scenes: --config.scene_type=object.
"""

import ml_collections

from configs import default


def get_config(scene: str = 'garden') -> ml_collections.ConfigDict:
    """Two proposals of 64 samples by an MLP of 4 x 256, 32 samples by one of 8 x 1024."""
    config = default.get_config(scene)
    config.scene_type = 'unbounded'
    config.model_name = 'mipnerf360'
    config.model = default.model_config('mipnerf360')
    config.losses = ml_collections.ConfigDict({'charbonnier': 1.0, 'interlevel': 1.0, 'distortion': 0.01})
    config.data.factor = 4
    config.data.near = 0.2
    config.data.far = 1e6
    config.num_steps = 250_000
    config.batch_size = 16384
    config.optimizer.learning_rate = 2e-3
    config.optimizer.final_learning_rate = 2e-5
    config.optimizer.warmup_steps = 512
    config.optimizer.adam_eps = 1e-6
    config.optimizer.clip_norm = 1e-3
    config.eval_every = 10_000
    config.checkpoint_every = 5000
    return config
