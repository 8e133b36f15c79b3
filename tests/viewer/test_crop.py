import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import tiny
from nerf import lifting
from nerf.config import resolve
from nerf.data import procedural
from nerf.data.scene import Scene, stack_cameras
from nerf.export.grid import corners
from nerf.models import make_model
from nerf.ray.cameras import cast
from nerf.ray.occupancy import Occupancy, intersect_box
from nerf.train.optimizer import make_optimizer
from nerf.train.state import init_state
from nerf.viewer import stage as stages
from nerf.viewer.crop import crop_limits, cropped, flag_of
from nerf.viewer.panel import Panel
from nerf.viewer.pictures import Pictures, Settings
from nerf.viewer.session import Sessions
from nerf.viewer.views import View, from_browser


def test_limits_are_round_numbers_that_hold_the_box():
    bounds, step = crop_limits(np.array([0.1234, -3.0, 100.0]), 2.347)
    assert step == 0.01
    assert bounds == (-2.23, -5.35, 97.65, 2.48, -0.65, 102.35)
    assert crop_limits(np.zeros(3), 1500.0) == ((-1500.0,) * 3 + (1500.0,) * 3, 10.0)


def test_the_flag_is_the_box_that_exports_take():
    bounds = (-0.5, -6, 1e-4, 0.25, 6, 1)
    flag = flag_of(bounds)
    assert flag == '--bounds=-0.5,-6,0.0001,0.25,6,1'
    np.testing.assert_array_equal(np.concatenate(corners(tuple(map(float, flag[9:].split(','))))), bounds)


def test_a_cropped_grid_is_occupied_where_the_old_one_is_within_the_bounds():
    rng = np.random.default_rng(0)
    old = Occupancy(np.array([-1, -1, -1.0]), np.array([1, 2, 1.0]), (rng.random((16, 16, 16)) > 0.7).astype(np.uint8))
    new = cropped((-0.3, -9, -0.9, 0.55, 1.1, 9), old)
    np.testing.assert_allclose(new.lower, [-0.3, -1, -0.9], rtol=1e-6)
    np.testing.assert_allclose(new.upper, [0.55, 1.1, 1], rtol=1e-6)
    points = rng.uniform([-0.3, -1, -0.9], [0.55, 1.1, 1], (5000, 3))

    def found(grid):
        n = grid.cells.shape[0]
        i = ((points - grid.lower) / (grid.upper - grid.lower) * n).astype(int)
        return grid.cells[tuple(np.minimum(i, n - 1).T)] > 0

    assert (found(new) >= found(old)).all()  # nothing is lost
    assert (found(new) > found(old)).mean() < 0.15
    assert not cropped((5, 5, 5, 6, 6, 6), old).cells.any()
    assert cropped((5, 5, 5, 6, 6, 6), None).cells.all()


BOUNDS = (-0.4, -1.0, -0.5, 0.4, 0.2, 0.5)


@pytest.fixture(scope='module')
def drawn():
    """A model and pictures of it, with and without a crop box."""
    config = resolve(tiny.get_config())
    model = make_model(config.model_name, config.model)
    lens = np.array([[20.0, 0, 8], [0, 20.0, 8], [0, 0, 1]])
    pose = from_browser(np.array([0.0, 1, 0, 0]), np.array([0, 0, 4.0]))
    cameras = stack_cameras(pose[None], lens[None], np.array([[16, 16]]), 2.0, 6.0)
    variables = lifting.replicate(init_state(model, make_optimizer(config), cameras, seed=0).variables)
    return Pictures(model, 'black', cameras), variables, View(pose, 0.6, 1.0)


