"""What every function of one ray and every model must do: explain itself, jit, lift exactly, and refuse a batch.

A new public function of `nerf.ray` fails here until it has an entry in `EXAMPLES`; losses have theirs from the registry.
"""

import ast
import dataclasses
import functools
import importlib
import inspect
import pkgutil
import types
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

import nerf.ray
from nerf.lifting import over_rays
from nerf.models import MODELS, make_model
from nerf.ray import (
    background,
    cameras,
    compositing,
    contraction,
    encodings,
    gaussians,
    hashgrid,
    histogram,
    lenses,
    losses,
    maths,
    ndc,
    occupancy,
    photos,
    sampling,
    spacing,
    structs,
)
from nerf.ray.cameras import Camera
from nerf.ray.hashgrid import Grid
from nerf.ray.lenses import Lens
from nerf.ray.losses import LOSSES
from nerf.ray.occupancy import Occupancy
from nerf.ray.structs import Gaussian, Level, Pixel, Ray, RenderedPixel, Rendering

MODULES = [importlib.import_module(f'nerf.ray.{found.name}') for found in pkgutil.iter_modules(nerf.ray.__path__)]
PUBLIC = {
    f'{module.__name__.rsplit(".", 1)[-1]}.{name}': value
    for module in MODULES
    for name, value in vars(module).items()
    if not name.startswith('_') and getattr(value, '__module__', None) == module.__name__ and callable(value)
}
FUNCTIONS = {name: value for name, value in PUBLIC.items() if inspect.isfunction(value)}
CLASSES = {name: value for name, value in PUBLIC.items() if inspect.isclass(value)}

POINT = jnp.array([0.3, -0.7, 1.1])
DIRECTION = jnp.array([0.3, -0.2, -1.0])
POSTS = jnp.array([0.0, 0.1, 0.4, 0.5, 0.9])
WEIGHTS = jnp.array([0.1, 0.0, 0.5, 0.2])
KEY = jax.random.key(3)
RAY = Ray(POINT, DIRECTION, DIRECTION / jnp.sqrt(1.13), jnp.float32(0.01), jnp.float32(0.5), jnp.float32(6.0))
CAMERA = Camera(
    camera_to_world=jnp.array([[1.0, 0.0, 0.0, 0.3], [0.0, 0.6, -0.8, 0.2], [0.0, 0.8, 0.6, 4.0]]),
    camera_to_pixel=jnp.array([[30.0, 0.0, 16.0], [0.0, 40.0, 12.0], [0.0, 0.0, 1.0]]),
    width=jnp.int32(32),
    height=jnp.int32(24),
    near=jnp.float32(2.0),
    far=jnp.float32(6.0),
)
LENS = Lens(jnp.array([0.1, -0.05, 0.01, 0.02, 0.01, 0.05, 0.02, 0.01]), jnp.int32(0))
FISHEYE = LENS.replace(is_fisheye=jnp.int32(1))
FORWARD_FACING = CAMERA.replace(ndc=jnp.array([1.9, 3.3]))
GAUSSIAN = Gaussian(mean=POINT, cov=jnp.diag(jnp.array([0.1, 0.2, 0.3])))
LEVEL = Level(s=POSTS, t=6 * POSTS, density=WEIGHTS, rgb=jnp.linspace(0, 1, 12).reshape(4, 3), weights=WEIGHTS)
OTHER_LEVEL = LEVEL.replace(s=POSTS**2, weights=WEIGHTS[::-1])
RENDERING = Rendering(rgb=POINT, acc=jnp.float32(0.8), distance=jnp.float32(3.0), distance_median=jnp.float32(2.9))
SEGMENT = (jnp.float32(2.0), jnp.float32(2.5), POINT, DIRECTION, jnp.float32(0.01))
GRID = Grid(num_levels=3, coarsest=2, finest=7, log2_rows=7)
TABLE = jnp.sin(jnp.arange(2.0 * GRID.num_rows)).reshape(GRID.num_rows, 2)
OCCUPANCY = Occupancy(
    lower=jnp.full(3, -2.0), upper=jnp.full(3, 2.0), cells=jnp.zeros((4, 4, 4), jnp.uint8).at[1:3, 1:3, 1:3].set(1)
)
RENDERED = RenderedPixel(RAY, [LEVEL, OTHER_LEVEL], [RENDERING, RENDERING], jnp.array([0.2, 0.3, 0.4]), jnp.float32(0.5))

