"""Skipping empty space: the interval of ONE pixel's ray that may be occupied, and its picture if none is.

Where the other parts are: the grid is made in `nerf.render.occupancy`, a ray meets it in `nerf.ray.occupancy`, the model for an
interval is `nerf.models.protocol.crop_to_interval`, and `nerf.render.image` renders the rays that are left.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from nerf.ray.background import background_colour
from nerf.ray.cameras import Camera, cast
from nerf.ray.maths import norm
from nerf.ray.occupancy import Occupancy, occupied_interval
from nerf.ray.photos import Photo, adjust_camera, adjust_colour
from nerf.ray.structs import Rendering
from nerf.render.maps import world_maps


def skip_empty(
    occupancy: Occupancy, camera: Camera, xy: Float[Array, '2'], background: str, photo: Photo | None
) -> tuple[tuple[Array, Array, Array], dict[str, Array]]:
    """Find the interval of ONE pixel's ray that may be occupied (near, far, whether there is one), and its maps if none is."""
    camera = adjust_camera(camera, photo)
    ray = cast(camera, xy)
    far = ray.far * norm(ray.direction)
    rgb = adjust_colour(background_colour(background, None), photo)
    empty = Rendering(rgb, acc=jnp.zeros(()), distance=far, distance_median=far)
    return occupied_interval(occupancy, ray), world_maps(empty, ray, camera)
