import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.lifting import over_rays
from nerf.ray.lenses import Lens, distort, undistort

# Coefficients in OpenCV's order, and the tangents up to which the image reaches. The last four bend as much as lenses do;
# `about_to_fold` comes back towards the centre just beyond its image.
PERSPECTIVE = {
    'none': ([0, 0, 0, 0, 0, 0, 0, 0], (1.0, 0.7)),
    'phone': ([0.0578421, -0.0805099, -0.000980296, 0.00015575, 0, 0, 0, 0], (0.403, 0.702)),
    'action': ([-0.27, 0.11, 0.0005, -0.0003, -0.022, 0, 0, 0], (0.95, 0.6)),
    'pincushion': ([0.3, 0.15, 0.001, 0.002, 0.05, 0, 0, 0], (0.8, 0.6)),
    'barrel': ([-0.3, 0, 0, 0, 0, 0, 0, 0], (0.7, 0.5)),
    'about_to_fold': ([0.25, -0.12, 0.001, 0, 0, 0, 0, 0], (0.85, 0.65)),
    'rational': ([5.7, 3.5, -0.00008, 0.00004, 0.19, 6.0, 5.4, 1.0], (1.2, 1.2)),
}
FISHEYE = {  # k1, k2, k3, k4, and the angle up to which it sees, degrees
    'equidistant': ([0, 0, 0, 0], 170),
    'usual': ([-0.02, 0.005, -0.003, 0.0005], 115),
    'strong': ([-0.05, -0.002, 0.001, -0.0001], 115),
    'about_to_fold': ([0.05, -0.01, 0.004, -0.001], 113),
}
IMPLICIT = {'phone': PERSPECTIVE['phone'][0], 'action': PERSPECTIVE['action'][0], 'rational': PERSPECTIVE['rational'][0]}


def make(coefficients, is_fisheye=0):
    return Lens(jnp.array([*coefficients, *[0.0] * (8 - len(coefficients))], jnp.float32), jnp.int32(is_fisheye))


def bend(coefficients, x, y):
    """OpenCV's formula in float64, written as in its documentation."""
    k1, k2, p1, p2, k3, k4, k5, k6 = coefficients
    r = np.sqrt(x**2 + y**2)
    radial = (1 + k1 * r**2 + k2 * r**4 + k3 * r**6) / (1 + k4 * r**2 + k5 * r**4 + k6 * r**6)
    tangential = 2 * p1 * x * y + p2 * (r**2 + 2 * x**2), p1 * (r**2 + 2 * y**2) + 2 * p2 * x * y
    return x * radial + tangential[0], y * radial + tangential[1]


def unbend(coefficients, x, y):
    """The inverse, in float64: half of what is missing is added, until nothing is."""
    u, v = x, y
    for _ in range(2000):
        bent_u, bent_v = bend(coefficients, u, v)
        u, v = u - 0.5 * (bent_u - x), v - 0.5 * (bent_v - y)
    return u, v


def on_fisheye(coefficients, limit):
    """Angles from the axis, around it, and how far from the centre they appear, [n] each, float64."""
    theta, phi = np.radians(np.linspace(0, limit, 181)), np.linspace(0, 40, 181)
    k1, k2, k3, k4 = coefficients
    return theta, phi, theta * (1 + k1 * theta**2 + k2 * theta**4 + k3 * theta**6 + k4 * theta**8)


@jax.jit
def undistort_all(lens, xys):
    return over_rays(undistort, (None, 0))(lens, xys)


@jax.jit
def distort_all(lens, directions):
    return over_rays(distort, (None, 0))(lens, directions)


