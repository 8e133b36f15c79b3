import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax.extend.core import ClosedJaxpr, Jaxpr

from nerf import lifting
from nerf.fields.layers import Dense
from nerf.flat import flat_add, flat_dot
from nerf.models import make_model

ROOT = Path(__file__).parents[1]
RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(5, 7, 3)), jnp.float32)
KERNEL = jnp.asarray(RNG.normal(size=(3, 4)), jnp.float32)
KERNELS = jnp.asarray(RNG.normal(size=(5, 3, 4)), jnp.float32)


def equations(jaxpr):
    """All equations of a jaxpr, also those of the functions it calls."""
    jaxpr = jaxpr.jaxpr if isinstance(jaxpr, ClosedJaxpr) else jaxpr
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda p: isinstance(p, ClosedJaxpr | Jaxpr)):
            if isinstance(inner, ClosedJaxpr | Jaxpr):
                yield from equations(inner)


def products(jaxpr, name):
    return [tuple(v.aval.shape for v in found.invars) for found in equations(jaxpr) if found.primitive.name == name]


def lifts(dot):
    """A product of vectors, lifted in all the ways that occur, with arguments for each."""
    over = lifting.over_rays
    return {
        'one': (dot, X[0, 0], KERNEL),
        'samples': (over(dot, (0, None)), X[0], KERNEL),
        'rays of samples': (over(over(dot, (0, None)), (0, None)), X, KERNEL),
        'last axis': (over(dot, (1, None)), X[0].T, KERNEL),
        'kernel only': (over(dot, (None, 0)), X[0, 0], KERNELS),
        'both': (over(over(dot, (0, None))), X, KERNELS),
        'samples under kernels': (over(over(dot, (0, None)), (None, 0)), X[0], KERNELS),
        'kernels under samples': (over(over(dot, (None, 0)), (0, None)), X[0], KERNELS),
    }


LIFTS = list(lifts(jnp.dot))


def value(dot, how):
    function, x, kernel = lifts(dot)[how]
    return lambda x, kernel: jnp.sum(jnp.sin(function(x, kernel)) ** 2), (x, kernel)


def assert_close(found, expected, atol=1e-5):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=atol), found, expected)


@pytest.mark.parametrize('how', LIFTS)
def test_flat_dot_and_its_gradients_are_those_of_the_dot_product_however_it_is_lifted(how):
    def derivatives(dot):
        function, args = value(dot, how)
        tangents = tuple(jnp.ones_like(arg) for arg in args)
        product = lifts(dot)[how][0]
        modes = (product, jax.grad(function, (0, 1)), jax.jacfwd(function, (0, 1)))
        return jax.jit(lambda *args: (*(mode(*args) for mode in modes), jax.jvp(function, args, tangents)))(*args)

    assert_close(derivatives(flat_dot), derivatives(jnp.dot))


@pytest.mark.parametrize('how', ['one', 'rays of samples', 'both'])
def test_second_derivatives(how):
    def derivatives(dot):
        function, args = value(dot, how)
        slope = jax.grad(function, (0, 1))
        twice = jax.grad(lambda *args: sum(jnp.sum(g**2) for g in slope(*args)), (0, 1))
        return jax.jit(lambda *args: (jax.hessian(function, (0, 1))(*args), twice(*args)))(*args)

    assert_close(derivatives(flat_dot), derivatives(jnp.dot), atol=1e-3)


@pytest.mark.parametrize(
    ('how', 'learned'), [*((how, (0, 1)) for how in LIFTS), ('rays of samples', (0,)), ('rays of samples', (1,))]
)
def test_flat_add_and_its_gradients_are_those_of_a_sum(how, learned):
    def derivatives(add):
        # The same lifts as for products: a row takes the vector's place, a kernel's first row the bias's.
        function = lifts(lambda x, kernel: add(x, kernel[0, : x.shape[0]]))[how][0]
        args = lifts(add)[how][1:]

        def wave(*args):
            return jnp.sum(jnp.sin(function(*args)) ** 2)

        slope = jax.grad(wave, learned)
        twice = jax.grad(lambda *args: sum(jnp.sum(g**2) for g in slope(*args)), learned)
        modes = (function, slope, jax.jacfwd(wave, learned), twice)
        return jax.jit(lambda *args: [mode(*args) for mode in modes])(*args)

    assert_close(derivatives(flat_add), derivatives(lambda x, bias: x + bias))


