import functools

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import instant_blender, instant_small, mipnerf_blender, mipnerf_small, tiny
from nerf import lifting
from nerf.config import resolve
from nerf.errors import UserError
from nerf.models import make_model
from nerf.ray.background import background_colour, target_colour
from nerf.ray.cameras import cast, intrinsics
from nerf.ray.photos import PHOTO_NUMBERS, PhotoNumbers
from nerf.ray.structs import Pixel
from nerf.train import step as train_step
from nerf.train.optimizer import clip_networks, learning_rate, make_optimizer
from nerf.train.state import init_state

OPTIONS = {
    'learning_rate': 1e-2,
    'final_learning_rate': 1e-4,
    'decay_steps': None,
    'warmup_steps': 10,
    'adam_eps': 1e-8,
    'clip_norm': None,
}


def camera_stack():
    from nerf.data.scene import stack_cameras

    pose = np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 4]])
    return stack_cameras(pose[None], np.asarray(intrinsics(8.0, 8.0, 4.0, 4.0))[None], np.array([[8, 8]]), 2.0, 6.0)


def some_pixels(count, weight=None):
    rng = np.random.default_rng(0)
    return Pixel(
        camera=np.zeros(count, np.int32),
        xy=rng.uniform(0, 8, (count, 2)).astype(np.float32),
        rgba=rng.integers(0, 128, (count, 4)).astype(np.uint8),
        weight=np.ones(count, np.float32) if weight is None else np.asarray(weight, np.float32),
    )


@pytest.fixture(scope='module')
def setting():
    return make_setting(make_config())


def make_config(**changes):
    config = tiny.get_config()
    config.optimizer.update(OPTIONS)
    config.num_steps, config.data.background = 100, 'white'
    config.update(changes)
    return resolve(config)


def make_setting(config, model=None):
    model = model or make_model(config.model_name, config.model)
    optimizer, cameras = make_optimizer(config), camera_stack()
    state = init_state(model, optimizer, cameras, 0, tuple(config.photos))
    step = lifting.over_devices(train_step.make_train_step(model, optimizer, config))

    def take(state, pixels):
        args = (lifting.replicate(state), lifting.shard(pixels), lifting.replicate(cameras))
        return jax.tree.map(lambda x: np.asarray(x[0]), step(*args))

    return state, take


def test_learning_rate_is_log_linear_with_a_sine_warm_up():
    schedule = learning_rate(OPTIONS, 100)
    assert float(schedule(0)) == pytest.approx(1e-2 * 0.01)
    assert float(schedule(5)) == pytest.approx(1e-2 * 10 ** (-2 * 0.05) * (0.01 + 0.99 * np.sin(np.pi / 4)))
    assert float(schedule(50)) == pytest.approx(1e-3)
    assert float(schedule(100)) == pytest.approx(1e-4)
    longer = learning_rate({**OPTIONS, 'decay_steps': 200}, 100)
    assert float(longer(100)) == pytest.approx(1e-3)
    assert float(learning_rate({**OPTIONS, 'warmup_steps': 0}, 100)(0)) == pytest.approx(1e-2)


def test_clipping_bounds_what_adam_sees():
    optimizer = make_optimizer(make_config(optimizer={'clip_norm': 1.0}))
    params = {'model': {'a': jnp.zeros(4)}}
    _, state = optimizer.update({'model': {'a': jnp.full(4, 50.0)}}, optimizer.init(params), params)
    first_moment = optax.tree.get(state, 'mu')['model']
    np.testing.assert_allclose(first_moment['a'], 0.1 * np.full(4, 0.5), rtol=1e-5)  # (1 - b1) times a vector of norm 1


def test_each_network_is_clipped_by_itself():
    huge = {'first': {'kernel': jnp.full((3, 3), 1e6), 'bias': jnp.zeros(3)}, 'second': {'kernel': jnp.full((4, 4), 1e6)}}
    small = {'kernel': jnp.array([[0.3, -0.4]]), 'bias': jnp.array([0.0])}
    clip = clip_networks(1.0)
    gradient = {'model': {'field': huge, 'proposal': small}}
    found = jax.jit(clip.update)(gradient, clip.init(gradient))[0]['model']
    jax.tree.map(np.testing.assert_array_equal, found['proposal'], small)
    # One norm for all of a network, whose direction stays.
    np.testing.assert_allclose(optax.tree.norm(found['field']), 1, rtol=1e-5)
    np.testing.assert_allclose(found['field']['first']['kernel'], 1 / 5, rtol=1e-5)
    np.testing.assert_allclose(found['field']['second']['kernel'], 1 / 5, rtol=1e-5)


