import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.ray import encodings
from nerf.ray.structs import Gaussian


def positional64(x, min_degree, max_degree):
    angles = np.concatenate(
        [2.0**degree * np.asarray(x, np.float32).astype(np.float64) for degree in range(min_degree, max_degree)]
    )
    return np.concatenate([np.sin(angles), np.cos(angles)])


@pytest.mark.parametrize(('low', 'high'), [(0, 1), (0, 4), (2, 5), (0, 16), (15, 16)])
def test_positional_is_the_sine_of_the_float32_argument(low, high):
    x = np.random.default_rng(0).uniform(-4, 4, 3).astype(np.float32)
    for encode in (encodings.positional, jax.jit(encodings.positional, static_argnums=(1, 2))):
        np.testing.assert_allclose(encode(jnp.array(x), low, high), positional64(x, low, high), atol=3e-7)


def test_positional_with_identity_begins_with_the_point_itself():
    x = jnp.array([0.1, -0.7, 2.0])
    found = encodings.positional(x, 0, 3, identity=True)
    assert found.shape == (3 + 2 * 3 * 3,)
    np.testing.assert_array_equal(found[:3], x)
    np.testing.assert_allclose(found[3:], positional64(x, 0, 3), atol=3e-7)


def test_positional_of_zero_degrees_is_the_point():
    x = jnp.array([0.1, -0.7, 2.0])
    np.testing.assert_array_equal(encodings.positional(x, 0, 0, identity=True), x)


@pytest.mark.parametrize('x', [0.0, 1.0, 1e6])
def test_positional_has_finite_gradients(x):
    jacobian = jax.jit(jax.jacrev(lambda p: encodings.positional(p, 0, 10, identity=True)))(jnp.full(3, x))
    assert np.isfinite(jacobian).all()
    assert np.abs(jacobian).max() <= 2.0**9


def gaussian(scale):
    mean = jnp.array([0.3, -1.1, 0.8])
    root = scale * np.array([[0.5, 0.2, -0.1], [0.2, 0.3, 0.1], [-0.1, 0.1, 0.8]])
    return Gaussian(mean=mean, cov=jnp.asarray(root @ root.T, jnp.float32))


@pytest.mark.parametrize('scale', [0.2, 1.0])
def test_integrated_is_the_expected_encoding(scale):
    one = gaussian(scale)
    points = np.random.default_rng(0).multivariate_normal(one.mean, one.cov, 100_000)
    angles = np.concatenate([2.0**degree * points for degree in range(4)], axis=1)
    features = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    error = np.abs(encodings.integrated(one, 0, 4) - features.mean(0))
    assert (error < 5 * features.std(0) / np.sqrt(len(points)) + 1e-5).all()


def test_integrated_over_a_point_is_the_positional_encoding():
    point = gaussian(0.0)
    np.testing.assert_allclose(encodings.integrated(point, 0, 16), positional64(point.mean, 0, 16), atol=3e-7)
    np.testing.assert_allclose(encodings.integrated(point, 3, 5), positional64(point.mean, 3, 5), atol=3e-7)


def test_octaves_finer_than_the_gaussian_fade_out():
    found = np.abs(encodings.integrated(gaussian(1.0), 0, 16)).reshape(2, 16, 3)
    assert found[:, 5:].max() < 1e-6
    assert found[:, 0].max() > 0.3


@pytest.mark.parametrize('scale', [0.0, 1.0, 1e6])
def test_integrated_has_finite_gradients(scale):
    jacobian = jax.jit(jax.jacrev(lambda g: encodings.integrated(g, 0, 16)))(gaussian(scale))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jacobian))


@pytest.mark.parametrize('platform', ['cpu', 'cuda', 'tpu'])
def test_encodings_leave_no_sine_to_the_platform_that_they_are_compiled_for(platform):
    for encode, one in ((encodings.integrated, gaussian(1.0)), (encodings.positional, jnp.ones(3))):
        text = jax.jit(encode, static_argnums=(1, 2)).trace(one, 0, 16).lower(lowering_platforms=(platform,)).as_text()
        assert 'stablehlo.round_nearest_even' in text  # of the range reduction
        assert 'stablehlo.sine' not in text
        assert 'stablehlo.cosine' not in text


def test_direction():
    viewdir = jnp.array([0.6, 0.0, -0.8])
    found = encodings.direction(viewdir, 4)
    assert found.shape == (27,)
    np.testing.assert_allclose(found, np.concatenate([viewdir, positional64(viewdir, 0, 4)]), atol=3e-7)


def sphere(latitudes=40, longitudes=80):
    """Directions and quadrature weights on the sphere: Gauss-Legendre in z, evenly around."""
    z, weight = np.polynomial.legendre.leggauss(latitudes)
    angle = 2 * np.pi * np.arange(longitudes) / longitudes
    across = np.sqrt(1 - z**2)[:, None]
    points = np.stack([across * np.cos(angle), across * np.sin(angle), z[:, None] + 0 * angle], -1).reshape(-1, 3)
    return points, np.repeat(weight, longitudes) * 2 * np.pi / longitudes


def test_spherical_harmonics_are_orthonormal():
    points, weight = sphere()
    values = np.asarray(jax.vmap(lambda d: encodings.spherical_harmonics(d, 4))(jnp.asarray(points, jnp.float32)), np.float64)
    np.testing.assert_allclose(values.T @ (weight[:, None] * values), np.eye(16), atol=1e-5)