def test_flat_products_and_sums_without_jit():
    bias = jnp.array([1.0, 2.0, 4.0])
    np.testing.assert_allclose(flat_add(X[0, 0], bias), X[0, 0] + bias, rtol=1e-6)
    over_rows = lifting.over_samples(flat_add, (0, None))
    np.testing.assert_allclose(over_rows(X[0], bias), X[0] + bias[None], rtol=1e-6)
    np.testing.assert_array_equal(jax.grad(lambda b: jnp.sum(over_rows(X[0], b)))(bias), [7, 7, 7])
    np.testing.assert_allclose(flat_dot(X[0, 0], KERNEL), X[0, 0] @ KERNEL, rtol=1e-5)
    gradient = jax.grad(lambda kernel: jnp.sum(flat_dot(X[0, 0], kernel)))(KERNEL)
    np.testing.assert_allclose(gradient, np.outer(X[0, 0], np.ones(4)), rtol=1e-6)


def test_a_gradient_for_each_ray():
    def loss(kernel, x, dot):
        return jnp.sum(jnp.sin(lifting.over_samples(dot, (0, None))(x, kernel)))

    ours = lifting.over_rays(jax.grad(lambda k, x: loss(k, x, flat_dot)), (None, 0))(KERNEL, X)
    theirs = lifting.over_rays(jax.grad(lambda k, x: loss(k, x, jnp.dot)), (None, 0))(KERNEL, X)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


class TwoLayers(nn.Module):
    @nn.compact
    def __call__(self, x):
        return Dense(2, name='second')(nn.relu(Dense(4, name='first')(x)))


class LiftedLayers(nn.Module):
    @nn.compact
    def __call__(self, x):
        return lifting.over_samples(TwoLayers(name='field'))(x)


def lifted_loss(params, x):
    return jnp.mean(lifting.over_rays(LiftedLayers().apply, (None, 0))(params, x) ** 2)


def test_samples_share_the_parameters_of_a_field():
    alone = TwoLayers().init(jax.random.key(0), X[0, 0])['params']
    params = LiftedLayers().init(jax.random.key(0), X[0])['params']['field']
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, alone)
    assert jnp.shape(params['first']['kernel']) == (3, 4)
    found = LiftedLayers().apply({'params': {'field': params}}, X[0])
    expected = jnp.stack([TwoLayers().apply({'params': params}, x) for x in X[0]])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_one_flat_product_per_layer_after_lifting_and_differentiating():
    params = LiftedLayers().init(jax.random.key(0), X[0])
    forward = jax.make_jaxpr(lifted_loss)(params, X)
    assert products(forward, 'flat_dot') == [((5, 7, 3), (3, 4)), ((5, 7, 4), (4, 2))]
    assert not products(forward, 'dot_general')
    both = jax.make_jaxpr(jax.grad(lifted_loss))(params, X)
    assert sorted(products(both, 'flat_outer')) == [((5, 7, 3), (5, 7, 4)), ((5, 7, 4), (5, 7, 2))]
    # Forward once for each layer; backward only into the second: the first one's input is not learned.
    assert sorted(products(both, 'flat_dot')) == sorted([((5, 7, 3), (3, 4)), ((5, 7, 4), (4, 2)), ((5, 7, 2), (2, 4))])
    assert not products(both, 'dot_general')
    assert sorted(products(both, 'flat_sum')) == [((5, 7, 2),), ((5, 7, 4),)]


