"""Overview picture of a scene: cameras and points from above and from the side, some photos, and the page about it."""

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle

from nerf.data.inspect.measures import layout
from nerf.data.placement import ENDLESS
from nerf.data.scene import SPLITS, Scene
from nerf.errors import UserError
from nerf.lifting import over_rays
from nerf.ray.cameras import cast

WIDTH, HEIGHT, DPI = 16, 9, 100  # inches, and pixels per inch
COLOURS = {'train': '#1f6fb4', 'val': '#3a9a4b', 'test': '#e8760c'}
WARNING_COLOUR, POINT_COLOUR, FOCUS_COLOUR = '#b3261e', '#555555', '#a020a0'
POINTS = 20_000
FRUSTUM = 0.09  # size, relative to the focus distance
LETTERS, LINE = 126, 0.0202  # letters in a line of text, and its height


class Side(NamedTuple):
    """Projection of a scene along one axis: the other two axes, with signs and names."""

    title: str
    axes: tuple[int, int]
    signs: tuple[int, int]
    labels: tuple[str, str]


FROM_ABOVE = Side('from above', (0, 1), (1, 1), ('x', 'y'))
FROM_THE_SIDE = Side('from the side', (0, 2), (1, 1), ('x', 'z (up)'))
# Forward-facing cameras look along -z with y up.
FORWARD_FROM_ABOVE = Side('from above', (0, 2), (1, -1), ('x', '-z (ahead)'))
FORWARD_FROM_THE_SIDE = Side('from the side', (2, 1), (-1, 1), ('-z (ahead)', 'y (up)'))


def save_picture(path: str, scene: Scene, text: str, warnings: Sequence[str]) -> None:
    """Draw the scene, its page and its warnings as a PNG of 1600 x 900 px.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        draw(scene, text, warnings).savefig(path, dpi=DPI)
    except OSError as error:
        raise UserError(f'--out={path}: cannot be written ({error.strerror}); choose a file that you may write') from error


def draw(scene: Scene, text: str, warnings: Sequence[str]) -> Figure:
    """Draw the picture: two views and the page on the left, photos on the right."""
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, facecolor='white')
    FigureCanvasAgg(figure)
    sides = (FROM_ABOVE, FROM_THE_SIDE) if scene.cameras.ndc is None else (FORWARD_FROM_ABOVE, FORWARD_FROM_THE_SIDE)
    lines = frustums(scene)
    for i, side in enumerate(sides):
        _draw_side(figure.add_axes((0.052 + 0.345 * i, 0.40, 0.29, 0.53)), scene, lines, side)
    _draw_legend(figure, scene)
    _draw_text(figure, text, warnings)
    _draw_photos(figure, scene)
    return figure


def frustums(scene: Scene) -> np.ndarray:
    """Compute the lines of the cameras' frustums: four to the corners, four between these, [k, 8, 2, 3], world."""
    cameras = scene.cameras.replace(ndc=None)
    centre = cameras.camera_to_world[:, :, 3]
    crowd = np.clip(np.sqrt(80 / len(scene.names)), 0.7, 1.0)  # many cameras are drawn smaller, and so are close ones
    size = FRUSTUM * crowd * min(np.median(layout(cameras).distance), 2 * np.ptp(centre, axis=0).max() or np.inf)
    corners = []
    for x, y in ((0, 0), (1, 0), (1, 1), (0, 1)):
        xy = np.stack([x * cameras.width, y * cameras.height], axis=1).astype(np.float32)
        corners.append(centre + size * np.asarray(_directions(cameras, xy)))
    spokes = [(centre, corner) for corner in corners]
    rim = [(corners[i], corners[(i + 1) % 4]) for i in range(4)]
    return np.stack([np.stack(line, axis=1) for line in spokes + rim], axis=1)


_directions = jax.jit(over_rays(lambda camera, xy: cast(camera, xy).direction))


