"""Encodings of one point, Gaussian or direction: features from which an MLP can learn fine detail."""

import functools
import itertools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from nerf.ray.maths import sin_or_cos
from nerf.ray.structs import Gaussian, expect

Degrees = Int[np.ndarray, 'degrees']


def octaves(x: Float[Array, 'k'], degrees: Degrees) -> Float[Array, 'features']:
    """Multiply x by the frequencies 2^l (octaves) for every l of `degrees`, in their order.

    Raises:
        ValueError: if given a batch of points.
    """
    expect('one point', x, None, lift='over_samples')
    return np.repeat(2.0**degrees, x.shape[0]).astype(np.float32) * jnp.tile(x, len(degrees))


def _for_sines_and_cosines(min_degree: int, max_degree: int, k: int) -> tuple[Degrees, np.ndarray]:
    """The degrees of all sines, then of all cosines, and for each of the features of x [k] whether it is a cosine.

    One expression for both, since a CPU computes two that are then joined several times as slowly.
    """
    degrees = np.tile(np.arange(min_degree, max_degree), 2)
    return degrees, np.repeat([False, True], len(degrees) * k // 2)


def positional(x: Float[Array, 'k'], min_degree: int, max_degree: int, identity: bool = False) -> Float[Array, 'features']:
    """Encode x by sines and cosines of the frequencies 2^l for l in [min_degree, max_degree): 2 k (max - min) features (+ k).

    gamma(x) = (x if identity, sin(2^l x) for all l, cos(2^l x) for all l). The NeRF paper (equation 4) has 2^l pi x;
    its code, and this, leave pi out. Exact to float32 for the given x up to about 16 degrees: beyond, the error is
    x's own rounding, times 2^l.

    Raises:
        ValueError: if given a batch of points.
    """
    expect('one point', x, None, lift='over_samples')
    degrees, is_cosine = _for_sines_and_cosines(min_degree, max_degree, x.shape[0])
    features = sin_or_cos(octaves(x, degrees), is_cosine)
    return jnp.concatenate([x, features]) if identity else features


def integrated(gaussian: Gaussian, min_degree: int, max_degree: int) -> Float[Array, '6*({max_degree}-{min_degree})']:
    """Compute the integrated positional encoding (IPE): the expected positional encoding over a Gaussian.

    E[sin(2^l x)] = sin(2^l mu) exp(-4^l diag(Sigma) / 2), likewise for the cosine (mip-NeRF, equation 14): frequencies
    finer than the Gaussian is wide fade out, which is what prevents aliasing.

    Raises:
        ValueError: if given a batch of Gaussians.
    """
    expect('one Gaussian, mean', gaussian.mean, 3, lift='over_samples')
    return _expected(gaussian.mean, jnp.diagonal(gaussian.cov), min_degree, max_degree)


def _expected(mean: Array, variance: Array, min_degree: int, max_degree: int) -> Array:
    """E[sin(2^l x)] and E[cos(2^l x)] of normally distributed x, each [k], for all l, -> [2 k (max - min)]."""
    degrees, is_cosine = _for_sines_and_cosines(min_degree, max_degree, mean.shape[0])
    fade = jnp.exp(-0.5 * octaves(variance, 2 * degrees))
    return fade * sin_or_cos(octaves(mean, degrees), is_cosine)


@functools.cache
def icosahedron_basis() -> np.ndarray:
    """Return 21 unit vectors, [3, 21]: vertices of an icosahedron and middles of its edges, one of each opposite pair.

    mip-NeRF 360 projects Gaussians onto these: the three axes alone cannot tell a Gaussian from its mirror image.
    """
    golden = (1 + np.sqrt(5)) / 2
    vertices = np.array([np.roll([0, a, b * golden], k) for k in range(3) for a in (-1, 1) for b in (-1, 1)])
    middles = [(p + q) / 2 for p, q in itertools.combinations(vertices, 2) if np.isclose(np.linalg.norm(p - q), 2)]
    directions = np.concatenate([vertices, middles])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    # Of v and -v, the one whose first coordinate that is not zero is positive.
    first = np.argmax(np.abs(directions) > 1e-9, axis=1)
    return directions[directions[np.arange(len(directions)), first] > 0].T.astype(np.float32)


def integrated_off_axis(gaussian: Gaussian, min_degree: int, max_degree: int) -> Float[Array, '42*({max_degree}-{min_degree})']:
    """Compute the integrated positional encoding (IPE) of the Gaussian's projections on 21 directions.

    Along a column b of `icosahedron_basis`, the mean is b . mu and the variance b^T Sigma b. Source: mip-NeRF 360, on off-axis
    positional encoding.

    Raises:
        ValueError: if given a batch of Gaussians.
    """
    expect('one Gaussian, mean', gaussian.mean, 3, lift='over_samples')
    basis = icosahedron_basis()
    mean = sum(basis[i] * gaussian.mean[i] for i in range(3))
    variance = sum(basis[i] ** 2 * gaussian.cov[i, i] for i in range(3))
    variance += sum(2 * basis[i] * basis[j] * gaussian.cov[i, j] for i, j in ((0, 1), (0, 2), (1, 2)))
    return _expected(mean, jnp.maximum(variance, 0.0), min_degree, max_degree)


def direction(viewdir: Float[Array, '3'], max_degree: int) -> Float[Array, '3+6*{max_degree}']:
    """Encode a unit view direction: itself and its positional encoding, 3 + 6 max_degree features.

    Raises:
        ValueError: if given a batch of directions.
    """
    expect('one viewdir', viewdir, 3)
    return positional(viewdir, 0, max_degree, identity=True)


def spherical_harmonics(viewdir: Float[Array, '3'], max_degree: int) -> Float[Array, '{max_degree}**2']:
    """Evaluate the real spherical harmonics of a unit vector in the first `max_degree` <= 4 bands: max_degree^2 features.

    Y_l^m for l < max_degree and m = -l .. l, orthonormal on the sphere, as polynomials of x, y, z.

    Raises:
        ValueError: if given a batch of directions, or for more bands.
    """
    expect('one viewdir', viewdir, 3)
    if not 1 <= max_degree <= 4:
        raise ValueError(f'max_degree {max_degree} of the spherical harmonics: expected 1 to 4')
    x, y, z = viewdir
    bands = [
        [0.5 * jnp.ones_like(x)],
        [np.sqrt(3 / 4) * y, np.sqrt(3 / 4) * z, np.sqrt(3 / 4) * x],
        [
            np.sqrt(15 / 4) * x * y,
            np.sqrt(15 / 4) * y * z,
            np.sqrt(5 / 16) * (3 * z**2 - 1),
            np.sqrt(15 / 4) * x * z,
            np.sqrt(15 / 16) * (x**2 - y**2),
        ],
        [
            np.sqrt(35 / 32) * y * (3 * x**2 - y**2),
            np.sqrt(105 / 4) * x * y * z,
            np.sqrt(21 / 32) * y * (5 * z**2 - 1),
            np.sqrt(7 / 16) * z * (5 * z**2 - 3),
            np.sqrt(21 / 32) * x * (5 * z**2 - 1),
            np.sqrt(105 / 16) * z * (x**2 - y**2),
            np.sqrt(35 / 32) * x * (x**2 - 3 * y**2),
        ],
    ]
    return jnp.stack([value for band in bands[:max_degree] for value in band]) / np.sqrt(np.pi)
