import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from configs import tiny
from nerf import lifting
from nerf.config import resolve
from nerf.models import make_model
from nerf.models.protocol import LevelInfo, crop_to_interval
from nerf.ray import compositing
from nerf.ray.cameras import Camera, cast
from nerf.ray.occupancy import Occupancy
from nerf.ray.structs import Level
from nerf.render.image import RAYS_PER_BLOCK, SHARE, Renderer, evaluations, to_uint8
from nerf.render.maps import pixel_maps
from nerf.render.skip import skip_empty
from nerf.train.optimizer import make_optimizer
from nerf.train.state import init_state


def stacked(camera):
    return jax.tree.map(lambda field: np.asarray(field)[None], camera)


def on_device(tree):
    return jax.tree.map(jnp.asarray, tree)


def camera(width, height):
    pose = np.array([[1.0, 0, 0, 0.1], [0, 1, 0, -0.2], [0, 0, 1, 4]], np.float32)
    lens = np.array([[9.0, 0, width / 2], [0, 8.0, height / 2], [0, 0, 1]], np.float32)
    return Camera(pose, lens, np.int32(width), np.int32(height), np.float32(2), np.float32(6))


@pytest.fixture(scope='module')
def model_and_params():
    config = resolve(tiny.get_config())
    model = make_model(config.model_name, config.model)
    state = init_state(model, make_optimizer(config), stacked(camera(4, 4)), seed=0)
    return model, state.variables


def test_an_image_is_its_pixels_one_by_one(model_and_params):
    model, params = model_and_params
    view = camera(7, 5)  # 35 rays: neither a multiple of the chunk nor of anything else
    picture = Renderer(model, 'white', chunk=8).image(lifting.replicate(params), view)
    assert picture['rgb'].shape == (5, 7, 3)
    one = jax.jit(lambda xy: pixel_maps(model, 'white', params, on_device(view), xy))
    for column, row in ((0, 0), (6, 0), (2, 3), (6, 4)):
        alone = one(np.array([column + 0.5, row + 0.5], np.float32))
        for name, value in alone.items():
            np.testing.assert_allclose(picture[name][row, column], value, atol=1e-5, err_msg=name)


def test_the_chunk_changes_nothing(model_and_params):
    model, params = model_and_params
    params = lifting.replicate(params)
    one, other = (Renderer(model, 'black', chunk=chunk).image(params, camera(6, 6)) for chunk in (4, 36))
    for name in one:
        np.testing.assert_allclose(one[name], other[name], atol=1e-5)


def test_depth_is_the_distance_along_the_axis(model_and_params):
    model, params = model_and_params
    view = camera(9, 9)
    picture = Renderer(model, 'white', chunk=81).image(lifting.replicate(params), view)
    assert picture['depth'][4, 4] == pytest.approx(picture['distance_median'][4, 4], rel=1e-5)  # in the middle they agree
    corner = np.sqrt(1 + (4 / 9) ** 2 + (4 / 8) ** 2)
    assert picture['depth'][0, 0] * corner == pytest.approx(picture['distance_median'][0, 0], rel=1e-4)


class Wall(nn.Module):
    """A model of one level that is opaque at t = 0.8, of which it sees little else."""

    @nn.compact
    def __call__(self, ray, key=None, progress=1.0, photo=None):
        t = jnp.array([0.0, 0.7999, 0.8001, 1.0])
        return [Level(s=t, t=t, density=jnp.zeros(3), rgb=jnp.zeros((3, 3)), weights=jnp.array([0.0, 1.0, 0.0]))]


def test_distances_in_ndc_are_the_world_s():
    view = camera(9, 9).replace(ndc=np.ones(2, np.float32), near=np.float32(0), far=np.float32(1))
    # At t = 0.8 is the plane z = -1 / (1 - 0.8); the camera stands at z = 4.
    found = jax.jit(lambda xy: pixel_maps(Wall(), 'white', {}, on_device(view), xy))(np.array([0.5, 0.5], np.float32))
    corner = np.sqrt(1 + (4 / 9) ** 2 + (4 / 8) ** 2)
    assert found['depth'] == pytest.approx(9, rel=1e-4)
    assert found['distance'] == pytest.approx(9 * corner, rel=1e-4)
    assert found['distance_median'] == pytest.approx(9 * corner, rel=1e-4)
    nothing = jax.jit(lambda xy: skip_empty(jax.tree.map(jnp.asarray, grid()), on_device(view), xy, 'white', None)[1])(
        np.array([0.5, 0.5], np.float32)
    )
    assert nothing['distance'] == pytest.approx(1e6 * corner, rel=1e-4)
    assert nothing['depth'] == pytest.approx(1e6, rel=1e-4)


