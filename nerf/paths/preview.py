"""Preview image of a camera path: its frames among the training cameras, from above and from the side."""

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from nerf.data.inspect.picture import FORWARD_FROM_ABOVE, FORWARD_FROM_THE_SIDE, FROM_ABOVE, FROM_THE_SIDE, POINTS, Side
from nerf.data.scene import Scene
from nerf.paths.cameras import corner_rays, training
from nerf.paths.orbits import scene_focus
from nerf.ray.cameras import Camera

WIDTH, HEIGHT, DPI = 12, 6.4, 100  # inches, and pixels per inch
SHOWN = 24  # frames of the path drawn as frustums, at most
SIZE = 0.06  # of a frustum, as a share of the extent of all cameras
COLOURS = 'viridis'  # colour map of the path, from its start to its end


def preview(scene: Scene, path: Camera) -> np.ndarray:
    """Draw a path (stacked pinhole cameras) in a scene, uint8 [640, 1200, 3].

    Training cameras are blue; the path goes from dark to bright, with a ring at its start and a frustum every few frames.
    """
    cameras = training(scene)
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, facecolor='white')
    canvas = FigureCanvasAgg(figure)
    figure.subplots_adjust(left=0.08, right=0.985, top=0.94, bottom=0.16, wspace=0.18)
    sides = (FROM_ABOVE, FROM_THE_SIDE) if cameras.ndc is None else (FORWARD_FROM_ABOVE, FORWARD_FROM_THE_SIDE)
    for axes, side in zip(figure.subplots(1, 2), sides, strict=True):
        _draw(axes, side, scene, cameras, path)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc='lower center', ncol=len(labels), frameon=False, fontsize=11)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def frustums(cameras: Camera, size: float) -> np.ndarray:
    """Compute the lines of stacked cameras' frustums, without distortion: edges and image borders, [k, 8, 2, 3], world.

    The image borders lie at depth `size`.
    """
    centre = np.asarray(cameras.camera_to_world, np.float64)[:, None, :, 3]
    rim = centre + size * corner_rays(cameras)
    spokes = np.stack([np.broadcast_to(centre, rim.shape), rim], axis=2)
    return np.concatenate([spokes, np.stack([rim, np.roll(rim, 1, axis=1)], axis=2)], axis=1)


def _draw(axes: Axes, side: Side, scene: Scene, cameras: Camera, path: Camera) -> None:
    """Draw one view of the path and the scene."""

    def flat(points: np.ndarray) -> np.ndarray:
        return points[..., list(side.axes)] * np.array(side.signs)

    places, way = cameras.camera_to_world[:, :, 3], path.camera_to_world[:, :, 3]
    both, focus = np.concatenate([places, way]), scene_focus(cameras)
    low, high = both.min(0), both.max(0)
    extent = max(float((high - low).max()), 1e-6)
    is_near = focus is not None and bool(np.all((focus > low - extent) & (focus < high + extent)))
    if is_near:
        both = np.concatenate([both, focus[None]])
    if len(scene.points):
        axes.scatter(*flat(scene.points[:: -(-len(scene.points) // POINTS)]).T, s=1, c='#999999', alpha=0.4, linewidths=0)
    lines = flat(frustums(cameras, SIZE * extent)).reshape(-1, 2, 2)
    axes.add_collection(LineCollection(lines, colors='#1f6fb4', linewidths=0.5, alpha=0.45, label='training cameras'))
    shades = matplotlib.colormaps[COLOURS](np.linspace(0, 0.9, len(way)))
    pairs = np.stack([flat(way)[:-1], flat(way)[1:]], axis=1)
    label = f'path, {len(way)} frame{"s" if len(way) > 1 else ""}'
    # One colour more than lines: the legend shows the first, also where one frame leaves no line.
    axes.add_collection(LineCollection(pairs, colors=shades, linewidths=2, label=label))
    for i in range(0, len(way), -(-len(way) // SHOWN)):
        one = flat(frustums(path, 1.5 * SIZE * extent)[i])
        axes.add_collection(LineCollection(one, colors=[shades[i]], linewidths=1.1))
    axes.plot(*flat(way[0]), 'o', mfc='none', mec='#b3261e', mew=2, markersize=12, linestyle='none', label='start')
    if is_near:
        axes.plot(*flat(focus), 'x', color='#a020a0', markersize=8, linestyle='none', label='looked at')
    _frame(axes, side, flat(both), 0.15 * extent)


def _frame(axes: Axes, side: Side, shown: np.ndarray, margin: float) -> None:
    """Set limits and labels of one view, with the same scale on both axes."""
    low, high = shown.min(0) - margin, shown.max(0) + margin
    box = axes.get_position()
    shape = np.array([box.width * WIDTH, box.height * HEIGHT])
    half = shape * ((high - low) / shape).max() / 2
    middle = (low + high) / 2
    axes.set_xlim(middle[0] - half[0], middle[0] + half[0])
    axes.set_ylim(middle[1] - half[1], middle[1] + half[1])
    axes.set_title(side.title, fontsize=13, loc='left')
    axes.set_xlabel(f'{side.labels[0]}, world units', fontsize=11)
    axes.set_ylabel(f'{side.labels[1]}, world units', fontsize=11)
    axes.grid(color='#dddddd', linewidth=0.6)
    axes.set_axisbelow(True)
