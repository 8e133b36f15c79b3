"""NeRF (Mildenhall et al., ECCV 2020): points on a ray; a coarse network places the samples of a fine one."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Key

from nerf.fields.nerf import NeRFField
from nerf.lifting import over_samples
from nerf.models.protocol import LevelInfo, Sample
from nerf.ray import compositing
from nerf.ray.contraction import contract
from nerf.ray.maths import split_key
from nerf.ray.photos import Photo
from nerf.ray.sampling import sample, stratified
from nerf.ray.spacing import s_to_t
from nerf.ray.structs import Level, Ray, Scalar, expect_one_ray


class NeRF(nn.Module):
    """The model of one ray.

    Attributes:
        num_coarse, num_fine: points of the coarse level, and those that the fine level adds, drawn between its midpoints.
        depth, width, view_width, use_viewdirs: of the MLPs, see `nerf.fields.layers`.
        position_degree, view_degree: numbers of frequencies L of the encodings.
        density_activation: 'relu' (paper) or 'softplus' (cannot die).
        density_noise: standard deviation of the noise added to raw density while training.
        spacing: of the first level, see `nerf.ray.spacing`.
        contract: whether all of space is contracted to a ball of radius 2 (unbounded scenes).
        is_endless: whether the last interval has no end, so that any density there stops the ray.
        compute_dtype: of the products in Dense layers, 'float32' or 'bfloat16'.
    """

    LEVELS = (LevelInfo('coarse', 'num_coarse'), LevelInfo('fine', 'num_fine'))
    END_SWITCHES = ('is_endless',)

    num_coarse: int = 64
    num_fine: int = 128
    depth: int = 8
    width: int = 256
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
        """Make the networks."""
        sizes = {
            'depth': self.depth,
            'width': self.width,
            'view_width': self.view_width,
            'use_viewdirs': self.use_viewdirs,
            'position_degree': self.position_degree,
            'view_degree': self.view_degree,
            'density_activation': self.density_activation,
            'compute_dtype': self.compute_dtype,
        }
        self.coarse, self.fine = NeRFField(**sizes), NeRFField(**sizes)

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
        s = stratified(coarse_key, self.num_coarse)
        coarse = self._render_level(self.coarse, s, ray, coarse_noise)

        s = jnp.sort(jnp.append(s, sample(fine_key, 0.5 * (s[1:] + s[:-1]), coarse.weights[1:-1] + 1e-5, self.num_fine)))
        return [coarse, self._render_level(self.fine, s, ray, fine_noise)]

    def density(self, point: Float[Array, '3'], width: Scalar) -> Float[Array, '']:
        """Compute density (1 / world) around a point: see `nerf.models.protocol.Model`."""
        return self.fine.density(self._contract(point))

    def _render_level(self, field: nn.Module, s: Array, ray: Ray, key: Array | None) -> Level:
        s = jnp.append(s, 1.0)  # fenceposts: each point begins an interval
        t = s_to_t(s, ray.near, ray.far, self.spacing)
        samples = over_samples(self._sample, in_axes=(0, 0, None))(t[:-1], t[1:], ray)
        noise = jnp.zeros_like(t[1:])
        if key is not None and self.density_noise:
            noise = self.density_noise * jax.random.normal(key, noise.shape)
        density, rgb, extras = over_samples(field, in_axes=(0, None, 0))(samples, ray.viewdir, noise)
        delta = compositing.lengths(t, ray.direction, self.is_endless)
        weights = compositing.weights(density, delta)
        return Level(s, t, density, rgb, weights, extras, sample_at=0.0)

    def _sample(self, t0: Array, t1: Array, ray: Ray) -> Sample:
        return self._contract(ray.origin + t0 * ray.direction)

    def _contract(self, sample: Sample) -> Sample:
        return contract(sample) if self.contract else sample
