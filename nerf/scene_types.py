"""The scene types: all that `config.scene_type` decides, in one table.

Models, data, paths, rendering and the viewer ask this table; nothing else compares names of scene types.
"""

import dataclasses

from nerf.errors import unknown


@dataclasses.dataclass(frozen=True)
class SceneType:
    """What one type of scene decides, unless the config sets it.

    Attributes:
        spacing: of the first samples along a ray, see `nerf.ray.spacing`.
        contract: whether all of space is contracted to a ball of radius 2, with the detail within radius 1.
        opaque_background: whether all light that is left stops in the last interval; NeRF and mip-NeRF have no such end.
        background: colour behind the scene.
        frame: coordinates in which the cameras are placed, see `nerf.data.placement.FRAMES`.
        near, far: bounds of all rays; None: from the depths of the scene, by `margins`.
        margins: near as a share of the nearest depth, and far of the farthest one.
        is_ndc: whether rays are cast into normalised device coordinates.
        has_subject: whether cameras surround one object before a background of one colour.
        default_path: the camera path of videos, see `nerf.paths.PATHS`.
        skips_empty: whether rendering can skip empty space.
    """

    spacing: str
    contract: bool
    opaque_background: bool
    background: str
    frame: str
    near: float | None
    far: float | None
    margins: tuple[float, float]
    is_ndc: bool
    has_subject: bool
    default_path: str
    skips_empty: bool


SCENE_TYPES = {
    # One object in the middle, before a background of one colour; cameras look inwards.
    'object': SceneType(
        spacing='linear',
        contract=False,
        opaque_background=False,
        background='white',
        frame='object',
        near=None,
        far=None,
        margins=(0.9, 1.1),
        is_ndc=False,
        has_subject=True,
        default_path='spherical',
        skips_empty=True,
    ),
    # The space before cameras that all look one way: rays are cast into normalised device coordinates.
    'forward_facing': SceneType(
        spacing='linear',
        contract=False,
        # All that is seen is something: what may end in nothing becomes holes in dark surfaces, before black.
        opaque_background=True,
        background='black',
        frame='forward_facing',
        near=0.0,
        far=1.0,
        margins=(0.9, 1.1),
        is_ndc=True,
        has_subject=False,
        default_path='spiral',
        skips_empty=True,
    ),
    # All that surrounds cameras which look anywhere, to any distance.
    'unbounded': SceneType(
        spacing='disparity',
        contract=True,
        opaque_background=True,
        background='black',
        frame='unbounded',
        near=None,
        far=None,
        # Rays that begin at the cameras learn floaters before them; samples are even in disparity, so far ones cost nothing.
        margins=(0.5, 100.0),
        is_ndc=False,
        has_subject=False,
        default_path='ellipse',
        skips_empty=False,
    ),
}
# The fields of `config.model` that the scene type decides.
MODEL_FIELDS = ('spacing', 'contract', 'opaque_background')


def scene_type_of(name: str) -> SceneType:
    """Return the scene type of this name.

    Raises:
        UserError: if there is none, with the known ones.
    """
    if name not in SCENE_TYPES:
        raise unknown('scene_type', name, SCENE_TYPES)
    return SCENE_TYPES[name]
