"""NeRF's field of one point."""

from flax import linen as nn

from nerf.fields.layers import RadianceMLP
from nerf.ray import encodings
from nerf.ray.structs import Array

ACTIVATIONS = {'relu': nn.relu, 'softplus': nn.softplus}  # of density


class NeRFField(nn.Module):
    """NeRF's field of one point.

    Attributes:
        depth, width, skip, view_width, use_viewdirs, compute_dtype: see `RadianceMLP`.
        position_degree, view_degree: octaves of the positional encodings.
        density_activation: 'relu' (the paper's; can die and leave an all-white picture) or 'softplus'.
    """

    depth: int
    width: int
    skip: int
    view_width: int
    use_viewdirs: bool
    position_degree: int
    view_degree: int
    density_activation: str
    compute_dtype: str = 'float32'

    @nn.compact
    def __call__(self, point: Array, viewdir: Array, noise: Array) -> tuple[Array, Array]:
        """Density [] (1 / world) and sRGB [3] of a point [3] seen along `viewdir` [3]; noise [] adds to raw density."""
        encoded = encodings.positional(point, 0, self.position_degree, identity=True)
        widths = (self.depth, self.width, self.skip, self.view_width, self.use_viewdirs)
        mlp = RadianceMLP(*widths, self.compute_dtype, name='mlp')
        raw_density, raw_rgb = mlp(encoded, encodings.direction(viewdir, self.view_degree))
        return ACTIVATIONS[self.density_activation](raw_density + noise), nn.sigmoid(raw_rgb)
