"""Pictures of the notebooks, each shown with a text for those who cannot see it."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nerf.ray.cameras import Camera, cast
from nerf.ray.gaussians import frustum_to_gaussian
from nerf.ray.structs import Level

DPI = 110
BLUE, ORANGE, GREY = '#2a6fbb', '#d9822b', '0.55'


def figure(rows: int = 1, columns: int = 1, size: tuple[float, float] = (7.5, 2.6), **options: Any) -> tuple[Figure, Any]:
    """Make a figure and its axes, in the style of the notebooks; `size` in inches."""
    plt.rcParams.update({'axes.titlesize': 10, 'axes.labelsize': 9, 'legend.fontsize': 8, 'image.interpolation': 'nearest'})
    return plt.subplots(rows, columns, figsize=size, dpi=DPI, layout='constrained', **options)


def show(drawn: Figure, alt: str) -> None:
    """Show a figure as a PNG with a text `alt` that says what it shows, and close it."""
    from IPython.display import Image, display  # only a notebook shows pictures

    buffer = io.BytesIO()
    drawn.savefig(buffer, format='png')
    plt.close(drawn)
    display(Image(buffer.getvalue(), alt=alt))


def show_pictures(pictures: Mapping[str, np.ndarray], alt: str, inches: float = 2.2) -> None:
    """Show uint8 pictures in a row, framed, under their titles."""
    lines = 1 + max(title.count('\n') for title in pictures)
    drawn, axes = figure(1, len(pictures), (inches * len(pictures), inches + 0.15 + 0.2 * lines), squeeze=False)
    for axis, (title, picture) in zip(axes[0], pictures.items(), strict=True):
        axis.imshow(picture, cmap='gray', vmin=0, vmax=255)
        axis.set(title=title, xticks=[], yticks=[])
    show(drawn, alt)


def sliders(draw: Callable[..., None], alt: str, size: tuple[float, float] = (2.5, 2.3), **values: Sequence) -> None:
    """Show a drawing for several values of its parameters: as a row of stills, and with sliders where ipywidgets is installed.

    Args:
        draw: draws into axes, `draw(axis, **parameters)`.
        alt: what the stills show.
        size: of one still, inches.
        values: of each parameter by name; the stills go through those of the first, at the first value of the others.
    """
    first, *others = values
    fixed = {name: values[name][0] for name in others}
    drawn, axes = figure(1, len(values[first]), (size[0] * len(values[first]), size[1]), squeeze=False, sharey=True)
    for axis, value in zip(axes[0], values[first], strict=True):
        draw(axis, **{first: value}, **fixed)
        axis.set_title(f'{first} = {value:g}')
        axis.label_outer()
    show(drawn, alt)
    try:
        import ipywidgets
    except ImportError:
        return

    def redraw(**parameters: Any) -> None:
        drawn, axis = figure(size=(2 * size[0], 1.5 * size[1]))
        draw(axis, **parameters)
        show(drawn, alt)

    ipywidgets.interact(redraw, **{name: ipywidgets.SelectionSlider(options=list(each)) for name, each in values.items()})


def along_ray(
    levels: Mapping[str, Level],
    truth: float | None = None,
    what: Sequence[str] = ('density', 'accumulated'),
    alt: str = '',
    title: str = '',
) -> None:
    """Show quantities of levels over t, one above the other, with the exact surface as a dashed line.

    Args:
        levels: by name.
        truth: t of the surface.
        what: of these, in this order: density; per_length, weights divided by the lengths of their intervals in t;
            accumulated, the sum of the weights up to t; weights.
        alt: what the picture shows.
        title: of the whole.
    """
    drawn, axes = figure(len(what), 1, (7.5, 0.5 + 1.6 * len(what)), squeeze=False, sharex=True)
    colours = [BLUE] if len(levels) == 1 else [GREY, BLUE, ORANGE]
    for axis, each in zip(axes[:, 0], what, strict=True):
        for (name, level), colour in zip(levels.items(), colours, strict=False):
            _draw_along(axis, level, each, color=colour, label=name)
        if truth is not None:
            axis.axvline(truth, color='black', linestyle='--', linewidth=1, label='exact surface')
        axis.set_ylim(bottom=0)
        axis.set_ylabel(YLABELS[each])
    axes[0, 0].legend(loc='upper left', bbox_to_anchor=(1, 1))
    axes[0, 0].set_title(title)
    axes[-1, 0].set_xlabel('t')
    show(drawn, alt)


YLABELS = {
    'density': 'density, 1 / world',
    'per_length': 'weight per t',
    'accumulated': 'accumulated weight',
    'weights': 'weight',
}


def _draw_along(axis: Axes, level: Level, what: str, **style: Any) -> None:
    """Draw one quantity of one level."""
    t, w = np.asarray(level.t), np.asarray(level.weights)
    if what == 'accumulated':
        axis.plot(t, np.concatenate([[0], np.cumsum(w)]), **style)
    else:
        values = {'density': level.density, 'weights': w, 'per_length': w / np.maximum(np.diff(t), 1e-9)}[what]
        axis.stairs(np.asarray(values), t, baseline=None, **style)


def frustum_and_ellipse(axis: Axes, t0: float, t1: float, radius: float) -> None:
    """Draw a segment of a cone from the side, 500 points spread evenly in it, and the 1-sigma ellipse of its Gaussian."""
    draw = np.random.default_rng(0)
    t = np.cbrt(t0**3 + (t1**3 - t0**3) * draw.uniform(size=500))
    across = radius * t * np.sqrt(draw.uniform(size=500)) * np.cos(2 * np.pi * draw.uniform(size=500))
    axis.plot(t, across, '.', color=GREY, markersize=1.5)
    axis.plot([t0, t1, t1, t0, t0], radius * np.array([t0, t1, -t1, -t0, t0]), color='black', linewidth=1)
    gaussian = frustum_to_gaussian(t0, t1, jnp.zeros(3), jnp.array([1.0, 0.0, 0.0]), radius)
    angle = np.linspace(0, 2 * np.pi, 100)
    sigma = np.sqrt(np.diagonal(np.asarray(gaussian.cov)))
    axis.plot(float(gaussian.mean[0]) + sigma[0] * np.cos(angle), sigma[1] * np.sin(angle), color=ORANGE, linewidth=2)
    axis.plot(float(gaussian.mean[0]), 0, 'x', color=ORANGE)
    axis.set(xlabel='t', ylabel='across')


def fading(axis: Axes, deviations: Sequence[float], max_degree: int = 12) -> None:
    """Draw what is left of each octave's amplitude, exp(-4^l s^2 / 2), for several standard deviations s."""
    octave = np.arange(max_degree)
    for each, colour in zip(deviations, plt.cm.viridis(np.linspace(0, 0.85, len(deviations))), strict=True):
        axis.plot(octave, np.exp(-0.5 * 4.0**octave * each**2), 'o-', color=colour, label=f's = {each:g}')
    axis.axhline(0.01, color='black', linewidth=0.8, linestyle=':')
    axis.set(xlabel='octave l', ylabel='amplitude left')
    axis.legend()


def ray_fan(axis: Axes, camera: Camera, columns: int, rows: int, length: float = 1.0) -> None:
    """Draw the rays of all pixels of a small camera in 3-D axes, up to t = `length`, and the image plane at t = 1."""
    for y in range(rows):
        for x in range(columns):
            ray = cast(camera, jnp.array([x + 0.5, y + 0.5]))
            ends = np.stack([ray.origin, ray.origin + length * ray.direction])
            axis.plot(*ends.T, color=BLUE if (x, y) == (0, 0) else GREY, linewidth=2 if (x, y) == (0, 0) else 0.8)
    corners = [(0, 0), (columns, 0), (columns, rows), (0, rows), (0, 0)]
    plane = [cast(camera, jnp.array(corner, jnp.float32)) for corner in corners]
    axis.plot(*np.stack([ray.origin + ray.direction for ray in plane]).T, color='black', linewidth=1)
