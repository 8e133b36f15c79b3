import itertools
import subprocess
import sys

import jax
import numpy as np
import pytest

from nerf.data.feed.batches import Batches, plain_batches
from nerf.data.feed.pipeline import batches
from nerf.data.feed.quiet_tensorflow import tf
from nerf.data.scene import make_scene, stack_cameras
from nerf.errors import UserError

EVERYTHING = slice(None)


@pytest.fixture
def scene():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (5, 7, 4), dtype=np.uint8) for _ in range(3)]
    cameras = stack_cameras(np.tile(np.eye(3, 4), (3, 1, 1)), np.tile(np.eye(3), (3, 1, 1)), np.full((3, 2), (7, 5)), 1.0, 2.0)
    return make_scene(['a', 'b', 'c'], ['train', 'train', 'test'], images, cameras)


@pytest.mark.parametrize('batching', ['mixed', 'single_image'])
@pytest.mark.parametrize(
    ('first_step', 'rows', 'devices'), [(0, EVERYTHING, 1), (500_000, EVERYTHING, 4), (3, slice(8, 16), 2)]
)
def test_same_batches_as_without_tensorflow_bit_for_bit(scene, batching, first_step, rows, devices):
    spec = Batches(seed=5, batch_size=24, batching=batching, crop_steps=5)
    made, plain = batches(scene, spec, first_step, rows, devices), plain_batches(scene, spec, first_step, rows)
    for ours, expected in itertools.islice(zip(made, plain, strict=True), 12):
        count = len(expected.camera)
        assert ours.xy.shape == (devices, count // devices, 2)
        flat = jax.tree.map(lambda x: x.reshape(count, *x.shape[2:]), ours)  # noqa: B023
        jax.tree.map(lambda x, y: np.testing.assert_array_equal(x, y, strict=True), flat, expected)


def test_rays_that_cannot_be_divided_are_refused(scene):
    with pytest.raises(UserError, match='batch_size gives 10 rays to 4 devices'):
        batches(scene, Batches(0, 10), 0, EVERYTHING, 4)
    with pytest.raises(UserError, match='batch_size gives 0 rays'):
        batches(scene, Batches(0, 10), 0, slice(10, 20), 2)


def test_closing_ends_after_what_is_made_already(scene):
    made = batches(scene, Batches(0, 8), 0, EVERYTHING, 1)
    next(made)
    made.close()
    assert list(made) == []


def test_accelerators_are_left_to_jax():
    assert tf.config.get_visible_devices('GPU') == []


ENDS = """
import numpy as np
from nerf.data.feed.batches import Batches
from nerf.data.feed.pipeline import batches
from nerf.data.scene import make_scene, stack_cameras

cameras = stack_cameras(np.eye(3, 4)[None], np.eye(3)[None], np.array([(4, 4)]), 1.0, 2.0)
scene = make_scene(['a'], ['train'], [np.zeros((4, 4, 4), np.uint8)], cameras)
made = batches(scene, Batches(0, 512), 0, slice(None), 1)
for _ in range(30):
    next(made)
print('done')
"""


def test_python_ends_while_batches_are_being_made():
    ended = subprocess.run([sys.executable, '-c', ENDS], capture_output=True, text=True, timeout=120, check=True)
    assert (ended.stdout, ended.stderr) == ('done\n', '')