def test_spherical_harmonics_of_each_band_are_harmonic_polynomials_of_their_degree():
    # On a sphere: turned by half a turn about the centre, band l changes its sign l times; at the pole only m = 0 is left.
    d = jnp.array([0.36, 0.48, -0.8])
    found, opposite = encodings.spherical_harmonics(d, 4), encodings.spherical_harmonics(-d, 4)
    sign = np.repeat([1, -1, 1, -1], [1, 3, 5, 7])
    np.testing.assert_allclose(opposite, sign * found, rtol=1e-5)
    pole = encodings.spherical_harmonics(jnp.array([0.0, 0.0, 1.0]), 4)
    expected = np.zeros(16)
    expected[[0, 2, 6, 12]] = np.sqrt((2 * np.arange(4) + 1) / (4 * np.pi))
    np.testing.assert_allclose(pole, expected, atol=1e-6)
    for degree in (1, 2, 3):
        np.testing.assert_allclose(encodings.spherical_harmonics(d, degree), found[: degree**2], rtol=1e-6)


@pytest.mark.parametrize('degree', [0, 5])
def test_spherical_harmonics_beyond_their_table_are_refused(degree):
    with pytest.raises(ValueError, match=f'max_degree {degree} .*expected 1 to 4'):
        encodings.spherical_harmonics(jnp.array([0.0, 0.0, 1.0]), degree)


def test_octaves_follow_each_other():
    x = jnp.array([1.0, 3.0])
    np.testing.assert_array_equal(encodings.octaves(x, np.arange(1, 4)), [2, 6, 4, 12, 8, 24])
    np.testing.assert_array_equal(encodings.octaves(x, np.arange(2, 8, 2)), [4, 12, 16, 48, 64, 192])


def test_icosahedron_basis_is_21_different_axes():
    basis = np.asarray(encodings.icosahedron_basis(), np.float64)
    assert basis.shape == (3, 21)
    np.testing.assert_allclose(np.linalg.norm(basis, axis=0), 1, rtol=1e-6)
    cosines = np.abs(basis.T @ basis)
    # The closest pairs are an edge's middle and its ends.
    golden = (1 + np.sqrt(5)) / 2
    np.testing.assert_allclose((cosines - np.eye(21)).max(), golden / np.sqrt(golden + 2), rtol=1e-6)
    # Spread evenly: no direction of space is favoured.
    np.testing.assert_allclose(basis @ basis.T, 7 * np.eye(3), atol=1e-5)


def test_icosahedron_basis_has_the_angles_of_its_vertices_and_edges():
    basis = np.asarray(encodings.icosahedron_basis(), np.float64)
    vertices, middles = np.abs(basis.T @ basis)[:6, :6], np.abs(basis.T @ basis)[6:, 6:]
    np.testing.assert_allclose(vertices[~np.eye(6, dtype=bool)], 1 / np.sqrt(5), rtol=1e-6)
    angles = np.degrees(np.arccos(np.minimum(middles[~np.eye(15, dtype=bool)], 1)))
    found, counts = np.unique(np.round(angles, 3), return_counts=True)
    np.testing.assert_allclose(found, [36, 60, 72, 90])
    np.testing.assert_array_equal(counts, 15 * np.array([4, 4, 4, 2]))


@pytest.mark.parametrize('scale', [0.2, 1.0])
def test_integrated_off_axis_is_the_expected_encoding_of_the_projections(scale):
    one = gaussian(scale)
    points = np.random.default_rng(0).multivariate_normal(one.mean, one.cov, 50_000) @ encodings.icosahedron_basis()
    angles = np.concatenate([2.0**degree * points for degree in range(1, 4)], axis=1)
    features = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    error = np.abs(encodings.integrated_off_axis(one, 1, 4) - features.mean(0))
    assert (error < 5 * features.std(0) / np.sqrt(len(points)) + 1e-5).all()


def test_integrated_off_axis_in_closed_form():
    one, basis = gaussian(0.1), np.asarray(encodings.icosahedron_basis(), np.float64)
    mean, variance = np.asarray(one.mean, np.float64) @ basis, np.einsum('ib,ij,jb->b', basis, one.cov, basis)
    scales = 2.0 ** np.arange(12)[:, None]
    fade, angles = np.exp(-0.5 * scales**2 * variance).ravel(), (scales * mean).ravel()
    expected = np.concatenate([fade * np.sin(angles), fade * np.cos(angles)])
    np.testing.assert_allclose(encodings.integrated_off_axis(one, 0, 12), expected, atol=1e-5)


def test_only_the_off_axis_encoding_tells_a_gaussian_from_its_mirror_image():
    one = Gaussian(mean=jnp.array([0.3, -1.1, 0.8]), cov=jnp.array([[0.5, 0.4, 0.0], [0.4, 0.5, 0.0], [0.0, 0.0, 0.1]]))
    other = one.replace(cov=one.cov * jnp.array([[1.0, -1.0, 1.0], [-1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]))
    np.testing.assert_array_equal(encodings.integrated(one, 0, 4), encodings.integrated(other, 0, 4))
    error = np.abs(encodings.integrated_off_axis(one, 0, 4) - encodings.integrated_off_axis(other, 0, 4))
    assert error.max() > 0.2


@pytest.mark.parametrize('scale', [0.0, 1.0, 1e6])
def test_integrated_off_axis_has_finite_values_and_gradients(scale):
    # Also where rounding would make the variance of a flat Gaussian negative.
    flat = Gaussian(mean=jnp.ones(3), cov=scale * jnp.array([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]))
    for one in (gaussian(scale), flat):
        assert np.abs(encodings.integrated_off_axis(one, 0, 12)).max() <= 1 + 1e-6
        jacobian = jax.jacrev(lambda g: encodings.integrated_off_axis(g, 0, 12))(one)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jacobian))
