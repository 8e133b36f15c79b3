"""mip-NeRF (Barron et al., ICCV 2021): segments of a cone instead of points on a ray, one network for both levels."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from nerf.fields.mipnerf import MipNeRFField
from nerf.lifting import over_samples
from nerf.ray import compositing, stepfun
from nerf.ray.contraction import contract
from nerf.ray.gaussians import RAY_SHAPES, push_forward
from nerf.ray.maths import split_key
from nerf.ray.spacing import s_to_t
from nerf.ray.structs import Array, Gaussian, Level, Ray, expect_one_ray


class MipNeRF(nn.Module):
    """mip-NeRF for one ray.

    Attributes:
        num_samples: intervals of each of the two levels.
        depth, width, skip, view_width, use_viewdirs: of the one MLP, see `nerf.fields.layers.RadianceMLP`.
        position_degree, view_degree: octaves of the integrated and of the view direction's encoding.
        rgb_padding: how far colours reach beyond [0, 1].
        resample_padding: added to the coarse weights before the second level is sampled.
        density_noise: standard deviation of the noise added to raw density while training.
        ray_shape: 'cone', or 'cylinder' for rays that do not widen.
        integrate: False encodes each segment's mean alone (the paper's ablation: NeRF's encoding in mip-NeRF).
        spacing: of the first level, see `nerf.ray.spacing`.
        contract: whether all of space is bent into a ball of radius 2 (unbounded scenes).
        compute_dtype: of the products in Dense layers, 'float32' or 'bfloat16'.
    """

    SAMPLES = ('num_samples',)

    num_samples: int = 128
    depth: int = 8
    width: int = 256
    skip: int = 4
    view_width: int = 128
    use_viewdirs: bool = True
    position_degree: int = 16
    view_degree: int = 4
    rgb_padding: float = 0.001
    resample_padding: float = 0.01
    density_noise: float = 0.0
    ray_shape: str = 'cone'
    integrate: bool = True
    spacing: str = 'linear'
    contract: bool = False
    compute_dtype: str = 'float32'

    def setup(self) -> None:
        """The one network of both levels."""
        self.field = MipNeRFField(
            self.depth,
            self.width,
            self.skip,
            self.view_width,
            self.use_viewdirs,
            self.position_degree,
            self.view_degree,
            self.rgb_padding,
            self.compute_dtype,
        )

    def __call__(self, ray: Ray, key: Array | None = None, progress: Array | float = 1.0) -> list[Level]:
        """The coarse and the fine level of one ray; `key` None renders deterministically; `progress` is not used."""
        expect_one_ray(ray)
        coarse_key, fine_key, coarse_noise, fine_noise = split_key(key, 4)
        s = stepfun.stratified(coarse_key, self.num_samples + 1)
        coarse = self._look(s, ray, coarse_noise)
        envelope = stepfun.blur_and_pad(coarse.weights, self.resample_padding)
        s = stepfun.sample(fine_key, s, envelope, self.num_samples + 1)
        return [coarse, self._look(s, ray, fine_noise)]

    def density(self, point: Array, width: Array) -> Array:
        """Density [] (1 / world) around a point [3], over about a cube of this `width` []."""
        return self.field(self._bent(Gaussian(mean=point, cov=width**2 / 12 * jnp.eye(3))), jnp.zeros(3), jnp.zeros(()))[0]

    def _look(self, s: Array, ray: Ray, key: Array | None) -> Level:
        t = s_to_t(s, ray.near, ray.far, self.spacing)
        gaussians = over_samples(self._segment, in_axes=(0, 0, None))(t[:-1], t[1:], ray)
        noise = jnp.zeros_like(t[1:])
        if key is not None and self.density_noise:
            noise = self.density_noise * jax.random.normal(key, noise.shape)
        density, rgb = over_samples(self.field, in_axes=(0, None, 0))(gaussians, ray.viewdir, noise)
        weights = compositing.weights(density, compositing.lengths(t, ray.direction))
        return Level(s=s, t=t, density=density, rgb=rgb, weights=weights)

    def _segment(self, t0: Array, t1: Array, ray: Ray) -> Gaussian:
        gaussian = self._bent(RAY_SHAPES[self.ray_shape](t0, t1, ray.origin, ray.direction, ray.radius))
        return gaussian if self.integrate else gaussian.replace(cov=0 * gaussian.cov)

    def _bent(self, gaussian: Gaussian) -> Gaussian:
        return push_forward(contract, gaussian) if self.contract else gaussian
