import numpy as np
import pytest

from configs import tiny
from nerf.config import resolve
from nerf.data import procedural
from nerf.data.scene import Scene
from nerf.models import make_model
from nerf.viewer import stage as stages


@pytest.fixture
def stage(tmp_path):
    config = resolve(tiny.get_config())
    names, split, cameras = procedural.views(16)
    pixels = np.zeros((len(names) * 256, 4), np.uint8)
    pixels[:256, :3] = np.arange(256)[:, None]
    pixels[..., 3] = 255
    model = make_model('instant', {'num_proposal': 4, 'num_samples': 4})
    return stages.make_stage(model, Scene(names, split, pixels, cameras), config, str(tmp_path))