ELEMENTWISE = 'elementwise: an array of any shape means the same'
IDENTITY = 'elementwise: without a photo it is the identity'
ONLY_A_KEY = 'takes nothing but a key, and jax refuses a batch of keys itself'


@dataclasses.dataclass(frozen=True)
class Example:
    """Arguments for which a function is tried: `call` fixes what is not an array; `takes_batch` says why none is refused."""

    call: Callable
    args: tuple
    takes_batch: str = ''

    @functools.cached_property
    def jitted(self) -> Callable:
        return jax.jit(self.call)


EXAMPLES: dict[str, list[Example]] = {
    'background.background_colour': [Example(lambda key: background.background_colour('random', key), (KEY,), ONLY_A_KEY)],
    'background.target_colour': [
        Example(
            lambda rgba, behind: background.target_colour(Pixel(jnp.int32(0), jnp.zeros(2), rgba, jnp.float32(1)), behind),
            (jnp.array([50.0, 20.0, 10.0, 128.0]), jnp.array([0.2, 0.5, 1.0])),
        )
    ],
    'cameras.intrinsics': [Example(cameras.intrinsics, tuple(jnp.array([30.0, 40.0, 16.0, 12.0])))],
    'cameras.pixel_to_camera': [Example(cameras.pixel_to_camera, (CAMERA.camera_to_pixel, jnp.array([3.5, 7.5])))],
    'cameras.cast': [
        Example(cameras.cast, (camera, jnp.array([3.5, 7.5])))
        for camera in (CAMERA, CAMERA.replace(lens=LENS), CAMERA.replace(lens=FISHEYE), FORWARD_FACING)
    ],
    'cameras.project': [
        Example(cameras.project, (camera, POINT))
        for camera in (CAMERA, CAMERA.replace(lens=LENS), CAMERA.replace(lens=FISHEYE))
    ],
    'cameras.world_distance': [
        Example(cameras.world_distance, (CAMERA, RAY, jnp.float32(0.7))),
        Example(cameras.world_distance, (FORWARD_FACING, RAY, jnp.float32(0.7))),
    ],
    'cameras.distance_to_depth': [Example(cameras.distance_to_depth, (CAMERA, RAY.viewdir, jnp.float32(3.0)))],
    'compositing.lengths': [Example(compositing.lengths, (POSTS, DIRECTION))],
    'compositing.sample_positions': [Example(compositing.sample_positions, (LEVEL,))],
    'compositing.transmittance': [Example(compositing.transmittance, (WEIGHTS, POSTS[1:]))],
    'compositing.weights': [Example(compositing.weights, (WEIGHTS, POSTS[1:]))],
    'compositing.composite': [
        Example(compositing.composite, (LEVEL, RAY, POINT)),
        Example(compositing.composite, (LEVEL.replace(sample_at=0.0), RAY, POINT)),
    ],
    'contraction.contract': [Example(contraction.contract, (POINT,)), Example(contraction.contract, (POINT / 4,))],
    'contraction.expand': [Example(contraction.expand, (POINT,)), Example(contraction.expand, (POINT / 4,))],
    'encodings.octaves': [Example(lambda x: encodings.octaves(x, np.arange(1, 4)), (POINT,))],
    'encodings.positional': [
        Example(lambda x: encodings.positional(x, 0, 4), (POINT,)),
        Example(lambda x: encodings.positional(x, 1, 4, identity=True), (POINT,)),
    ],
    'encodings.integrated': [Example(lambda g: encodings.integrated(g, 0, 4), (GAUSSIAN,))],
    'encodings.integrated_off_axis': [Example(lambda g: encodings.integrated_off_axis(g, 0, 4), (GAUSSIAN,))],
    'encodings.spherical_harmonics': [Example(lambda d: encodings.spherical_harmonics(d, 4), (RAY.viewdir,))],
    'encodings.direction': [Example(lambda d: encodings.direction(d, 2), (RAY.viewdir,))],
    'gaussians.along_ray': [Example(gaussians.along_ray, (*jnp.array([2.0, 0.1, 0.2]), POINT, DIRECTION))],
    'gaussians.frustum_to_gaussian': [Example(gaussians.frustum_to_gaussian, SEGMENT)],
    'gaussians.cylinder_to_gaussian': [Example(gaussians.cylinder_to_gaussian, SEGMENT)],
    'gaussians.cube_to_gaussian': [Example(gaussians.cube_to_gaussian, (POINT, jnp.float32(0.2)))],
    'gaussians.push_forward': [Example(lambda g: gaussians.push_forward(contraction.contract, g), (GAUSSIAN,))],
    'hashgrid.corners': [Example(lambda x: hashgrid.corners(GRID, x), (POINT / 2,))],
    'hashgrid.lookup': [Example(lambda table, x: hashgrid.lookup(GRID, table, x), (TABLE, jnp.abs(POINT) / 2))],
    'lenses.distort': [Example(lenses.distort, (lens, -RAY.viewdir)) for lens in (LENS, FISHEYE)],
    'lenses.undistort': [Example(lenses.undistort, (lens, jnp.array([0.3, -0.2]))) for lens in (LENS, FISHEYE)],
    'losses.squared_error': [Example(losses.squared_error, (POINT, DIRECTION))],
    'losses.upper_bound': [Example(losses.upper_bound, (jnp.array([0.0, 0.15, 0.6]), POSTS, WEIGHTS))],
    'maths.safe_sqrt': [Example(maths.safe_sqrt, (jnp.float32(2.0),), ELEMENTWISE)],
    'maths.norm': [Example(maths.norm, (POINT,))],
    'maths.normalise': [Example(maths.normalise, (POINT,))],
    'maths.matmul': [
        Example(maths.matmul, (CAMERA.camera_to_world.T, POINT)),
        Example(maths.matmul, (CAMERA.camera_to_world.T, CAMERA.camera_to_world)),
    ],
    'maths.exclusive_cumsum': [Example(maths.exclusive_cumsum, (POSTS,))],
    'maths.sin_or_cos': [Example(maths.sin_or_cos, (jnp.float32(2.0), jnp.bool_(is_cos)), ELEMENTWISE) for is_cos in (0, 1)],
    'maths.linear_to_srgb': [Example(maths.linear_to_srgb, (jnp.float32(0.3),), ELEMENTWISE)],
    'maths.srgb_to_linear': [Example(maths.srgb_to_linear, (jnp.float32(0.3),), ELEMENTWISE)],
    'maths.split_key': [
        Example(lambda key: [jax.random.uniform(each) for each in maths.split_key(key, 3)], (KEY,), ONLY_A_KEY),
    ],
    'ndc.point_to_ndc': [Example(lambda x: ndc.point_to_ndc(x, jnp.array([1.5, 2.0])), (POINT - 3,))],
    'ndc.point_from_ndc': [Example(lambda x: ndc.point_from_ndc(x, jnp.array([1.5, 2.0])), (POINT - 3,))],
    'ndc.to_ndc': [Example(ndc.to_ndc, (RAY, jnp.array([1.9, 3.3])))],
    'ndc.ndc_to_t': [Example(ndc.ndc_to_t, (RAY, jnp.float32(0.4)))],
    'occupancy.is_occupied': [Example(occupancy.is_occupied, (OCCUPANCY, POINT))],
    'occupancy.intersect_box': [Example(occupancy.intersect_box, (OCCUPANCY.lower, OCCUPANCY.upper, RAY))],
    'occupancy.occupied_interval': [Example(occupancy.occupied_interval, (OCCUPANCY, RAY))],
    'photos.adjust_camera': [Example(lambda camera: photos.adjust_camera(camera, None), (CAMERA,), IDENTITY)],
    'photos.adjust_colour': [Example(lambda rgb: photos.adjust_colour(rgb, None), (POINT,), IDENTITY)],
    'spacing.check_near': [
        Example(
            lambda near: spacing.check_near(near, 'disparity'), (jnp.float32(2.0),), 'takes one number, and cannot read ten'
        ),
    ],
    'spacing.s_to_t': [
        Example(lambda *args, name=name: spacing.s_to_t(*args, name), (POSTS, RAY.near, RAY.far)) for name in spacing.SPACINGS
    ],
    'spacing.t_to_s': [
        Example(lambda *args, name=name: spacing.t_to_s(*args, name), (6 * POSTS[1:], RAY.near, RAY.far))
        for name in spacing.SPACINGS
    ],
    'sampling.stratified': [Example(lambda key: sampling.stratified(key, 5), (KEY,), ONLY_A_KEY)],
    'histogram.cdf': [Example(histogram.cdf, (WEIGHTS,))],
    'histogram.interpolate': [Example(histogram.interpolate, (jnp.array([-1.0, 0.2, 0.7, 2.0]), POSTS, POSTS**2))],
    'sampling.sample': [
        Example(lambda key, s, w: sampling.sample(key, s, w, 6), (KEY, POSTS, WEIGHTS)),
        Example(lambda s, w: sampling.sample(None, s, w, 6), (POSTS, WEIGHTS)),
    ],
    'sampling.sample_intervals': [
        Example(lambda key, s, w: sampling.sample_intervals(key, s, w, 6), (KEY, POSTS, WEIGHTS)),
        Example(lambda s, w: sampling.sample_intervals(None, s, w, 6), (POSTS, WEIGHTS)),
    ],
    'histogram.dilate': [Example(lambda s, w: histogram.dilate(s, w, 0.03), (POSTS, WEIGHTS))],
    'histogram.anneal': [Example(lambda w: histogram.anneal(w, 0.3, 10.0), (WEIGHTS,))],
    'histogram.blur_and_pad': [Example(lambda w: histogram.blur_and_pad(w, 0.01), (WEIGHTS,))],
    'histogram.quantile': [
        Example(lambda *args: histogram.quantile(0.5, *args), (POSTS, WEIGHTS, RAY.far)),
        Example(lambda *args: histogram.quantile(0.95, *args), (POSTS, WEIGHTS, RAY.far)),
    ],
    'structs.expect': [Example(lambda x: structs.expect('one point', x, 3), (POINT,))],
    'structs.expect_one_ray': [Example(structs.expect_one_ray, (RAY,))],
}
# Every loss takes the same argument, so that one of your own needs no example.
EXAMPLES |= {f'{loss.__module__.rpartition(".")[2]}.{loss.__name__}': [Example(loss, (RENDERED,))] for loss in LOSSES.values()}
CASES = [pytest.param(example, id=f'{name}-{i}') for name, found in EXAMPLES.items() for i, example in enumerate(found)]

