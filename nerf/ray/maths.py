"""Small functions with safe gradients and full precision: roots, norms, products, sums, sine and cosine, sRGB."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from nerf.ray.structs import expect

Elements = Float[Array, '*shape']  # of functions that mean the same for every element, whatever the shape
MACHINE_EPS = float(jnp.finfo(jnp.float32).eps)


def safe_sqrt(x: Float[Array, '']) -> Float[Array, '']:
    """Compute the square root of x >= 0 whose gradient at 0 is 0 instead of infinite.

    Both branches of a `where` are differentiated, so the argument is made safe before the root is taken.
    """
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1.0)), 0.0)


def norm(v: Float[Array, 'n']) -> Float[Array, '']:
    """Compute the length of a vector, |v| = sqrt(sum_i v_i^2), with gradient 0 at v = 0.

    Raises:
        ValueError: if given a batch of vectors.
    """
    expect('one vector', v, None)
    return safe_sqrt(jnp.sum(v**2))


def normalise(v: Float[Array, 'n']) -> Float[Array, 'n']:
    """Compute the unit vector v / |v|; the zero vector stays zero, with a finite gradient."""
    length = norm(v)
    return v / jnp.where(length > 0, length, 1.0)


def matmul(a: Float[Array, 'm k'], b: Float[Array, 'k'] | Float[Array, 'k n']) -> Float[Array, 'm'] | Float[Array, 'm n']:
    """Multiply a matrix with a vector or a matrix in full float32 precision.

    Accelerators multiply in TF32 or bfloat16 by default, which is too coarse for poses and Gaussians.

    Raises:
        ValueError: if given a batch of matrices.
    """
    expect('one matrix', a, None, None)
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def exclusive_cumsum(x: Float[Array, 'n']) -> Float[Array, 'n']:
    """Sum all entries before each one, y_i = sum_{j<i} x_j.

    Raises:
        ValueError: if given a batch of rows.
    """
    expect('one row', x, None)
    return jnp.concatenate([jnp.zeros_like(x[:1]), jnp.cumsum(x[:-1])])


def _range_reduced(x: Array) -> Array:
    """x where it is small, else x modulo 100 pi: some TPUs return NaN for the sine of a huge argument."""
    period = 100 * jnp.pi
    return jnp.where(jnp.abs(x) < period, x, jnp.mod(x, period)) if jax.default_backend() == 'tpu' else x


def safe_sin(x: Elements) -> Elements:
    """Compute sin(x), elementwise, with the argument reduced first where the hardware needs that (TPU)."""
    return jnp.sin(_range_reduced(x))


def safe_cos(x: Elements) -> Elements:
    """Compute cos(x), elementwise, with the argument reduced first where the hardware needs that (TPU)."""
    return jnp.cos(_range_reduced(x))


def linear_to_srgb(linear: Elements) -> Elements:
    """Convert linear light to sRGB, elementwise, [0, 1] -> [0, 1] (IEC 61966-2-1), with a finite gradient at 0."""
    safe = jnp.maximum(linear, 0.0031308)
    return jnp.where(linear <= 0.0031308, 12.92 * linear, 1.055 * safe ** (1 / 2.4) - 0.055)


def srgb_to_linear(srgb: Elements) -> Elements:
    """Convert sRGB to linear light, elementwise, [0, 1] -> [0, 1]; the inverse of `linear_to_srgb`."""
    safe = jnp.maximum(srgb, 0.04045)
    return jnp.where(srgb <= 0.04045, srgb / 12.92, ((safe + 0.055) / 1.055) ** 2.4)


def split_key(key: Key[Array, ''] | None, num: int) -> list[Key[Array, ''] | None]:
    """Split one ray's key into `num` independent keys; None (deterministic) gives `num` times None."""
    return [None] * num if key is None else list(jax.random.split(key, num))
