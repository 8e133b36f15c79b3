"""The oracle stops light at the exact surface, and refuses a batch as every model does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.data.built_in.still_life import CORAL, trace
from nerf.data.procedural import views
from nerf.lessons.oracle import Oracle
from nerf.lifting import over_rays
from nerf.ray.cameras import cast
from nerf.ray.compositing import composite


def test_a_batch_is_refused(ray):
    rays = jax.tree.map(lambda field: jnp.stack([field] * 3), ray)
    with pytest.raises(ValueError, match='lift with over_rays'):
        Oracle().apply({}, rays)


def test_median_distance_is_the_exact_one_and_opacity_is_that_of_the_surface():
    _, _, cameras = views(16)
    camera = jax.tree.map(jnp.asarray, cameras.at(25))
    xy = jnp.stack(jnp.meshgrid(jnp.arange(16.0) + 0.5, jnp.arange(16.0) + 0.5), -1).reshape(-1, 2)
    oracle = Oracle(num_samples=800, sharpness=2000.0)

    def both(xy):
        ray = cast(camera, xy)
        return composite(oracle.apply({}, ray)[-1], ray, jnp.ones(3)), trace(ray)

    rendering, exact = jax.jit(over_rays(both))(xy)
    thick = (np.asarray(exact.alpha) == 1) & (np.asarray(rendering.acc) > 0.999)
    assert thick.sum() > 60
    np.testing.assert_allclose(np.asarray(rendering.distance_median)[thick], np.asarray(exact.distance)[thick], atol=0.008)
    np.testing.assert_allclose(np.asarray(rendering.rgb)[thick], np.asarray(exact.rgb)[thick], atol=2e-3)
    assert (np.asarray(rendering.acc)[np.asarray(exact.alpha) == 0] < 1e-6).all()


def test_density_is_the_sharpness_inside_a_solid_and_0_outside():
    oracle = Oracle(sharpness=7.0)
    assert oracle.apply({}, jnp.array(CORAL[:3]), 0.1, method='density') == 7
    assert oracle.apply({}, jnp.array([0.0, 0.0, 2.0]), 0.1, method='density') == 0
