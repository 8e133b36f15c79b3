"""Shared parts of the tasks: options, inputs, the occupancy grid, and output folders that resume where a task stopped."""

import dataclasses
import hashlib
import io
import json
import logging
import shutil
import time
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import jax
import numpy as np

from nerf.data.scene import Scene
from nerf.export.mesh import MeshOptions
from nerf.export.points import PointOptions
from nerf.host import processes
from nerf.host.files import write_atomically
from nerf.paths import PathOptions
from nerf.ray.cameras import Camera
from nerf.ray.occupancy import Occupancy
from nerf.render.image import Picture, Renderer
from nerf.render.occupancy import build_occupancy, read_occupancy
from nerf.train.run_folder import Trained
from nerf.viewer.server import Address

_log = logging.getLogger('nerf')


@dataclasses.dataclass(frozen=True)
class TaskOptions:
    """User options of the tasks; None: as the run's config says.

    Attributes:
        chunk: rays computed at a time on each device.
        skip_empty: whether rays skip empty space.
        path: name of the video's camera path; None: the default of the scene's type.
        path_options: options of that path.
        show: the videos to make, each of `nerf.render.outputs.OUTPUTS` or the model's extras, or several joined by '+'.
        endings: file formats of the videos, mp4 or gif.
        fps: frames per second.
        preview: only draw the path among the training cameras.
        mesh, mesh_endings: options of the mesh, and its file formats: ply, obj or glb.
        points, write_depth: options of the point cloud, and whether the views' depth maps are written too.
        viewer: address at which the viewer's page is served.
    """

    chunk: int | None = None
    skip_empty: bool | None = None
    path: str | None = None
    path_options: PathOptions = dataclasses.field(default_factory=PathOptions)
    show: tuple[str, ...] = ('rgb', 'depth')
    endings: tuple[str, ...] = ('mp4',)
    fps: int | None = None
    preview: bool = False
    mesh: MeshOptions = dataclasses.field(default_factory=MeshOptions)
    mesh_endings: tuple[str, ...] = ('ply',)
    points: PointOptions = dataclasses.field(default_factory=PointOptions)
    write_depth: bool = False
    viewer: Address = Address()  # noqa: RUF009, immutable


@dataclasses.dataclass(frozen=True)
class Job:
    """Inputs of a task.

    Attributes:
        trained: model, parameters, config and cameras.
        variables: of the model, replicated.
        renderer: compiled once for all tasks, when it is first used.
        normal_renderer: the same, with normals.
        occupancy: the occupancy grid; None if no empty space is skipped.
        scene: the scene whose test views are rendered; without pixels if the images are gone.
        folder: `<model_dir>/render`.
        skip_empty: whether the renderer skips empty space.
        interruption: checked between blocks of rays.
        options: what the user asked for.
    """

    trained: Trained
    variables: Any
    renderer: Renderer
    normal_renderer: Renderer
    occupancy: Occupancy | None
    scene: Scene
    folder: Path
    skip_empty: bool
    interruption: processes.Interruption
    options: TaskOptions

    @property
    def background(self) -> str:
        """Name of the colour behind the scene."""
        return self.trained.config.data.background

    def render(self, camera: Camera, with_normals: bool = False) -> Picture:
        """Render one view.

        Raises:
            processes.Interrupted: the user asked to stop; checked after each block of rays.
        """
        renderer = self.normal_renderer if with_normals else self.renderer
        return renderer.image(self.variables, camera, self.interruption.check)


def load_or_build_occupancy(trained: Trained, variables: Any, folder: Path, interruption: processes.Interruption) -> Occupancy:
    """Load the occupancy grid of this checkpoint (variables replicated) from `folder`, else build it and store it there."""
    cameras = trained.scene.cameras.at(trained.scene.indices('train'))
    path, built_from = folder / f'occupancy_{trained.step}.npz', digest(trained.variables, cameras)
    occupancy = read_occupancy(path, built_from)
    # All processes build it, or none: building is a collective computation.
    if not processes.any_of(occupancy is None):
        return occupancy
    began = time.monotonic()
    occupancy = build_occupancy(trained.model, variables, cameras, interruption.check)
    share = 100 * np.mean(occupancy.cells > 0)
    seconds = time.monotonic() - began
    _log.info('occupancy grid built in %.1f s: %.1f %% of the box around the scene is occupied', seconds, share)
    if processes.is_first():
        content = io.BytesIO()
        np.savez_compressed(content, built_from=built_from, **vars(occupancy))
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content.getvalue())
    return occupancy


def resumable_folder(path: Path, settings: dict[str, Any]) -> Path:
    """Prepare the folder of a task's files; it is emptied first unless they were made with the same settings."""
    if processes.is_first():
        record = path / 'settings.json'
        text = json.dumps(settings, indent=2, sort_keys=True)
        if path.exists() and not (record.exists() and record.read_text() == text):
            shutil.rmtree(path)
        path.mkdir(parents=True, exist_ok=True)
        write_atomically(record, text.encode())
    processes.wait_for_all(f'folder {path.name}')
    return path


def digest(*trees: Any) -> str:
    """Compute a short hash of the values in these arrays."""
    state = hashlib.sha256()
    for leaf in jax.tree.leaves(trees):
        state.update(np.ascontiguousarray(leaf).tobytes())
    return state.hexdigest()[:16]


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write a uint8 image as PNG, atomically."""
    write_atomically(path, imageio.imwrite('<bytes>', picture, extension='.png'))
