"""Shared parts of the tasks: options, inputs, the occupancy grid, and folders of results, which are never deleted."""

import dataclasses
import hashlib
import io
import itertools
import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import jax
import numpy as np
from flax import linen as nn

from nerf.data.poses import AS_IT_IS, Frame
from nerf.data.scene import Scene
from nerf.export.mesh import MeshOptions
from nerf.export.points import PointOptions
from nerf.host import processes
from nerf.host.files import make_folder, write_atomically
from nerf.paths import PathOptions
from nerf.ray.cameras import Camera
from nerf.ray.occupancy import Occupancy
from nerf.render.image import Picture, Renderer
from nerf.render.occupancy import build_occupancy, read_occupancy
from nerf.scene_types import scene_type_of
from nerf.train.run_folder import Trained
from nerf.viewer.server import Address
from nerf.viewer.session import Sessions

_log = logging.getLogger('nerf')
SETTINGS = 'settings.json'


@dataclasses.dataclass(frozen=True)
class TaskOptions:
    """User options of the tasks; None: as the run's config says.

    Attributes:
        chunk: rays computed at a time on each device.
        skip_empty: whether rays skip empty space.
        split: the views that the task `test` renders and measures: test, val or train.
        path: name of the video's camera path; None: the default of the scene's type.
        path_options: options of that path.
        show: the videos to make, each of `nerf.render.outputs.OUTPUTS` or the model's extras, or several joined by '+'.
        endings: file formats of the videos, mp4 or gif.
        fps: frames per second.
        preview: only draw the path among the training cameras.
        mesh, mesh_endings: options of the mesh, and its file formats: ply, obj or glb.
        points, write_depth: options of the point cloud, and whether the views' depth maps are written too.
        coordinates: of what is written for other programs: model, as rendered, or file, the world of the data's own file.
        viewer: address at which the viewer's page is served.
        sessions: pages that are served already, those of a training; None: new ones are.
    """

    chunk: int | None = None
    skip_empty: bool | None = None
    split: str = 'test'
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
    coordinates: str = 'model'
    viewer: Address = Address()  # noqa: RUF009, immutable
    sessions: Sessions | None = None


@dataclasses.dataclass(frozen=True)
class Task:
    """One member of `nerf.tasks.TASKS`.

    Attributes:
        run: does the task.
        check: (config, model, options) -> None, refuses options by a `UserError` before anything is begun.
    """

    run: Callable[['Job'], object]
    check: Callable[[Any, nn.Module, TaskOptions], None] = lambda config, model, options: None


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
        data_name: of the data folder, where it is another than that of training.
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
    data_name: str
    skip_empty: bool
    interruption: processes.Interruption
    options: TaskOptions

    @property
    def background(self) -> str:
        """Name of the colour behind the scene."""
        return self.trained.config.data.background

    def result_folder(self, task: str, settings: dict[str, Any], path: str = '') -> Path:
        """Return the folder `<task>/<path>_step_<step>` of a task's results with these settings, see `result_folder`."""
        data = f'on_{self.data_name}' if self.data_name else ''
        skip = '' if self.skip_empty_is_usual else f'skip_empty_{str(self.skip_empty).lower()}'
        world = 'file_coordinates' if settings.get('coordinates') == 'file' else ''
        name = '_'.join(filter(None, [path, f'step_{self.trained.step}', data, skip, world]))
        return result_folder(self.folder, task, name, settings)

    @property
    def skip_empty_is_usual(self) -> bool:
        """Whether empty space is skipped as the config says."""
        config = self.trained.config
        return self.skip_empty == (config.skip_empty and scene_type_of(config.scene_type).skips_empty)

    def written_frame(self, scene: Scene) -> Frame:
        """Return the similarity from the world of `scene` to the coordinates in which results are written."""
        return scene.frame.inverse if self.options.coordinates == 'file' else AS_IT_IS

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
        make_folder(folder.parent, folder.name)
        write_atomically(path, content.getvalue())
    return occupancy


def result_folder(render: Path, task: str, name: str, settings: dict[str, Any]) -> Path:
    """Return the folder `render/task/name` of results with these settings, where a task that was stopped goes on.

    If other settings made what is there, it stays and `name_2`, `name_3`, ... is taken: nothing that was finished is deleted.

    Raises:
        UserError: it cannot be written, or is a link.
    """
    text = json.dumps(settings, indent=2, sort_keys=True)
    parent = render / task
    count = next(i for i, each in enumerate(_candidates(parent, name)) if _is_free(each) or _settings_of(each) == text)
    folder = next(itertools.islice(_candidates(parent, name), int(processes.of_first(count)), None))
    if processes.is_first():
        make_folder(render.parent, render.name, task, folder.name)
        write_atomically(folder / SETTINGS, text.encode())
    return folder


def _candidates(parent: Path, name: str) -> Iterator[Path]:
    yield parent / name
    for number in itertools.count(2):
        yield parent / f'{name}_{number}'


def _is_free(folder: Path) -> bool:
    """Whether nothing is there but what an interrupted write may have left."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        return False
    return not folder.exists() or all(each.name.startswith('.') for each in folder.iterdir())


def _settings_of(folder: Path) -> str | None:
    try:
        return (folder / SETTINGS).read_text() if (folder / SETTINGS).is_file() else None
    except (OSError, ValueError):
        return None


def digest(*trees: Any) -> str:
    """Compute a short hash of the values in these arrays."""
    state = hashlib.sha256()
    for leaf in jax.tree.leaves(trees):
        state.update(np.ascontiguousarray(leaf).ravel().view(np.uint8))  # as bytes, but not copied: it may be all photos
    return state.hexdigest()[:16]


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write a uint8 image as PNG, atomically."""
    write_atomically(path, imageio.imwrite('<bytes>', picture, extension='.png'))


def read_png(path: Path) -> np.ndarray | None:
    """Read a finished picture; None if it is missing or damaged, so that it is made again."""
    try:
        if path.is_symlink() or not path.is_file():
            return None
        return imageio.imread(path, plugin='pillow')  # no other decoder tries its luck
    except Exception:  # whatever a decoder may stumble over
        return None
