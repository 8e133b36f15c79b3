"""A model that knows the built-in scene: exact density without parameters, to compare a learned one with."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Key

from nerf.data.built_in.still_life import is_solid, trace
from nerf.lifting import over_samples
from nerf.models.protocol import LevelInfo
from nerf.ray import compositing
from nerf.ray.photos import Photo
from nerf.ray.sampling import stratified
from nerf.ray.spacing import s_to_t
from nerf.ray.structs import Level, Ray, Scalar, expect_one_ray


class Oracle(nn.Module):
    """The built-in scene as a model of one ray: `sharpness` inside its solids, and empty elsewhere.

    Colour is that of the surface which the ray meets first, as what lies behind it is not seen.

    Attributes:
        num_samples: intervals of its one level.
        sharpness: density inside, 1 / world.
    """

    LEVELS = (LevelInfo('exact', 'num_samples'),)
    END_SWITCHES = ()

    num_samples: int = 128
    sharpness: float = 50.0
    spacing: str = 'linear'
    compute_dtype: str = 'float32'

    def __call__(
        self,
        ray: Ray,
        key: Key[Array, ''] | None = None,
        progress: Scalar = 1.0,
        photo: Photo | None = None,
    ) -> list[Level]:
        """Evaluate the scene along one ray: see `nerf.models.protocol.Model`; `progress` and `photo` are not used."""
        expect_one_ray(ray)
        s = stratified(key, self.num_samples + 1)
        t = s_to_t(s, ray.near, ray.far, self.spacing)
        middles = 0.5 * (t[:-1] + t[1:])
        density = over_samples(lambda t: self.density(ray.origin + t * ray.direction, 0.0))(middles)
        weights = compositing.weights(density, compositing.lengths(t, ray.direction))
        rgb = jnp.broadcast_to(trace(ray).rgb, (self.num_samples, 3))
        return [Level(s, t, density, rgb, weights)]

    def density(self, point: Float[Array, '3'], width: Scalar) -> Float[Array, '']:
        """Compute density (1 / world) at a point: see `nerf.models.protocol.Model`; it is not averaged over `width`."""
        return jnp.where(is_solid(point), self.sharpness, 0.0)
