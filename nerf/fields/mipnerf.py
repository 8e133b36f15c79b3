"""mip-NeRF's field of one Gaussian."""

from flax import linen as nn

from nerf.fields.layers import RadianceMLP
from nerf.ray import encodings
from nerf.ray.structs import Array, Gaussian


class MipNeRFField(nn.Module):
    """mip-NeRF's field of one Gaussian.

    Density is softplus(x - 1), which cannot die; colours are a sigmoid stretched by `rgb_padding` at both ends, so that
    black and white are reached with a finite activation.

    Attributes:
        depth, width, skip, view_width, use_viewdirs, compute_dtype: see `RadianceMLP`.
        position_degree, view_degree: octaves of the encodings.
        rgb_padding: colours lie in [-padding, 1 + padding].
    """

    depth: int
    width: int
    skip: int
    view_width: int
    use_viewdirs: bool
    position_degree: int
    view_degree: int
    rgb_padding: float
    compute_dtype: str = 'float32'

    @nn.compact
    def __call__(self, gaussian: Gaussian, viewdir: Array, noise: Array) -> tuple[Array, Array]:
        """Density [] (1 / world) and sRGB [3] of a Gaussian seen along `viewdir` [3]; noise [] adds to raw density."""
        encoded = encodings.integrated(gaussian, 0, self.position_degree)
        widths = (self.depth, self.width, self.skip, self.view_width, self.use_viewdirs)
        mlp = RadianceMLP(*widths, self.compute_dtype, name='mlp')
        raw_density, raw_rgb = mlp(encoded, encodings.direction(viewdir, self.view_degree))
        rgb = nn.sigmoid(raw_rgb) * (1 + 2 * self.rgb_padding) - self.rgb_padding
        return nn.softplus(raw_density + noise - 1), rgb