def limits(scene: Scene, lines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the box to show, [3] and [3], world: cameras, origin, and focus and points, clipped where far away."""
    cameras = lines.reshape(-1, 3)
    low, high = cameras.min(0), cameras.max(0)
    reach = max((high - low).max(), 1e-9)
    focus = layout(scene.cameras).focus.clip(low - 3 * reach, high + 3 * reach)
    shown = [cameras, np.zeros((1, 3)), focus[None]]
    if len(scene.points):
        shown.append(np.percentile(scene.points, [1, 99], axis=0).clip(low - reach, high + reach))
    shown = np.concatenate(shown)
    return shown.min(0), shown.max(0)


def _draw_side(axes: Axes, scene: Scene, lines: np.ndarray, side: Side) -> None:
    """Draw points, cameras and the origin in one projection."""
    chosen, signs = list(side.axes), np.array(side.signs)
    if len(scene.points):
        points = scene.points[:: -(-len(scene.points) // POINTS)][:, chosen] * signs
        axes.scatter(*points.T, s=1.5, c=POINT_COLOUR, alpha=0.35, linewidths=0, rasterized=True)
    for split in SPLITS:
        mine = scene.indices(split)
        flat = (lines[mine][..., chosen] * signs).reshape(-1, 2, 2)
        axes.add_collection(LineCollection(flat, colors=COLOURS[split], linewidths=0.8, alpha=0.85))
    if _is_contracted(scene):
        axes.add_patch(Circle((0, 0), 1, fill=False, linestyle='--', linewidth=1))
    if scene.cameras.ndc is not None:
        (axes.axhline if side.axes[1] == 2 else axes.axvline)(1, color='black', linestyle='--', linewidth=1)
    axes.plot(0, 0, '+', color='black', markersize=10, markeredgewidth=1.2)
    axes.plot(*(layout(scene.cameras).focus[chosen] * signs), 'x', color=FOCUS_COLOUR, markersize=8)
    corners = np.stack([bound[chosen] * signs for bound in limits(scene, lines)])
    low, high = corners.min(0), corners.max(0)
    middle, half = (low + high) / 2, 0.54 * max((high - low).max(), 1e-9)
    ratio = 0.53 * HEIGHT / (0.29 * WIDTH)
    axes.set_xlim(middle[0] - half, middle[0] + half)
    axes.set_ylim(middle[1] - half * ratio, middle[1] + half * ratio)
    axes.set_aspect('equal')
    axes.set_title(side.title, fontsize=13, loc='left')
    axes.set_xlabel(f'{side.labels[0]}, world units', fontsize=11)
    axes.set_ylabel(f'{side.labels[1]}, world units', fontsize=11)
    axes.grid(color='#dddddd', linewidth=0.6)
    axes.set_axisbelow(True)


def _draw_text(figure: Figure, text: str, warnings: Sequence[str]) -> None:
    """Draw the page's facts and below them as many warnings as fit."""
    facts = [part for line in text.split('\n\n')[0].splitlines() for part in _wrapped(line, ' ' * 11)]
    lines = [part for each in warnings for part in _wrapped(f'- {each}', '  ')]
    top, room = 0.335, 16 - len(facts)
    if len(lines) > room:
        lines = [*lines[: room - 1], '  ... (all of them are in the text)']
    style = {'fontsize': 10, 'family': 'monospace', 'va': 'top'}
    for i, line in enumerate(facts + lines):
        lower = 0.006 if i >= len(facts) else 0.0
        figure.text(0.02, top - LINE * i - lower, line, color=WARNING_COLOUR if i >= len(facts) else 'black', **style)


def _wrapped(line: str, indent: str) -> list[str]:
    return textwrap.wrap(line, LETTERS, subsequent_indent=indent)


def _draw_photos(figure: Figure, scene: Scene) -> None:
    """Draw photos at even intervals: wide ones in one column, others in two; on white where transparent."""
    is_wide = np.median(scene.cameras.width / scene.cameras.height) > 1.2
    columns, rows = (1, 4) if is_wide else (2, 3)
    chosen = np.unique(np.linspace(0, len(scene.names) - 1, columns * rows).round().astype(int))
    width, height = 0.27 / columns, 0.97 / rows
    for place, i in enumerate(chosen):
        row, column = divmod(place, columns)
        axes = figure.add_axes((0.725 + width * column, 0.985 - height * (row + 1), 0.94 * width, height - 0.035))
        image = scene.image(int(i)).astype(np.float32)
        axes.imshow((image[..., :3] + 255 - image[..., 3:]).clip(0, 255).astype(np.uint8), interpolation='antialiased')
        axes.set_title(scene.names[i], fontsize=10, color=COLOURS[scene.split[i]], pad=3)
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set(color=COLOURS[scene.split[i]], linewidth=2)


def _draw_legend(figure: Figure, scene: Scene) -> None:
    """Draw the legend of the two views."""
    counts = {split: len(scene.indices(split)) for split in SPLITS}
    handles = [
        Line2D([], [], color=COLOURS[split], linewidth=3, label=f'{split} ({count})')
        for split, count in counts.items()
        if count
    ]
    dot = {'linestyle': 'none', 'color': POINT_COLOUR, 'markersize': 4}
    if len(scene.points):
        handles.append(Line2D([], [], marker='o', label=f'points ({len(scene.points)})', **dot))
    handles.append(Line2D([], [], linestyle='none', marker='+', color='black', markersize=10, label='origin'))
    handles.append(Line2D([], [], linestyle='none', marker='x', color=FOCUS_COLOUR, markersize=8, label='focus point'))
    if scene.cameras.ndc is not None:
        handles.append(Line2D([], [], color='black', linestyle='--', linewidth=1, label='near plane'))
    if _is_contracted(scene):
        handles.append(Line2D([], [], color='black', linestyle='--', linewidth=1, label='unit ball, contracted outside'))
    figure.legend(handles=handles, loc='upper left', bbox_to_anchor=(0.02, 1.0), ncol=7, fontsize=11, frameon=False)


def _is_contracted(scene: Scene) -> bool:
    return bool(scene.cameras.far.max() >= ENDLESS)
