"""A short run is the run that the loop would make."""

import numpy as np

from configs import tiny
from nerf.config import resolve
from nerf.data import procedural
from nerf.lessons.short_run import short_run


def test_learns_and_renders_when_asked():
    config = tiny.get_config('')
    config.num_steps = 60
    run = short_run(resolve(config), procedural.load(16), 'test_r_6', every=40)
    assert list(run.pictures) == list(run.psnr) == [40, 60]
    assert run.pictures[60]['rgb'].shape == (16, 16, 3)
    assert len(run.training_mse) == int(run.state.step) == 60
    assert np.mean(run.training_mse[-10:]) < 0.85 * np.mean(run.training_mse[:10])