def test_what_is_lowered_has_two_axes():
    params = LiftedLayers().init(jax.random.key(0), X[0])
    lowered = [line for line in jax.jit(jax.grad(lifted_loss)).lower(params, X).as_text().splitlines() if 'dot_general' in line]
    assert len(lowered) == 5
    assert all('batching_dims' not in line for line in lowered)
    assert sum('tensor<35x' in line for line in lowered) == 5


def test_gradient_of_lifted_layers_is_that_of_plain_dense_layers():
    class Plain(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(2, name='second')(nn.relu(nn.Dense(4, name='first')(x)))

    params = LiftedLayers().init(jax.random.key(0), X[0])
    found = jax.jit(jax.grad(lifted_loss))(params, X)['params']['field']
    expected = jax.jit(jax.grad(lambda p: jnp.mean(Plain().apply({'params': p}, X) ** 2)))
    with jax.numpy_rank_promotion('allow'):
        expected = expected(params['params']['field'])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), found, expected)


@pytest.mark.parametrize(('name', 'levels'), [('nerf', 2), ('mipnerf', 2)])
def test_the_view_direction_is_multiplied_once_per_ray(name, levels, ray):
    tiny = {'depth': 1, 'width': 8, 'view_width': 4, 'position_degree': 1, 'view_degree': 4}
    samples = {'num_samples': 6} if name == 'mipnerf' else {'num_coarse': 6, 'num_fine': 6}
    model = make_model(name, {**tiny, **samples})
    rays = jax.tree.map(lambda leaf: jnp.stack([leaf] * 5), ray)
    params = jax.eval_shape(model.init, jax.random.key(0), ray)
    jaxpr = jax.make_jaxpr(lifting.over_rays(model.apply, (None, 0)))(params, rays)
    found = [x for x, kernel in products(jaxpr, 'flat_dot') if kernel == (27, 4)]
    assert found == [(5, 27)] * levels
    features = [x for x, kernel in products(jaxpr, 'flat_dot') if kernel == (8, 4)]
    assert len(features) == levels
    assert all(len(x) == 3 for x in features)


def test_over_samples_of_a_function_maps_what_it_is_told():
    found = lifting.over_samples(lambda x, y: x * y, in_axes=(0, None))(jnp.arange(3.0), 2.0)
    np.testing.assert_array_equal(found, [0, 2, 4])


@pytest.mark.parametrize('rays', [1, 4, 7, 12])
def test_chunks_of_rays_are_the_same_rays(rays):
    def one(x, key):
        return {'sum': jnp.sum(x), 'noise': jax.random.uniform(key)} if key is not None else {'sum': jnp.sum(x)}

    x, keys = jnp.arange(3.0 * rays).reshape(rays, 3), jax.random.split(jax.random.key(0), rays)
    for args in ((x, keys), (x, None)):
        found, expected = lifting.in_chunks(one, 4)(*args), lifting.over_rays(one)(*args)
        jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_chunks_bound_what_is_held_at_once():
    jaxpr = jax.make_jaxpr(lifting.in_chunks(lambda x: flat_dot(x, KERNEL), 4))(jnp.zeros((10, 3)))
    assert sorted(products(jaxpr, 'flat_dot')) == [((2, 3), (3, 4)), ((4, 3), (3, 4))]


@pytest.mark.parametrize('chunk', [1, 3, 4, 7, 12, 100])
def test_sums_over_chunks_are_the_sums_over_all_rays(chunk):
    def sums(rays, keys):
        noise = lifting.over_rays(jax.random.uniform)(keys)
        return {'moments': (jnp.sum(rays['x'], 0), jnp.sum(rays['x'] ** 2)), 'noise': jnp.sum(noise)}

    rays, keys = {'x': jnp.arange(36.0).reshape(12, 3)}, jax.random.split(jax.random.key(0), 12)
    found = jax.jit(lifting.sum_over_chunks(sums, chunk))(rays, keys)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), found, sums(rays, keys))


