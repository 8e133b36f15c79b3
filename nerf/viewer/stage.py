"""Scene data that all browsers share: cameras with photos, the start view, and the model's levels."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from flax import linen as nn

from nerf.data.scene import Scene
from nerf.models.protocol import LevelInfo
from nerf.paths.cameras import training
from nerf.ray.cameras import Camera
from nerf.render.evaluation import over_background
from nerf.scene_types import scene_type_of
from nerf.viewer.crop import Limits, crop_limits
from nerf.viewer.views import Beginning, View, beginning

MOST_MARKS = 200
THUMBNAIL = 64  # px


@dataclasses.dataclass(frozen=True)
class Mark:
    """Training camera to draw into the scene, with its photo, uint8 [h, w, 3], if available."""

    name: str
    view: View
    photo: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Stage:
    """Scene data that all browsers share.

    Attributes:
        title: of the page.
        cameras: the training cameras, stacked.
        beginning: the start view.
        marks: training cameras to draw, evenly subsampled if there are many.
        mark_scale: their size, world.
        levels: of the model.
        crop: limits of the crop box; None in NDC, where a box of the world is none in the space of the rays.
        model_dir: where paths of keyframes are saved.
        fps: frames per second of such a path.
    """

    title: str
    cameras: Camera
    beginning: Beginning
    marks: Sequence[Mark]
    mark_scale: float
    levels: Sequence[LevelInfo]
    crop: Limits | None
    model_dir: Path
    fps: int


def make_stage(model: nn.Module, scene: Scene, config: object, model_dir: str) -> Stage:
    """Collect the shared data of a scene and the model trained on it in `model_dir`, by its resolved config."""
    start, cameras = beginning(scene, config.scene_type), training(scene)
    # An object lies beyond the near plane of its cameras.
    nearest = float(np.min(cameras.near)) if scene_type_of(config.scene_type).has_subject else 0.0
    half = max(start.reach - nearest, start.reach / 4)
    return Stage(
        title=f'{config.model_name}: {config.scene or Path(model_dir).name}',
        cameras=cameras,
        beginning=start,
        marks=make_marks(scene, config.data.background),
        mark_scale=mark_scale(scene, start.reach),
        levels=model.LEVELS,
        crop=crop_limits(start.target, half) if cameras.ndc is None else None,
        model_dir=Path(model_dir),
        fps=config.video.fps,
    )


def make_marks(scene: Scene, background: str) -> list[Mark]:
    """Return the training cameras, or an even subsample of 200 of them, with thumbnails if the images are available."""
    chosen = scene.indices('train')
    if len(chosen) > MOST_MARKS:
        chosen = chosen[np.linspace(0, len(chosen) - 1, MOST_MARKS).round().astype(int)]
    marks = []
    for i in map(int, chosen):
        camera = scene.camera(i)
        width, height = int(camera.width), int(camera.height)
        fov = 2 * np.arctan(0.5 * height / float(camera.camera_to_pixel[1, 1]))
        view = View(np.asarray(camera.camera_to_world, np.float64), float(fov), width / height)
        every = max(1, width // THUMBNAIL)
        photo = over_background(scene.image(i)[::every, ::every], background) if len(scene.pixels) else None
        marks.append(Mark(scene.stem(i), view, photo))
    return marks


def mark_scale(scene: Scene, reach: float) -> float:
    """Compute the size of drawn cameras, world: so small that most do not touch, and none hides what it looks at."""
    positions = training(scene).camera_to_world[:, :, 3].astype(np.float64)
    apart = np.linalg.norm(positions[:, None] - positions[None], axis=-1) + np.where(np.eye(len(positions)), np.inf, 0)
    nearest = float(np.median(apart.min(1))) if len(positions) > 1 else np.inf
    return min(max(0.15 * nearest, 0.005 * reach), 0.03 * reach)