TINY = {'depth': 2, 'width': 8, 'view_width': 4, 'position_degree': 3, 'view_degree': 2}
TINY_GRIDS = {
    **{'num_proposal': 6, 'num_samples': 5, 'view_degree': 2, 'num_levels': 3, 'finest': 24, 'log2_rows': 7},
}
TINY_360 = {
    **{'num_proposal': 6, 'num_samples': 5, 'proposal_depth': 1, 'proposal_width': 8, 'depth': 2, 'width': 8},
    **{'bottleneck': 4, 'view_width': 4, 'position_degree': 3, 'view_degree': 1},
}
UNBOUNDED = {'spacing': 'disparity', 'contract': True, 'opaque_background': True}
TINY_MODELS: dict[str, list[dict[str, object]]] = {
    'nerf': [
        {**TINY, 'num_coarse': 5, 'num_fine': 6, 'density_activation': 'softplus', 'density_noise': 0.3},
        {**TINY, 'num_coarse': 5, 'num_fine': 6, 'use_viewdirs': False, 'spacing': 'disparity', 'contract': True},
    ],
    'instant': [{**TINY_GRIDS, 'colour_depth': 1, 'width': 8}, {**TINY_GRIDS, **UNBOUNDED, 'width': 4}],
    'mipnerf': [
        {**TINY, 'num_samples': 6},
        {**TINY, 'num_samples': 6, 'ray_shape': 'cylinder', 'integrate': False, 'contract': True},
    ],
    'mipnerf360': [{**TINY_360, **UNBOUNDED}, {**TINY_360, 'spacing': 'linear', 'contract': False, 'opaque_background': False}],
}
MODEL_CASES = [pytest.param(name, i, id=f'{name}-{i}') for name, found in TINY_MODELS.items() for i in range(len(found))]