def test_distort_by_hand():
    # x = 0.5, y = -0.25, r^2 = 0.3125
    numerator = 1 + 0.1 * 0.3125 + 0.2 * 0.09765625 + 0.3 * 0.030517578125
    radial = numerator / (1 + 0.4 * 0.3125 + 0.5 * 0.09765625 + 0.6 * 0.030517578125)
    lens = make([0.1, 0.2, 0.01, 0.02, 0.3, 0.4, 0.5, 0.6])
    expected = [
        0.5 * radial + 2 * 0.01 * -0.125 + 0.02 * (0.3125 + 2 * 0.25),
        -0.25 * radial + 0.01 * (0.3125 + 2 * 0.0625) + 2 * 0.02 * -0.125,
    ]
    np.testing.assert_allclose(distort(lens, jnp.array([1.0, -0.5, 2.0])), expected, rtol=1e-6)


def test_distort_of_a_fisheye_by_hand():
    lens = make([0.1, 0.01, 0.001, 0.0001], is_fisheye=1)
    q = np.pi**2 / 4  # 90 degrees to the left and down
    expected = np.pi / 2 * (1 + 0.1 * q + 0.01 * q**2 + 0.001 * q**3 + 0.0001 * q**4)
    np.testing.assert_allclose(distort(lens, jnp.array([-3.0, 4.0, 0.0])), np.array([-0.6, 0.8]) * expected, rtol=1e-6)
    # 135 degrees, behind the camera
    np.testing.assert_allclose(distort(make([0] * 4, 1), jnp.array([0.0, 2.0, -2.0])), [0, 0.75 * np.pi], rtol=1e-6)


@pytest.mark.parametrize('name', PERSPECTIVE)
def test_both_ways_are_the_formula(name):
    coefficients, (width, height) = PERSPECTIVE[name]
    x, y = (each.ravel() for each in np.meshgrid(np.linspace(-width, width, 31), np.linspace(-height, height, 31)))
    bent = np.stack(bend(coefficients, x, y), axis=1)
    lens = make(coefficients)
    found = undistort_all(lens, bent.astype(np.float32))
    np.testing.assert_allclose(found, np.stack([x, y, np.ones_like(x)], axis=1), atol=1.2e-6)
    np.testing.assert_allclose(distort_all(lens, 3 * found), bent, atol=1e-6)


@pytest.mark.parametrize('name', ['phone', 'action', 'pincushion', 'barrel'])
def test_undistort_is_the_limit_of_a_plain_iteration(name):
    coefficients, (width, height) = PERSPECTIVE[name]
    corners = bend(coefficients, width, height)
    for x, y in ((corners[0], corners[1]), (-corners[0], corners[1]), (corners[0], 0.0)):
        found = undistort_all(make(coefficients), np.array([[x, y]], np.float32))
        np.testing.assert_allclose(found[0, :2], unbend(coefficients, x, y), atol=1e-6)


@pytest.mark.parametrize('name', FISHEYE)
def test_both_ways_of_a_fisheye_also_behind_the_camera(name):
    coefficients, limit = FISHEYE[name]
    theta, phi, bent = on_fisheye(coefficients, limit)
    xys = np.stack([bent * np.cos(phi), bent * np.sin(phi)], axis=1)
    expected = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=1)
    lens = make(coefficients, is_fisheye=1)
    found = undistort_all(lens, xys.astype(np.float32))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found[-1, 2] < -0.3
    np.testing.assert_allclose(distort_all(lens, 3 * found), xys, atol=3e-6)


def test_no_distortion_gives_back_the_same_bits():
    rng = np.random.default_rng(0)
    xys = rng.normal(size=(1000, 2)).astype(np.float32)
    found = undistort_all(make([0] * 8), xys)
    np.testing.assert_array_equal(found, np.concatenate([xys, np.ones((1000, 1), np.float32)], axis=1))
    np.testing.assert_array_equal(distort_all(make([0] * 8), found), xys)


@jax.jit
def slopes(lens, direction):
    """Values and derivatives, with respect to coefficients and place, of both ways."""
    at = {'there': (distort, direction), 'back': (undistort, direction[:2])}
    return {name: (way(lens, x), jax.jacrev(way, (0, 1), allow_int=True)(lens, x)) for name, (way, x) in at.items()}


