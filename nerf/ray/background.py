"""The colour behind a scene, and that of a photograph's pixel over it."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from nerf.ray.structs import Pixel, expect

# Grey levels by name, sRGB; 'random' is drawn anew for each training ray, and grey in pictures.
BACKGROUNDS = {'white': 1.0, 'black': 0.0, 'random': 0.5}


def background_colour(background: str, key: Key[Array, ''] | None) -> Float[Array, '3']:
    """Return the colour behind the scene: 'white', 'black', or 'random' (new for each ray; grey without a key)."""
    if background == 'random' and key is not None:
        return jax.random.uniform(key, (3,))
    return jnp.full(3, BACKGROUNDS[background])


def target_colour(pixel: Pixel, background: Float[Array, '3']) -> Float[Array, '3']:
    """Composite a pixel of a photograph over a background, sRGB: c + (1 - a) c_bg with premultiplied c.

    Raises:
        ValueError: if given a batch of pixels.
    """
    expect('one pixel, rgba', pixel.rgba, 4)
    rgba = pixel.rgba.astype(background.dtype) / 255
    return rgba[:3] + (1 - rgba[3]) * background