def stack(trees):
    def stack_leaves(*leaves):
        return jnp.stack(leaves) if is_key(leaves[0]) else jnp.asarray(np.stack(leaves))

    return jax.tree.map(stack_leaves, *trees)


def is_key(leaf):
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def perturbed(args, i):
    """The i-th of some neighbouring examples: numbers a little smaller, still in order; another key."""

    def change(leaf):
        if is_key(leaf):
            return jax.random.fold_in(leaf, i)
        scale = 1 - 0.01 * i if jnp.issubdtype(leaf.dtype, jnp.floating) else 1
        return jnp.asarray(np.asarray(leaf) * np.asarray(scale, leaf.dtype))

    return jax.tree.map(change, args)


def batch_of(args, count):
    return stack([perturbed(args, i) for i in range(count)])


def assert_close(found, expected, rtol=2e-6, atol=1e-6):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=atol)


def test_every_public_function_has_an_example():
    missing = sorted(set(FUNCTIONS) - set(EXAMPLES))
    assert not missing, f'no example for {missing}: add arguments to EXAMPLES, so that they are tried like all others'
    assert not set(EXAMPLES) - set(FUNCTIONS)


def test_tiny_examples_are_of_models_that_exist():
    # Whichever has none is checked by tests/models/test_contract.py alone.
    assert set(TINY_MODELS) <= set(MODELS)


