"""The colour behind a scene, and of what a photograph shows over it."""

import jax
import jax.numpy as jnp

from nerf.ray.structs import Array, Pixel, expect


def background_colour(background: str, key: Array | None) -> Array:
    """Return the colour behind the scene, [3]: 'white', 'black', or 'random' (new for each ray; grey without a key)."""
    if background == 'random':
        return jnp.full(3, 0.5) if key is None else jax.random.uniform(key, (3,))
    return {'white': jnp.ones(3), 'black': jnp.zeros(3)}[background]


def target_colour(pixel: Pixel, background: Array) -> Array:
    """Composite an observed pixel over a background, [3], sRGB: c + (1 - a) c_bg with premultiplied c.

    Raises:
        ValueError: if given a batch of pixels.
    """
    expect('one pixel, rgba', pixel.rgba, 4)
    rgba = pixel.rgba.astype(jnp.float32) / 255
    return rgba[:3] + (1 - rgba[3]) * background
