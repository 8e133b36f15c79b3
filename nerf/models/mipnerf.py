"""mip-NeRF (Barron et al., ICCV 2021): segments of a cone instead of points on a ray, one network for both levels."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Key

from nerf.fields.mipnerf import MipNeRFField
from nerf.lifting import over_samples
from nerf.models.protocol import LevelInfo, Sample
from nerf.ray import compositing
from nerf.ray.contraction import contract
from nerf.ray.gaussians import RAY_SHAPES, cube_to_gaussian, push_forward
from nerf.ray.histogram import blur_and_pad
from nerf.ray.maths import split_key
from nerf.ray.photos import Photo
from nerf.ray.sampling import sample, stratified
from nerf.ray.spacing import s_to_t
from nerf.ray.structs import Level, Ray, Scalar, expect_one_ray


class MipNeRF(nn.Module):
    """The model of one ray.

    Attributes:
        num_samples: intervals of each of the two levels.
        depth, width, view_width, use_viewdirs: of the MLPs, see `nerf.fields.layers`.
        position_degree, view_degree: numbers of frequencies L of the encodings.
        ray_shape, integrate: 'cone' or 'cylinder'; False encodes each segment's mean alone (the paper's ablations).
        density_noise: standard deviation of the noise added to raw density while training.
        spacing: of the first level, see `nerf.ray.spacing`.
        contract: whether all of space is contracted to a ball of radius 2 (unbounded scenes).
        compute_dtype: of the products in Dense layers, 'float32' or 'bfloat16'.
    """

    LEVELS = (LevelInfo('coarse', 'num_samples'), LevelInfo('fine', 'num_samples'))
    END_SWITCHES = ()

    num_samples: int = 128
    depth: int = 8
    width: int = 256
    view_width: int = 128
    use_viewdirs: bool = True
    position_degree: int = 16
    view_degree: int = 4
    ray_shape: str = 'cone'
    integrate: bool = True
    density_noise: float = 0.0
    spacing: str = 'linear'
    contract: bool = False
    compute_dtype: str = 'float32'

    def setup(self) -> None:
        """Make the networks."""
        sizes = {
            'depth': self.depth,
            'width': self.width,
            'view_width': self.view_width,
            'use_viewdirs': self.use_viewdirs,
            'position_degree': self.position_degree,
            'view_degree': self.view_degree,
            'integrate': self.integrate,
            'compute_dtype': self.compute_dtype,
        }
        self.coarse = self.fine = MipNeRFField(**sizes)

    def __call__(
        self,
        ray: Ray,
        key: Key[Array, ''] | None = None,
        progress: Scalar = 1.0,
        photo: Photo | None = None,
    ) -> list[Level]:
        """Render the coarse and the fine level of one ray: see `nerf.models.protocol.Model`; `progress` is not used."""
        expect_one_ray(ray)
        coarse_key, fine_key, coarse_noise, fine_noise = split_key(key, 4)
        s = stratified(coarse_key, self.num_samples + 1)
        coarse = self._render_level(self.coarse, s, ray, coarse_noise)

        s = sample(fine_key, s, blur_and_pad(coarse.weights, 0.01), self.num_samples + 1)
        return [coarse, self._render_level(self.fine, s, ray, fine_noise)]

    def density(self, point: Float[Array, '3'], width: Scalar) -> Float[Array, '']:
        """Compute density (1 / world) around a point: see `nerf.models.protocol.Model`."""
        return self.fine.density(self._contract(cube_to_gaussian(point, width)))

    def _render_level(self, field: nn.Module, s: Array, ray: Ray, key: Array | None) -> Level:
        t = s_to_t(s, ray.near, ray.far, self.spacing)
        samples = over_samples(self._sample, in_axes=(0, 0, None))(t[:-1], t[1:], ray)
        noise = jnp.zeros_like(t[1:])
        if key is not None and self.density_noise:
            noise = self.density_noise * jax.random.normal(key, noise.shape)
        density, rgb, extras = over_samples(field, in_axes=(0, None, 0))(samples, ray.viewdir, noise)
        delta = compositing.lengths(t, ray.direction)
        weights = compositing.weights(density, delta)
        return Level(s, t, density, rgb, weights, extras)

    def _sample(self, t0: Array, t1: Array, ray: Ray) -> Sample:
        return self._contract(RAY_SHAPES[self.ray_shape](t0, t1, ray.origin, ray.direction, ray.radius))

    def _contract(self, sample: Sample) -> Sample:
        return push_forward(contract, sample) if self.contract else sample