@pytest.mark.parametrize('name', PUBLIC)
def test_everything_public_explains_itself(name):
    assert inspect.getdoc(PUBLIC[name])
    # The dataclass decorator writes a docstring of its own where there is none.
    assert not inspect.getdoc(PUBLIC[name]).startswith(f'{name.split(".")[-1]}(')


@pytest.mark.parametrize('name', CLASSES)
def test_every_field_is_documented(name):
    for field in dataclasses.fields(CLASSES[name]):
        assert f'{field.name}: ' in CLASSES[name].__doc__, f'{name}.{field.name} has no line in the docstring'


@pytest.mark.parametrize('example', CASES)
def test_jit_equals_eager(example):
    assert_close(example.jitted(*example.args), example.call(*example.args))


@pytest.mark.parametrize('example', CASES)
def test_lifted_equals_the_stack_of_single_calls(example):
    expected = stack([example.jitted(*perturbed(example.args, i)) for i in range(4)])
    lifted = jax.jit(over_rays(example.call))(*batch_of(example.args, 4))
    assert_close(lifted, expected)


@pytest.mark.parametrize('count', [3, 10])
@pytest.mark.parametrize('example', CASES)
def test_a_batch_is_refused_with_a_sentence(unchecked, example, count):
    # Three is the number that would broadcast without a word against points and colours.
    if not example.takes_batch:
        with pytest.raises(ValueError, match='lift with over_'):
            example.call(*batch_of(example.args, count))


@pytest.mark.parametrize('example', [case for case in CASES if case.values[0].takes_batch])
def test_a_batch_is_taken_only_where_it_does_no_harm(unchecked, example):
    args = batch_of(example.args, 3)
    if example.takes_batch in (ELEMENTWISE, IDENTITY):
        assert_close(example.call(*args), over_rays(example.call)(*args))
    else:
        with pytest.raises((TypeError, ValueError)):
            example.call(*args)


def test_signatures_are_checked():
    # Functions of a module that was imported before the hook was installed would not be wrapped.
    assert not [name for name, function in FUNCTIONS.items() if not hasattr(function, '__wrapped__')]
    with pytest.raises(jaxtyping.TypeCheckError, match=r'parameters of nerf\.ray\.sampling\.sample'):
        sampling.sample(KEY, POSTS, WEIGHTS[1:], 6)
    with pytest.raises(jaxtyping.TypeCheckError, match=r'parameters of nerf\.ray\.histogram\.cdf'):
        jax.jit(over_rays(histogram.cdf))(jnp.zeros((2, 3, 4)))


@pytest.mark.parametrize('module', MODULES, ids=lambda module: module.__name__)
def test_the_source_knows_no_batch(module):
    tree = ast.parse(inspect.getsource(module))
    for node in ast.walk(tree):
        where = f'{Path(module.__file__).name}:{getattr(node, "lineno", 0)}'
        if isinstance(node, ast.Subscript):
            index = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            has_ellipsis = any(isinstance(part, ast.Constant) and part.value is ... for part in index)
            assert not has_ellipsis or is_annotation_of_types(node), f'{where}: `...` hides a batch axis'
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == 'reshape':
            sizes = node.args[1:] if getattr(node.func.value, 'id', '') == 'jnp' else node.args
            assert len(sizes) < 2 or '-1' not in map(ast.unparse, sizes), f'{where}: reshape(-1, n) flattens a batch'
        if isinstance(node, ast.Attribute | ast.Name):
            name = node.attr if isinstance(node, ast.Attribute) else node.id
            assert name not in ('vmap', 'pmap', 'Ellipsis'), f'{where}: {name} belongs into nerf/lifting.py'


def is_annotation_of_types(node):
    return ast.unparse(node.value) in ('Callable', 'tuple')


