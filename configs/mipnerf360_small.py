"""A small mip-NeRF 360 for a machine without a GPU: an unbounded scene about a hundred pixels wide.

    python main.py --config=configs/mipnerf360_small.py:bonsai --data_dir=360_v2

On bonsai at 100 px, every fourth held-out view: 18.3, 19.7, 21.0 and 22.0 dB after 125, 250, 500 and 1000 steps, which
take about nine minutes on two cores. `instant_360.py` has 25 dB after the first of them.
"""

import ml_collections

from configs import mipnerf360


def get_config(scene: str = 'bonsai') -> ml_collections.ConfigDict:
    """Two proposals of 32 samples by an MLP of 2 x 64, 16 samples by one of 4 x 128."""
    config = mipnerf360.get_config(scene)
    config.model.num_proposal = 32
    config.model.num_samples = 16
    config.model.proposal_depth = 2
    config.model.proposal_width = 64
    config.model.depth = 4
    config.model.width = 128
    config.model.bottleneck = 64
    config.model.view_width = 64
    config.num_steps = 1000
    config.batch_size = 1024
    config.optimizer.final_learning_rate = 2e-4
    config.optimizer.warmup_steps = 100
    config.eval_every = 500
    config.checkpoint_every = 125
    config.keep_steps = (125, 250, 500, 1000)
    return config