def test_it_can_be_interrupted_between_blocks(model_and_params):
    model, params = model_and_params
    calls = []
    renderer = Renderer(model, 'white', chunk=RAYS_PER_BLOCK // 4)
    wide = camera(RAYS_PER_BLOCK // 64, 65)  # one block and a bit
    picture = renderer.image(lifting.replicate(params), wide, lambda: calls.append(1))
    assert picture['acc'].shape == (65, RAYS_PER_BLOCK // 64)
    assert len(calls) == 2


STRONG = {'params': {'strength': np.float32(3)}}


class Ball(nn.Module):
    """A model of one level that has a closed form: constant density and colour in a ball around (0.1, -0.2, 0)."""

    num_samples: int = 512
    LEVELS = (LevelInfo('only', 'num_samples'),)
    END_SWITCHES = ()

    def setup(self):
        self.strength = self.param('strength', nn.initializers.constant(3.0), ())

    def __call__(self, ray, key=None, progress=1.0, photo=None):
        t = jnp.linspace(ray.near, ray.far, self.num_samples + 1)
        middles = 0.5 * (t[1:] + t[:-1])
        density = lifting.over_samples(lambda t: self.density(ray.origin + t * ray.direction, 0.0))(middles)
        weights = compositing.weights(density, compositing.lengths(t, ray.direction))
        rgb = jnp.full((self.num_samples, 3), 0.25)
        return [Level(s=(t - ray.near) / (ray.far - ray.near), t=t, density=density, rgb=rgb, weights=weights)]

    def density(self, point, width):
        # Falls off smoothly at the edge, so that few samples are as good as many.
        distance = jnp.sqrt(jnp.sum((point - jnp.array([0.1, -0.2, 0.0])) ** 2))
        return self.strength * jnp.clip((0.8 - distance) / 0.2, 0.0, 1.0)


def grid(n=32, radius=0.85):
    """Cells within this radius of the ball's centre, of a box of width 3 around it, dilated generously."""
    axis = (np.arange(n) + 0.5) / n * 3 - 1.5
    distance = np.sqrt(sum(each**2 for each in np.meshgrid(axis, axis, axis, indexing='ij')))
    centre = np.array([0.1, -0.2, 0.0], np.float32)
    return Occupancy(centre - 1.5, centre + 1.5, (distance < radius + 3 * 3 / n).astype(np.uint8))


def test_skipping_what_is_empty_shows_the_same():
    params, view = lifting.replicate(STRONG), camera(9, 8)
    every, fewer = Renderer(Ball(), 'white', chunk=4), Renderer(Ball(), 'white', chunk=4, occupancy=grid())
    expected, found = every.image(params, view), fewer.image(params, view)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-3, err_msg=name)
    is_empty = expected['acc'] == 0
    assert 0.1 < is_empty.mean() < 0.9
    np.testing.assert_array_equal(found['rgb'][is_empty], 1.0)
    assert found['acc'].max() > 0.9
    # Closed form: through the centre, 2 x (0.6 + 0.1) of full density.
    assert found['acc'].max() == pytest.approx(1 - np.exp(-3 * 1.4), abs=5e-3)


def test_evaluations_are_counted_and_become_fewer():
    params, view = lifting.replicate(STRONG), camera(36, 32)
    every, fewer = Renderer(Ball(), 'white', chunk=16), Renderer(Ball(), 'white', chunk=16, occupancy=grid())
    meets = (every.image(params, view)['acc'] > 0).sum()
    fewer.image(params, view)
    assert every.evaluations == every.evaluations_of_all == fewer.evaluations_of_all == 36 * 32 * 512
    samples = round(SHARE * 512)
    assert meets * samples <= fewer.evaluations < 0.5 * every.evaluations
    assert fewer.evaluations % (16 * samples) == 0


def test_an_empty_scene_never_reaches_the_network():
    nothing = grid().replace(cells=np.zeros((32, 32, 32), np.uint8))
    view, variables = camera(9, 7), lifting.replicate({'params': {'strength': np.float32(0)}})
    calls = []
    renderer = Renderer(Ball(), 'white', chunk=16, occupancy=nothing)
    found = renderer.image(variables, view, lambda: calls.append(1))
    assert len(calls) == 1
    assert renderer.evaluations == 0
    expected = Renderer(Ball(), 'white', chunk=16).image(variables, view)
    assert set(found) == set(expected)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6, err_msg=name)
    assert found['distance'][0, 0] == pytest.approx(6 * np.sqrt(1 + (4 / 9) ** 2 + (3 / 8) ** 2))


def test_evaluations_of_a_ray(model_and_params):
    model, _ = model_and_params
    assert evaluations(model) == 8 + 8
    assert evaluations(crop_to_interval(model, 0.5)) == 4 + 4
    nerf = make_model('nerf', {'num_coarse': 6, 'num_fine': 10, 'depth': 1, 'width': 4, 'view_width': 2})
    assert evaluations(nerf) == 6 + 16


def test_behind_the_part_of_a_ray_is_nothing():
    # The last point of a NeRF stops whatever arrives: at the end of a part, that would be a wall.
    fields = {'num_coarse': 6, 'num_fine': 10, 'depth': 1, 'width': 4, 'view_width': 2, 'density_activation': 'softplus'}
    model = make_model('nerf', fields)
    ray = cast(jax.tree.map(jnp.asarray, camera(4, 4)), jnp.full(2, 1.5))
    params = model.init(jax.random.key(1), ray)
    walled, part = (each.apply(params, ray)[-1] for each in (model, crop_to_interval(model, 1.0)))
    assert walled.weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(part.weights[:-1], walled.weights[:-1], rtol=1e-6)
    assert part.weights[-1] == 0  # the last interval has no length here: its point lies at the end
    assert walled.weights[-1] > 1e-3


def test_to_uint8_rounds_and_clips():
    np.testing.assert_array_equal(to_uint8(np.array([-0.001, 0.0, 0.4999 / 255, 0.5001 / 255, 1.001])), [0, 0, 0, 1, 255])
