"""Each fault is one line of the package, is planted wherever its function was imported, and is taken out again."""

import importlib
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.errors import UserError
from nerf.lessons import faults
from nerf.lifting import over_rays
from nerf.models.mipnerf import compositing
from nerf.ray.cameras import cast, pixel_to_camera
from nerf.ray.contraction import contract
from nerf.ray.gaussians import RAY_SHAPES, push_forward
from nerf.ray.structs import Gaussian


@pytest.mark.parametrize('name', faults.FAULTS)
def test_a_fault_changes_one_place_of_one_function(name):
    fault = faults.FAULTS[name]
    module, _, function = fault.function.rpartition('.')
    source = inspect.getsource(getattr(importlib.import_module(module), function))
    assert source.count(fault.right) == 1
    faults.mutant(fault)


def test_a_fault_is_planted_where_jit_had_compiled_and_is_taken_out():
    density, delta = jnp.array([1.0, 2.0]), jnp.ones(2)
    compiled = jax.jit(over_rays(lambda density: compositing.weights(density, delta)))
    before = compiled(density[None])[0]
    with faults.planted('inclusive sum'):
        found = compiled(density[None])[0]
    np.testing.assert_allclose(found, [np.exp(-1) * (1 - np.exp(-1)), np.exp(-3) * (1 - np.exp(-2))], rtol=1e-5)
    np.testing.assert_array_equal(compiled(density[None])[0], before)


def test_a_fault_is_planted_under_names_bound_by_import_and_in_tables(monkeypatch):
    with faults.planted('y down'):
        assert importlib.import_module('nerf.ray.cameras').pixel_to_camera is not pixel_to_camera
        assert importlib.import_module('nerf.ray.cameras').cast is cast
    monkeypatch.setitem(
        faults.FAULTS, 'cone', faults.Fault('nerf.ray.gaussians.frustum_to_gaussian', '2 * middle', '3 * middle')
    )
    right = RAY_SHAPES['cone']
    with faults.planted('cone'):
        assert RAY_SHAPES['cone'] is not right
    assert RAY_SHAPES['cone'] is right


def test_a_fault_is_taken_out_after_an_error():
    with pytest.raises(ZeroDivisionError), faults.planted('no transpose'):
        raise ZeroDivisionError
    shear = jnp.array([[1.0, 2.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    pushed = push_forward(lambda x: jnp.sum(shear * x[None, :], axis=1), Gaussian(jnp.zeros(3), jnp.eye(3)))
    np.testing.assert_allclose(pushed.cov, shear @ shear.T)


def test_a_missing_transpose_shows_with_a_shear_and_not_with_the_contraction():
    gaussian = Gaussian(jnp.array([2.0, 1.0, 0.5]), jnp.diag(jnp.array([0.1, 0.2, 0.3])))
    shear = jnp.array([[1.0, 2.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])

    def both():
        push = importlib.import_module('nerf.ray.gaussians').push_forward
        return push(contract, gaussian).cov, push(lambda x: jnp.sum(shear * x[None, :], axis=1), gaussian).cov

    right = both()
    with faults.planted('no transpose'):
        wrong = both()
    np.testing.assert_allclose(wrong[0], right[0], atol=1e-7)
    assert jnp.abs(wrong[1] - right[1]).max() > 0.1


def test_an_unknown_fault_is_refused():
    with pytest.raises(UserError, match="unknown fault 'cone'"), faults.planted('cone'):
        pass
