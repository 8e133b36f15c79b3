"""The kinds of pictures that `--show`, the viewer and TensorBoard make of a rendered view.

`OUTPUTS` maps their names to `Output`s. To add one, write it in a file of its own and add one line here. The extras of a
model (`Level.extras`) need no line: by default, numbers are coloured over their range and vectors of three shown as colours.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from nerf.errors import UserError
from nerf.ray.cameras import Camera
from nerf.ray.structs import Level, Ray
from nerf.render import colours
from nerf.render.image import Picture, level_shapes, to_uint8
from nerf.render.maps import Quantity

Limits = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Output:
    """One kind of picture.

    Attributes:
        field: the map of the rendered view that it shows: rgb, acc, depth, distance, distance_median, normal, or an extra.
        colour: (view, camera, limits) -> uint8 [h, w, 3], or [h, w, 4] if it `has_alpha`.
        is_ranged: whether `limits`, the range of the field over all frames of a video, decide the colours.
        quantity: for a field that no model gives: (level, ray) -> [n] or [n, k], the quantity of each sample of ONE ray, of
            which the field is the sum by the rendering weights.
        has_alpha: whether pictures have transparency, which no video keeps: they become PNGs.
    """

    field: str
    colour: Callable[[Picture, Camera, Limits | None], np.ndarray]
    is_ranged: bool = False
    quantity: Quantity | None = None
    has_alpha: bool = False


def depths(field: str) -> Output:
    """Make the output that shows a map of distances, near bright and far dark."""
    return Output(field, lambda view, camera, limits: colours.depth_picture(view[field], view['acc'], limits), is_ranged=True)


def _normals_in_camera_axes(view: Picture, camera: Camera, limits: Limits | None) -> np.ndarray:
    return colours.normal_picture(colours.world_to_camera_axes(view['normal'], camera), view['acc'])


def _colour_and_one(level: Level, ray: Ray) -> Float[Array, 'n 4']:
    """Colour and 1 of each sample, which composite to colour times opacity, and opacity: without any background."""
    return jnp.concatenate([level.rgb, jnp.ones_like(level.rgb[:, :1])], axis=1)


OUTPUTS: dict[str, Output] = {
    'rgb': Output('rgb', lambda view, camera, limits: to_uint8(view['rgb'])),
    'rgba': Output(
        'rgba', lambda view, camera, limits: colours.rgba_picture(view['rgba']), quantity=_colour_and_one, has_alpha=True
    ),
    'depth': depths('depth'),
    'mean': depths('distance'),
    'median': depths('distance_median'),
    'acc': Output('acc', lambda view, camera, limits: np.repeat(colours.acc_picture(view['acc'])[..., None], 3, axis=-1)),
    'normals': Output('normal', lambda view, camera, limits: colours.normal_picture(view['normal'], view['acc'])),
    'normals_camera': Output('normal', _normals_in_camera_axes),
}
MAPS = ('rgb', 'acc', 'distance', 'distance_median', 'depth', 'normal')  # what every view has, besides extras


def output_of(name: str) -> Output:
    """Return the output of this name, or the default one of an extra."""
    if name in OUTPUTS:
        return OUTPUTS[name]
    return Output(name, lambda view, camera, limits: colours.value_picture(view[name], limits), is_ranged=True)


def show(name: str, view: Picture, camera: Camera, limits: Limits | None = None) -> np.ndarray:
    """Make one picture of a rendered view, uint8 [h, w, 3], or [h, w, 4] with transparency; `limits` None: its own range.

    Raises:
        UserError: if the view has no such map.
    """
    output = output_of(name)
    if output.field not in view:
        raise UserError(f'--show={name}: the rendered view has no map {output.field!r}, expected one of {", ".join(view)}')
    return output.colour(view, camera, limits)


def shown_by_default(view: Picture) -> list[str]:
    """Return the names of what TensorBoard shows of a view: colour, depth, opacity, and all extras."""
    return ['rgb', 'depth', 'acc', *(name for name in view if name not in MAPS)]


def needs_normal(name: str) -> bool:
    """Return whether a kind of picture needs normals, which cost a gradient at every sample."""
    return output_of(name).field == 'normal'


def quantities(names: Iterable[str]) -> dict[str, Quantity]:
    """Return, by field, the quantities that a renderer must composite for these outputs."""
    asked = [output_of(name) for name in names]
    return {output.field: output.quantity for output in asked if output.quantity is not None}


def extras_of(model: nn.Module) -> Sequence[str]:
    """Return the names of the extras of a model's last level."""
    return list(level_shapes(model)[-1].extras)
