"""What lies behind a scene."""

import jax
import jax.numpy as jnp

from nerf.ray.structs import Array, Pixel


def backdrop(background: str, key: Array | None) -> Array:
    """The colour behind the scene, [3]: 'white', 'black', or 'random' (a new one for each ray; grey without a key)."""
    if background == 'random':
        return jnp.full(3, 0.5) if key is None else jax.random.uniform(key, (3,))
    return {'white': jnp.ones(3), 'black': jnp.zeros(3)}[background]


def observed(pixel: Pixel, background: Array) -> Array:
    """Colour of a pixel over a background, [3], sRGB: c + (1 - a) c_bg with premultiplied c."""
    rgba = pixel.rgba.astype(jnp.float32) / 255
    return rgba[:3] + (1 - rgba[3]) * background
