import jax.numpy as jnp
import numpy as np
import pytest

from nerf.ray.structs import expect, expect_one_ray


def test_expect_lets_the_right_shapes_pass():
    expect('one scalar', 1.0)
    expect('one scalar', np.float32(1))
    expect('one row', jnp.zeros(7), None)
    expect('one matrix', jnp.zeros((3, 4)), 3, None)


@pytest.mark.parametrize(
    ('value', 'shape', 'lift', 'sentence'),
    [
        (np.zeros((10, 3)), (3,), 'over_rays', 'expected one thing of shape (3,), got (10, 3): lift with over_rays'),
        (np.zeros(5), (), 'over_samples', 'expected one thing of shape (), got (5,): lift with over_samples'),
        (np.zeros((2, 5)), (None,), 'over_rays', 'expected one thing of shape (n,), got (2, 5): lift with over_rays'),
        (np.zeros((2, 3, 4)), (3, 4), 'over_rays', 'expected one thing of shape (3, 4), got (2, 3, 4): lift with over_rays'),
        (np.zeros(4), (3,), 'over_rays', 'expected one thing of shape (3,), got (4,): lift with over_rays'),
    ],
)
def test_expect_says_what_was_expected_found_and_what_to_do(value, shape, lift, sentence):
    with pytest.raises(ValueError, match='lift with') as error:
        expect('one thing', value, *shape, lift=lift)
    assert str(error.value) == sentence


@pytest.mark.parametrize('field', ['origin', 'direction', 'viewdir', 'radius', 'near', 'far'])
def test_expect_one_ray_looks_at_every_field(ray, field):
    expect_one_ray(ray)
    batch = jnp.stack([getattr(ray, field)] * 10)
    with pytest.raises(ValueError, match=f'expected one ray, {field} of shape .* lift with over_rays'):
        expect_one_ray(ray.replace(**{field: batch}))
