"""Render a trained scene from its folder alone: `python render.py --model_dir=logs/quickstart`."""

import nerf.host.interrupts  # noqa: F401, I001, first: from here on Ctrl-C is one line

from absl import flags

from nerf.errors import UserError
from nerf.host import flags as commands
from nerf.host.console import set_up_logging

_MODEL_DIR = commands.define_path('model_dir', 'The folder of a training run.')
_TASK = flags.DEFINE_list('task', ['test', 'video'], 'What to make: any of test, video, mesh, points, cameras, view, geometry.')
_STEP = flags.DEFINE_integer('step', None, 'Which checkpoint; by default the newest.')
_DATA_DIR = commands.define_path('data_dir', 'Another copy of the data, perhaps with other test views.')
_CHUNK = flags.DEFINE_integer(
    'chunk', None, 'Rays computed at a time on each device; by default what fits.', lower_bound=1, upper_bound=2**22
)
_SKIP_EMPTY = flags.DEFINE_bool('skip_empty', None, 'Whether to skip what is empty; by default as the config says.')
_SPLIT = flags.DEFINE_enum('split', 'test', ['test', 'val', 'train'], 'test: which views are rendered and measured.')
_PATH = flags.DEFINE_string('path', None, 'video: spherical, spiral, ellipse, keyframes, train or file; by default what suits.')
_PATH_FILE = commands.define_path('path_file', "video: a path saved by the viewer or by nerfstudio's, or a transforms.json.")
_KEYFRAMES = flags.DEFINE_list('keyframes', [], 'video: names of images to pass; the first one again closes the path.')
_ELEVATION = flags.DEFINE_float('elevation', None, 'video: degrees above the ground, of the spherical path.')
_NUM_FRAMES = flags.DEFINE_integer('num_frames', None, 'video: how many frames.', lower_bound=1)
_FPS = flags.DEFINE_integer('fps', None, 'video: frames per second.', lower_bound=1)
_WIDTH = flags.DEFINE_integer(
    'width', None, 'video: width of the frames, px; by default as the training images.', lower_bound=1
)
_FACTOR = flags.DEFINE_integer('factor', 1, 'video: or frames this many times smaller.', lower_bound=1)
_SHOW = flags.DEFINE_list(
    'show',
    ['rgb', 'depth'],
    'video: rgb, depth, mean, median, acc, normals, normals_camera; rgb+depth is side by side. '
    'test, video: rgba, PNGs with transparency.',
)
_VIDEO = flags.DEFINE_list('video', ['mp4'], 'video: mp4, gif or both.')
_MESH = flags.DEFINE_list('mesh', ['ply'], 'mesh: files to write, any of ply, obj, glb.')
_RESOLUTION = flags.DEFINE_integer('resolution', 192, 'mesh: cells along the longest edge of the box.', lower_bound=1)
_LEVEL = flags.DEFINE_float('level', None, 'mesh: density of the surface; by default found by rays of the training views.')
_SMALLEST = flags.DEFINE_float('smallest', 0.01, 'mesh: leave out pieces below this share of the largest.')
_COORDINATES = flags.DEFINE_enum(
    'coordinates',
    'model',
    ['model', 'file'],
    "mesh, points, cameras: written in the model's coordinates, or in those of the data's own file, in its units; "
    'path_file: those that its poses are in.',
)
_BOUNDS = flags.DEFINE_list('bounds', None, "mesh, points: x,y,z of two opposite corners of a box, in the model's coordinates.")
_MAX_POINTS = flags.DEFINE_integer('max_points', 500_000, 'points: more are thinned evenly.', lower_bound=1)
_DEPTH = flags.DEFINE_bool('depth', False, 'points: also write the depth of each view as 16-bit PNG and npy.')
_HOST = flags.DEFINE_string(
    'host',
    '127.0.0.1',
    'view: address to serve at; 0.0.0.0: all names and addresses of this machine. Unless given, it alone can look.',
)
_PORT = flags.DEFINE_integer('port', 8080, 'view: port of the page; 0: any that is free.', lower_bound=0, upper_bound=65535)
_PREVIEW = flags.DEFINE_bool('preview', False, 'video: only draw the path among the training cameras.')


def six_numbers(words: list[str]) -> tuple[float, ...]:
    """Read the box of --bounds."""
    try:
        numbers = tuple(float(word) for word in words)
    except ValueError:
        numbers = ()
    if len(numbers) != 6:
        raise UserError(f'--bounds={",".join(words)}: expected six numbers, x,y,z of one corner and x,y,z of the opposite one')
    return numbers


def main(argv: list[str]) -> None:
    """Do the tasks, one after the other."""
    commands.refuse_arguments(argv)
    if _MODEL_DIR.value is None:
        raise UserError('--model_dir is missing: expected the folder of a training run')
    set_up_logging()
    commands.keep_compiled()
    from nerf.host import processes  # JAX starts here, after the flags are known to be right

    processes.check_platform()
    from nerf import run as running
    from nerf.export.mesh import MeshOptions
    from nerf.export.points import PointOptions
    from nerf.paths import PathOptions
    from nerf.tasks.job import TaskOptions
    from nerf.viewer.server import Address

    path = PathOptions(
        num_frames=_NUM_FRAMES.value,
        keyframes=tuple(_KEYFRAMES.value),
        file=_PATH_FILE.value,
        elevation=_ELEVATION.value,
        width=_WIDTH.value,
        factor=_FACTOR.value,
        coordinates=_COORDINATES.value,
    )
    bounds = None if _BOUNDS.value is None else six_numbers(_BOUNDS.value)
    options = TaskOptions(
        chunk=_CHUNK.value,
        skip_empty=_SKIP_EMPTY.value,
        split=_SPLIT.value,
        path=_PATH.value,
        path_options=path,
        show=tuple(_SHOW.value),
        endings=tuple(_VIDEO.value),
        fps=_FPS.value,
        preview=_PREVIEW.value,
        mesh=MeshOptions(_RESOLUTION.value, _LEVEL.value, bounds, _SMALLEST.value),
        mesh_endings=tuple(_MESH.value),
        points=PointOptions(_MAX_POINTS.value, bounds),
        write_depth=_DEPTH.value,
        coordinates=_COORDINATES.value,
        viewer=Address(_HOST.value, _PORT.value),
    )
    running.render(_MODEL_DIR.value, _TASK.value, _STEP.value, _DATA_DIR.value, options)


if __name__ == '__main__':
    commands.run(main)