def test_a_picture_is_cut_to_the_box_and_nothing_is_compiled_for_another_box(drawn):
    pictures, variables, view = drawn
    whole, box = Settings(), Settings(crop=BOUNDS)
    for settings in (whole, box):
        assert not pictures.is_ready(settings)
        pictures.prepare(variables, settings)
    full, cut = (pictures.render(variables, view, each, 1024) for each in (whole, box))
    camera = jax.tree.map(jnp.asarray, pictures.camera(view, 1024))
    width, height = int(camera.width), int(camera.height)
    xy = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).reshape(-1, 2) + 0.5

    def meets(bounds):
        lower, upper = jnp.array(bounds, jnp.float32).reshape(2, 3)
        near, far = jax.vmap(lambda each: intersect_box(lower, upper, cast(camera, each)))(xy.astype(np.float32))
        return np.asarray(near < far).reshape(height, width)

    inside = meets(BOUNDS)
    assert 0.02 < inside.mean() < 0.3
    assert (cut['acc'][~inside] == 0).all()
    assert (cut['rgb'][~inside] == 0).all()
    assert (cut['acc'][inside] > 0).mean() > 0.95
    assert (full['acc'] > 0).all()
    assert (cut['acc'] < full['acc'])[inside].all()  # less of the ray
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(lambda name, *_, **__: compiled.append(name))
    front, other = (*BOUNDS[:2], 0.0, *BOUNDS[3:]), (*BOUNDS[:5], 0.0)
    halves = [pictures.render(variables, view, Settings(crop=each), 1024)['acc'] for each in (front, other)]
    jax.monitoring.clear_event_listeners()
    assert not [name for name in compiled if 'compile' in name]
    together = 1 - (1 - halves[0]) * (1 - halves[1])
    np.testing.assert_allclose(together[inside], cut['acc'][inside], rtol=0.15, atol=0.01)
    assert (halves[1][~meets(other)] == 0).all()
    np.testing.assert_array_equal(pictures.render(variables, view, box, 1024)['acc'], cut['acc'])


def test_a_page_draws_its_box_and_shows_the_command(page, stage):
    client, sessions, _ = page
    assert stage.crop.bounds == pytest.approx((-2, -2, -2, 2, 2, 2), abs=0.3)
    sessions.next_request(0)
    is_on, x, z = (client.controls[each] for each in ('Crop the scene', 'x', 'z'))
    x.use((-1.0, 0.5))
    assert sessions.next_request(0) is None  # nothing is cut yet
    assert '/crop' not in client.controls
    is_on.use(True)
    bounds = (-1.0, *stage.crop.bounds[1:3], 0.5, *stage.crop.bounds[4:])
    assert sessions.next_request(0).settings.crop == bounds
    assert client.controls['/crop'].more['dimensions'] == pytest.approx(np.subtract(bounds[3:], bounds[:3]))
    assert client.controls['/crop'].more['position'] == pytest.approx(np.add(bounds[3:], bounds[:3]) / 2)
    said = next(each for each in client.controls.values() if each.content.startswith('Export'))
    assert f'--model_dir={stage.model_dir} --task=mesh,points {flag_of(bounds)}`' in said.content
    for odd in ((2.0, 1.0), (1.0, 1.0), (1.0,), (float('nan'), 1.0), 'x', None, (1.0, 2.0, 3.0)):
        z.value = odd
        z.use()
    assert sessions.next_request(0) is None
    client.controls['Show'].use('depth')
    assert sessions.next_request(0).settings == Settings('depth', crop=bounds)
    is_on.use(False)
    assert sessions.next_request(0).settings.crop is None
    assert client.removed[-1] == '/crop'
    assert not said.content.startswith('Export')


def test_in_ndc_there_is_no_box(stage, new_client, monkeypatch):
    client = new_client()
    Panel(client, dataclasses.replace(stage, crop=None), Sessions())
    assert 'Crop the scene' not in client.controls
    names, split, cameras = procedural.views(16)
    cameras = cameras.replace(ndc=np.ones((len(names), 2), np.float32))
    monkeypatch.setattr(stages, 'beginning', lambda *args: stage.beginning)
    scene = Scene(names, split, np.zeros((0, 4), np.uint8), cameras)
    config = resolve(tiny.get_config())
    assert stages.make_stage(make_model(config.model_name, config.model), scene, config, 'x').crop is None