@pytest.mark.parametrize(('rays', 'chunk', 'sizes'), [(12, 4, {4}), (10, 4, {4, 2}), (9, 4, {3}), (3, 4, {3}), (4, 4, {4})])
def test_a_sum_over_chunks_bounds_what_is_held_at_once_in_few_sizes(rays, chunk, sizes):
    def gradient(x):
        return jax.grad(lambda kernel: jnp.sum(lifting.over_rays(flat_dot, (0, None))(x, kernel) ** 2))(KERNEL)

    x = jnp.ones((rays, 3))
    jaxpr = jax.make_jaxpr(lifting.sum_over_chunks(gradient, chunk))(x)
    assert {x[0] for x, _ in products(jaxpr, 'flat_outer')} == sizes
    np.testing.assert_allclose(lifting.sum_over_chunks(gradient, chunk)(x), gradient(x), rtol=1e-5)


def test_replicate_and_back():
    tree = {'a': jnp.arange(3), 'b': (jnp.float32(2.0),)}
    copies = lifting.replicate(tree)
    assert copies['a'].shape == (jax.local_device_count(), 3)
    jax.tree.map(np.testing.assert_array_equal, lifting.unreplicate(copies), tree)


def test_shard_splits_in_order():
    devices = jax.local_device_count()
    x = np.arange(devices * 6).reshape(devices * 2, 3)
    np.testing.assert_array_equal(lifting.shard({'x': x})['x'], x.reshape(devices, 2, 3))


FOUR_DEVICES = """
import json, jax, jax.numpy as jnp, numpy as np
from nerf import lifting
from nerf.flat import flat_add, flat_dot
jax.config.update('jax_numpy_rank_promotion', 'raise')
kernel = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4)), jnp.float32)
x = jnp.asarray(np.random.default_rng(1).normal(size=(8, 5, 3)), jnp.float32)

def total(kernel, x):
    lift = lifting.over_rays(lifting.over_samples(flat_dot, (0, None)), (0, None))
    return jnp.sum(jnp.sin(lift(x, kernel)))

def of_device(kernel, x):
    gradient = lifting.sum_over_chunks(lambda x: jax.grad(total)(kernel, x), 1)(x)
    return lifting.device_index(), lifting.sum_over_devices({'g': gradient, 'n': jnp.float32(x.shape[0])})

index, sums = lifting.over_devices(of_device)(lifting.replicate(kernel), lifting.shard(x))
shared = lifting.over_devices(of_device, in_axes=(None, 0))(kernel, lifting.shard(x))[1]
try:
    lifting.shard({'x': jnp.zeros((6, 3))})
    refusal = None
except ValueError as error:
    refusal = str(error)
print(json.dumps({
    'index': index.tolist(),
    'rays': sums['n'].tolist(),
    'spread': max(float(jnp.abs(sums['g'] - sums['g'][0][None]).max()), float(jnp.abs(sums['g'] - shared['g']).max())),
    'error': float(jnp.abs(lifting.unreplicate(sums['g']) - jax.grad(total)(kernel, x)).max()),
    'copies': lifting.replicate(kernel).shape,
    'devices': len(lifting.replicate(kernel).sharding.device_set),
    'sharded': lifting.shard(x).shape,
    'in order': bool((lifting.shard(x).reshape(x.shape) == x).all()),
    'refusal': refusal,
}))
"""


def test_four_devices():
    flags = os.environ.get('XLA_FLAGS', '') + ' --xla_force_host_platform_device_count=4'
    environment = {**os.environ, 'XLA_FLAGS': flags, 'JAX_PLATFORMS': 'cpu', 'NPROC': '32'}
    command = [sys.executable, '-c', FOUR_DEVICES]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found['index'] == [0, 1, 2, 3]
    assert found['rays'] == [8, 8, 8, 8]
    assert found['spread'] == 0
    assert found['error'] < 1e-5
    assert found['copies'] == [4, 3, 4]
    assert found['devices'] == 4
    assert found['sharded'] == [4, 2, 5, 3]
    assert found['in order']
    assert found['refusal'] == '6 rays cannot be divided between 4 devices: use a multiple of 4'
