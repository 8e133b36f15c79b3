"""Hash grid on the Blender scenes (Müller et al. 2022), for an accelerator; rays are sampled by a proposal.

    python main.py --config=configs/instant_blender.py:lego --data_dir=nerf_synthetic

Not the paper's recipe throughout: its occupancy grid and error-driven batches are left out.
"""

import ml_collections

from configs import default


def get_config(scene: str = 'lego') -> ml_collections.ConfigDict:
    """Return a hash grid of 16 levels x 2 features in 2^19 rows each, density MLP 1 x 64, colour MLP 2 x 64."""
    config = default.get_config(scene)
    config.model_name = 'instant'
    config.model = default.model_config('instant')
    config.losses.interlevel = 1.0
    config.num_steps = 20_000
    config.batch_size = 8192
    config.optimizer.learning_rate = 1e-2
    config.optimizer.final_learning_rate = 1e-3
    # Rows of the table are rarely hit and then by small gradients: Adam must not take their size for noise.
    config.optimizer.adam_eps = 1e-15
    config.checkpoint_every = 2000
    config.eval_every = 2000
    return config