def test_the_optimiser_clips_networks_one_by_one():
    optimizer = make_optimizer(make_config(optimizer={'clip_norm': 1.0}))
    params = {'model': {'field': jnp.zeros(4), 'proposal': jnp.zeros(2)}}
    gradient = {'model': {'field': jnp.full(4, 1e4), 'proposal': jnp.array([0.3, 0.4])}}
    _, state = optimizer.update(gradient, optimizer.init(params), params)
    first_moment = optax.tree.get(state, 'mu')['model']
    np.testing.assert_allclose(first_moment['field'], 0.1 * np.full(4, 0.5), rtol=1e-5)
    np.testing.assert_allclose(first_moment['proposal'], 0.1 * np.array([0.3, 0.4]), rtol=1e-5)


def test_observed_composites_premultiplied_colours():
    pixel = Pixel(camera=0, xy=np.zeros(2), rgba=np.array([51, 0, 102, 102], np.uint8), weight=1.0)
    np.testing.assert_allclose(target_colour(pixel, jnp.ones(3)), [0.8, 0.6, 1.0], atol=1e-6)
    np.testing.assert_allclose(target_colour(pixel, jnp.zeros(3)), [0.2, 0.0, 0.4], atol=1e-6)


def test_random_background_differs_between_keys_and_is_grey_without():
    one, other = (background_colour('random', jax.random.key(i)) for i in (0, 1))
    assert np.abs(one - other).max() > 0.01
    np.testing.assert_array_equal(background_colour('random', None), [0.5] * 3)


def test_unknown_loss_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match=r"unknown config.losses entry 'mes': expected one of .*mse"):
        train_step.check_objective({'losses': {'mes': 1.0}, 'regularisers': {}, 'photos': {}})
    with pytest.raises(UserError, match=r"unknown config.regularisers entry 'l3': expected one of .*squared_kernels"):
        train_step.check_objective({'losses': {'mse': 1.0}, 'regularisers': {'l3': 1.0}, 'photos': {}})


def test_a_weight_counts_as_that_many_pixels(setting):
    state, take = setting
    pixels = some_pixels(4, weight=[1, 1, 1, 0])
    _, metrics = take(state, pixels)
    _, halved = take(state, pixels.replace(weight=np.array([0.5, 0.5, 0.5, 0], np.float32)))
    assert metrics['loss'][1] == 3
    assert metrics['loss'][0] / metrics['loss'][1] == pytest.approx(halved['loss'][0] / halved['loss'][1], rel=1e-5)
    _, other = take(state, pixels.replace(rgba=pixels.rgba * np.array([[1], [1], [1], [2]], np.uint8)))
    assert other['loss'][0] == metrics['loss'][0]  # the pixel of weight 0 changes nothing


def test_gradient_is_the_mean_over_the_weights(setting):
    state, take = setting
    one, _ = take(state, some_pixels(4, weight=[1, 1, 1, 1]))
    scaled, _ = take(state, some_pixels(4, weight=[7, 7, 7, 7]))
    moments = [optax.tree.get(each.opt_state, 'mu') for each in (one, scaled)]
    for a, b in zip(*map(jax.tree.leaves, moments), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-9)


def test_a_step_that_is_not_finite_is_skipped_and_counted(setting):
    state, take = setting
    bad = some_pixels(4).replace(xy=np.full((4, 2), np.nan, np.float32))
    after, _ = take(state, bad)
    jax.tree.map(np.testing.assert_array_equal, after.params, state.params)
    jax.tree.map(np.testing.assert_array_equal, after.opt_state, state.opt_state)
    assert (after.step, after.skipped, after.skipped_in_row) == (1, 1, 1)
    after, _ = take(after, bad)
    assert (after.skipped, after.skipped_in_row) == (2, 2)
    after, _ = take(after, some_pixels(4))
    assert (after.step, after.skipped, after.skipped_in_row) == (3, 2, 0)


def test_randomness_depends_on_the_step_and_on_the_ray(setting):
    state, take = setting
    same = some_pixels(4)
    same = same.replace(xy=np.repeat(same.xy[:1], 4, 0), rgba=np.repeat(same.rgba[:1], 4, 0))
    first = [take(state, same.replace(weight=np.eye(4, dtype=np.float32)[i]))[1]['loss'][0] for i in range(4)]
    assert len(set(map(float, first))) == 4  # four rays of one pixel: four jitters
    later = take(state.replace(step=state.step + 1), same.replace(weight=np.eye(4, dtype=np.float32)[0]))[1]['loss'][0]
    assert later != first[0]


ALL = 2**20  # rays at a time, more than there are


def first_moments(state):
    return jax.flatten_util.ravel_pytree([moment for _, moment in optax.tree.get_all_with_path(state.opt_state, 'mu')])[0]


