import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import tiny
from nerf.config import resolve
from nerf.errors import UserError
from nerf.models import make_model


def model_of(dtype):
    config = tiny.get_config()
    config.compute_dtype = dtype
    config = resolve(config)
    return make_model(config.model_name, config.model)


def test_bfloat16_is_inside_dense_layers_alone(ray):
    model = model_of('bfloat16')
    variables = model.init(jax.random.key(0), ray)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype('float32')}
    levels = model.apply(variables, ray)
    assert {leaf.dtype for leaf in jax.tree.leaves(levels)} == {jnp.dtype('float32')}
    halves = [
        equation.primitive.name
        for equation in jax.make_jaxpr(lambda ray: model.apply(variables, ray))(ray).jaxpr.eqns
        if any(getattr(v.aval, 'dtype', None) == jnp.bfloat16 for v in equation.outvars)
    ]
    assert set(halves) == {'convert_element_type', 'flat_dot'}


def test_bfloat16_is_near_float32_and_not_the_same(ray):
    model = model_of('float32')
    variables = model.init(jax.random.key(0), ray)
    full, half = (jax.jit(model_of(dtype).apply)(variables, ray)[0] for dtype in ('float32', 'bfloat16'))
    assert 0 < np.abs(full.rgb - half.rgb).max() < 0.02
    np.testing.assert_array_equal(full.t, half.t)


def test_unknown_dtype():
    with pytest.raises(UserError, match=r"unknown config.model.compute_dtype 'float8': expected one of bfloat16, float32"):
        model_of('float8')
