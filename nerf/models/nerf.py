"""NeRF (Mildenhall et al., ECCV 2020): points on a ray, a coarse network that says where to look, a fine one that looks."""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn

from nerf.fields.nerf import NeRFField
from nerf.lifting import over_samples
from nerf.ray import compositing, stepfun
from nerf.ray.contraction import contract
from nerf.ray.maths import split_key
from nerf.ray.spacing import s_to_t
from nerf.ray.structs import Array, Level, Ray, expect_one_ray


class NeRF(nn.Module):
    """NeRF for one ray.

    Attributes:
        num_coarse, num_fine: points of the first pass, and points added where it found something.
        depth, width, skip, view_width, use_viewdirs: of each of the two MLPs, see `nerf.fields.layers.RadianceMLP`.
        position_degree, view_degree: octaves of the positional encodings.
        density_activation: 'relu' (paper) or 'softplus' (cannot die).
        density_noise: standard deviation of the noise added to raw density while training.
        spacing: of the coarse points, see `nerf.ray.spacing`.
        contract: whether all of space is bent into a ball of radius 2 (unbounded scenes).
        is_endless: whether what the last point sees goes on for ever behind it; False where nothing is behind it.
        compute_dtype: of the products in Dense layers, 'float32' or 'bfloat16'.
    """

    SAMPLES = ('num_coarse', 'num_fine')

    num_coarse: int = 64
    num_fine: int = 128
    depth: int = 8
    width: int = 256
    skip: int = 4
    view_width: int = 128
    use_viewdirs: bool = True
    position_degree: int = 10
    view_degree: int = 4
    density_activation: str = 'relu'
    density_noise: float = 0.0
    spacing: str = 'linear'
    contract: bool = False
    is_endless: bool = True
    compute_dtype: str = 'float32'

    def setup(self) -> None:
        """Two networks of the same kind."""
        field = functools.partial(
            NeRFField,
            self.depth,
            self.width,
            self.skip,
            self.view_width,
            self.use_viewdirs,
            self.position_degree,
            self.view_degree,
            self.density_activation,
            self.compute_dtype,
        )
        self.coarse, self.fine = field(), field()

    def __call__(self, ray: Ray, key: Array | None = None, progress: Array | float = 1.0) -> list[Level]:
        """The coarse and the fine level of one ray; `key` None renders deterministically; `progress` is not used."""
        expect_one_ray(ray)
        coarse_key, fine_key, coarse_noise, fine_noise = split_key(key, 4)
        s = stepfun.stratified(coarse_key, self.num_coarse)
        coarse = self._look(self.coarse, s, ray, coarse_noise)

        # Coarse weights as a step function between the points' midpoints; the outermost two have no interval.
        middles = 0.5 * (s[1:] + s[:-1])
        found = jax.lax.stop_gradient(coarse.weights[1:-1]) + 1e-5
        s_fine = stepfun.sample(fine_key, middles, found, self.num_fine)
        fine = self._look(self.fine, jnp.sort(jnp.concatenate([s, s_fine])), ray, fine_noise)
        return [coarse, fine]

    def density(self, point: Array, width: Array) -> Array:
        """Density [] (1 / world) at a point [3]; `width` [], of the cube it stands for, is not used."""
        return self.fine(self._bent(point), jnp.zeros(3), jnp.zeros(()))[0]

    def _look(self, field: NeRFField, s: Array, ray: Ray, key: Array | None) -> Level:
        t = s_to_t(s, ray.near, ray.far, self.spacing)
        points = over_samples(lambda t: self._bent(ray.origin + t * ray.direction))(t)
        noise = jnp.zeros_like(t) if key is None else self.density_noise * jax.random.normal(key, t.shape)
        density, rgb = over_samples(field, in_axes=(0, None, 0))(points, ray.viewdir, noise)
        delta = compositing.lengths_between_points(t, ray.direction)
        weights = compositing.weights(density, delta if self.is_endless else delta.at[-1].set(0.0))
        return Level(s=s, t=t, density=density, rgb=rgb, weights=weights)

    def _bent(self, point: Array) -> Array:
        return contract(point) if self.contract else point