@functools.cache
def in_chunks(chunk, name='mipnerf'):
    config = make_config(ray_chunk=chunk)
    if name == 'instant':
        config = instant_small.get_config('')
        config.optimizer.update(OPTIONS)
        config.ray_chunk, config.data.background = chunk, 'white'
        config.model.num_proposal = config.model.num_samples = config.model.log2_rows = 8
        config = resolve(config)
    return make_setting(config)


def assert_same_step(found, expected):
    (found, metrics), (expected, expected_metrics) = found, expected
    difference = np.linalg.norm(first_moments(found) - first_moments(expected))
    assert difference <= 1e-5 * np.linalg.norm(first_moments(expected)) > 0
    for name, (term, weight) in metrics.items():
        assert term == pytest.approx(expected_metrics[name][0], rel=1e-5)
        assert weight == pytest.approx(expected_metrics[name][1])


@pytest.mark.parametrize(('name', 'chunk'), [('mipnerf', 1), ('mipnerf', 7), ('mipnerf', 64), ('instant', 7)])
def test_the_gradient_is_the_same_in_chunks_of_any_size(name, chunk):
    pixels = some_pixels(64, weight=np.linspace(0, 2, 64))
    found, expected = ((take, state) for state, take in (in_chunks(chunk, name), in_chunks(ALL, name)))
    assert_same_step(*(take(state, pixels) for take, state in (found, expected)))


def test_fifty_steps_in_chunks_lead_to_the_same_parameters():
    ends = []
    for state, take in (in_chunks(ALL), in_chunks(7)):
        for _ in range(50):
            state, _ = take(state, some_pixels(64))
        ends.append(jax.flatten_util.ravel_pytree(state.params)[0])
    assert np.linalg.norm(ends[0] - ends[1]) <= 1e-4 * np.linalg.norm(ends[0])


def test_photos_and_regularisers_count_once_in_chunks_too(monkeypatch):
    monkeypatch.setitem(PHOTO_NUMBERS, 'gain', PhotoNumbers(3, 1.0, colour=lambda rgb, gain: rgb * gain))
    extras = {'photos': {'gain': {}}, 'regularisers': {'squared_kernels': 0.5}}
    settings = [make_setting(make_config(ray_chunk=chunk, **extras)) for chunk in (7, ALL)]
    found, expected = (take(state, some_pixels(64)) for state, take in settings)
    assert_same_step(found, expected)
    assert 'gain' in str(optax.tree.get_all_with_path(expected[0].opt_state, 'mu'))


@pytest.mark.parametrize(
    ('backend', 'module', 'rays'),
    [
        ('cpu', mipnerf_small, 256),
        ('cpu', mipnerf_blender, 16),
        ('cpu', instant_small, 256),
        ('cpu', instant_blender, 2048),  # its table has 12 M numbers, and its gradient is added up once per chunk
        ('tpu', mipnerf_blender, 128),
        ('cuda', mipnerf_blender, 2048),
    ],
)
def test_the_chunk_follows_from_backend_and_model(backend, module, rays, monkeypatch):
    config = module.get_config('')
    model = make_model(config.model_name, resolve(config).model)
    ray = cast(jax.tree.map(lambda field: jnp.asarray(field[0]), camera_stack()), jnp.zeros(2))
    params = jax.eval_shape(model.init, jax.random.key(0), ray)['params']
    monkeypatch.setattr(train_step.jax, 'default_backend', lambda: backend)
    assert train_step.default_ray_chunk(model, params) == rays


def test_a_regulariser_counts_once_whatever_the_pixels_weigh():
    plain_state, plain = make_setting(make_config())
    _, decayed = make_setting(make_config(regularisers={'squared_kernels': 0.5}))
    for weight in (1.0, 7.0):
        pixels = some_pixels(4, weight=[weight] * 4)
        (before, metrics), (after, with_decay) = plain(plain_state, pixels), decayed(plain_state, pixels)
        mu, mu_decayed = (optax.tree.get(each.opt_state, 'mu')['model'] for each in (before, after))
        for path, params in jax.tree.leaves_with_path(plain_state.params):
            extra = 0.1 * 0.5 * np.asarray(params) if 'kernel' in str(path[-1]) else np.zeros(params.shape)
            one, other = (functools.reduce(lambda tree, key: tree[key.key], path, each) for each in (mu, mu_decayed))
            np.testing.assert_allclose(other - one, extra, atol=1e-6)
        kernels = [leaf for path, leaf in jax.tree.leaves_with_path(plain_state.params) if 'kernel' in str(path[-1])]
        expected = 0.5 * 0.5 * sum(float(np.sum(np.asarray(kernel) ** 2)) for kernel in kernels)
        found = with_decay['loss'][0] / with_decay['loss'][1] - metrics['loss'][0] / metrics['loss'][1]
        assert found == pytest.approx(expected, rel=1e-4)