def test_modules_of_one_ray_import_no_other_part_and_no_tensorflow():
    imported = {value.__name__ for module in MODULES for value in vars(module).values() if isinstance(value, types.ModuleType)}
    assert not {name for name in imported if name.split('.')[0] in ('tensorflow', 'clu')}
    assert 'nerf.lifting' not in imported


@functools.cache
def tiny(name, i):
    """A tiny model, parameters that make it see something, and it for one ray and for several, each compiled once."""
    model = make_model(name, TINY_MODELS[name][i])
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(model.init, KEY, RAY)
    params = jax.tree.map(lambda leaf: jnp.asarray(rng.uniform(-0.3, 0.5, leaf.shape), jnp.float32), shapes)
    return model, params, jax.jit(model.apply), jax.jit(over_rays(functools.partial(model.apply, params)))


@pytest.mark.parametrize('name', TINY_MODELS)
def test_model_jit_equals_eager(unchecked, name):
    model, params, apply, _ = tiny(name, 0)
    assert_close(apply(params, RAY, KEY), model.apply(params, RAY, KEY), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(('name', 'i'), MODEL_CASES)
def test_model_lifted_equals_the_stack_of_single_calls(name, i):
    _, params, apply, lifted = tiny(name, i)
    args = (RAY, KEY)
    expected = stack([apply(params, *perturbed(args, k)) for k in range(4)])
    assert_close(lifted(*batch_of(args, 4)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(('name', 'i'), MODEL_CASES)
def test_model_without_a_key_is_deterministic(name, i):
    _, params, apply, lifted = tiny(name, i)
    once, again = lifted(stack([RAY] * 4)), lifted(stack([RAY] * 4))
    jax.tree.map(np.testing.assert_array_equal, once, again)
    for level in once:
        # Lanes of a vectorised loop may round apart.
        np.testing.assert_allclose(level.s, np.broadcast_to(level.s[0], level.s.shape), atol=1e-6)
    jax.tree.map(np.testing.assert_array_equal, apply(params, RAY, KEY), apply(params, RAY, KEY))


@pytest.mark.parametrize(('name', 'i'), MODEL_CASES)
def test_neighbouring_rays_are_not_sampled_alike(name, i):
    _, _, _, lifted = tiny(name, i)
    for level in lifted(stack([RAY] * 4), jax.random.split(KEY, 4)):
        s, t = np.asarray(level.s), np.asarray(level.t)
        assert (np.abs(np.diff(s, axis=0)).max(axis=1) > 1e-3).all()
        assert (np.diff(t) >= 0).all()
        assert t.min() >= RAY.near
        assert t.max() <= RAY.far


@pytest.mark.parametrize(('name', 'i'), MODEL_CASES)
def test_model_gradients_are_finite(name, i):
    model, params, _, _ = tiny(name, i)

    def loss(params, ray):
        levels = model.apply(params, ray)
        results = [compositing.composite(level, ray, jnp.ones(3)) for level in levels]
        return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(results))

    gradients = jax.jit(jax.grad(loss, (0, 1)))
    eye = 1e-3 if TINY_MODELS[name][i].get('spacing') == 'disparity' else 0.0
    singular = RAY.replace(near=jnp.float32(eye), origin=jnp.zeros(3), radius=jnp.float32(0.0))
    nothing = RAY.replace(near=RAY.far)
    for ray in (RAY, singular, nothing):
        # Also parameters so large that the first sample is opaque.
        for scale in (1, 1e4):
            found = gradients(jax.tree.map(lambda leaf: leaf * np.float32(scale), params), ray)  # noqa: B023
            assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found)), (ray, scale)
    found = gradients(params, RAY)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(found[0]['params'])), 'a layer learns nothing'


@pytest.mark.parametrize(('name', 'i'), MODEL_CASES)
def test_model_refuses_a_batch_with_this_sentence(unchecked, name, i):
    model, params, _, _ = tiny(name, i)
    with pytest.raises(ValueError, match='lift') as error:
        model.apply(params, stack([RAY] * 10))
    assert str(error.value) == 'expected one ray, origin of shape (3,), got (10, 3): lift with over_rays'


def test_a_batch_of_one_is_a_batch(unchecked):
    with pytest.raises(ValueError, match=r'got \(1, 3\): lift with over_rays'):
        compositing.composite(LEVEL, stack([RAY]), POINT)
