"""Everything at its smallest, to see whether it runs: the built-in scene in seconds, without a picture worth looking at.

python main.py --config=configs/tiny.py
"""

import ml_collections

from configs import mipnerf_small


def get_config(scene: str = '') -> ml_collections.ConfigDict:
    """Return a very small mip-NeRF on the built-in scene at 16 px."""
    config = mipnerf_small.get_config(scene)
    config.model.num_samples = 8
    config.model.depth = 2
    config.model.width = 16
    config.model.view_width = 8
    config.model.position_degree = 4
    config.data.width = 16
    config.num_steps = 40
    config.batch_size = 64
    config.optimizer.warmup_steps = 10
    config.optimizer.clip_norm = 1.0
    config.log_every = 10
    config.eval_every = 20
    config.checkpoint_every = 20
    config.keep_steps = ()
    config.final_tasks = ('test', 'video')
    config.video.num_frames = 4
    return config