@pytest.mark.parametrize(('coefficients', 'is_fisheye'), [*((each, 0) for each in IMPLICIT.values()), ([0.05, -0.01], 1)])
def test_gradients_are_those_of_the_inverse(coefficients, is_fisheye):
    lens, xy = make(coefficients, is_fisheye), jnp.array([0.3, -0.2])
    direction, (of_lens, of_place) = slopes(lens, jnp.append(xy, 1.0))['back']
    _, (there_of_lens, there_of_place) = slopes(lens, direction)['there']
    np.testing.assert_allclose(there_of_place @ of_place, np.eye(2), atol=2e-6)
    # Whatever the coefficients are, the point comes back: the two ways' derivatives with respect to them cancel.
    found = there_of_place @ of_lens.coefficients
    np.testing.assert_allclose(found, -there_of_lens.coefficients, atol=2e-6)
    assert np.abs(found[:, :2]).min() > 1e-3


@pytest.mark.parametrize('is_fisheye', [0, 1])
def test_gradients_at_the_centre(is_fisheye):
    lens = make([0.1, 0.02, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06], is_fisheye)
    found = slopes(lens, jnp.array([0.0, 0.0, 2.0]))
    value, (of_lens, of_place) = found['back']
    np.testing.assert_array_equal(value, [0, 0, 1])
    np.testing.assert_allclose(of_place, [[1, 0], [0, 1], [0, 0]], atol=1e-6)
    np.testing.assert_array_equal(of_lens.coefficients, 0)
    value, (of_lens, of_place) = found['there']
    np.testing.assert_array_equal(value, [0, 0])
    np.testing.assert_allclose(of_place, [[0.5, 0, 0], [0, 0.5, 0]], atol=1e-6)
    np.testing.assert_array_equal(of_lens.coefficients, 0)


@pytest.mark.parametrize('direction', [(0, 0, 0), (1, 0, 0), (0, 0, -1), (1e6, -1e6, 1e-6), (1e-20, 0, 1), (0.3, 2, -0.1)])
@pytest.mark.parametrize('is_fisheye', [0, 1])
def test_values_and_gradients_are_finite_in_every_direction(is_fisheye, direction):
    lens = make([0.3, 0.15, 0.01, 0.02, 0.05, 0.2, 0.1, 0.1], is_fisheye)
    for value, (of_lens, of_place) in slopes(lens, jnp.array(direction, jnp.float32)).values():
        for each in (value, of_lens.coefficients, of_place):
            assert np.isfinite(each).all()


def test_the_model_that_is_not_asked_spoils_no_gradient():
    # Four coefficients of a fisheye do not count: as those of the other model, they overflow at all but its centre.
    lens = make([0.1, 0, 0, 0, 0, 3e38, 3e38, 3e38], is_fisheye=1)
    found = slopes(lens, jnp.array([1.0, 0.5, 1.0]))
    expected = slopes(make([0.1], is_fisheye=1), jnp.array([1.0, 0.5, 1.0]))
    jax.tree.map(np.testing.assert_array_equal, found['there'][1][1], expected['there'][1][1])
    jax.tree.map(np.testing.assert_array_equal, found['back'][1][1], expected['back'][1][1])
    # Opposite of the centre, a fisheye with this coefficient overflows; the other model is near its own centre.
    _, (_, of_place) = slopes(make([1e38]), jnp.array([1e-3, 0.0, -1.0]))['there']
    assert np.isfinite(of_place).all()


@pytest.mark.parametrize('is_fisheye', [0, 1])
def test_nonsense_is_finite(is_fisheye):
    rng = np.random.default_rng(0)
    lenses = Lens(jnp.asarray(rng.normal(size=(300, 8)) * 10, jnp.float32), jnp.full(300, is_fisheye))
    xys = jnp.asarray(rng.normal(size=(300, 2)) * 3, jnp.float32)
    assert np.isfinite(jax.jit(over_rays(undistort))(lenses, xys)).all()
