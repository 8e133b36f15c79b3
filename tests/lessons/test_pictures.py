"""Pictures carry a text, are closed, and draw the numbers that they are given."""

import sys
import types

import IPython.display
import jax.numpy as jnp
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from nerf.lessons import pictures
from nerf.ray.cameras import Camera, cast
from nerf.ray.structs import Level

matplotlib.use('Agg')


@pytest.fixture
def shown(monkeypatch):
    """The texts of what is displayed, in order."""
    texts = []
    monkeypatch.setattr(IPython.display, 'display', lambda image: texts.append(image.alt))
    return texts


@pytest.fixture
def axis():
    drawn, made = plt.subplots()
    yield made
    plt.close(drawn)


def test_a_picture_is_a_png_with_its_text_and_no_figure_is_left_open(shown):
    drawn, _ = pictures.figure()
    pictures.show(drawn, 'Nothing at all.')
    pictures.show_pictures({'one\nof two lines': np.zeros((4, 4, 3), np.uint8)}, 'A black square.')
    assert shown == ['Nothing at all.', 'A black square.']
    assert not plt.get_fignums()


def test_sliders_are_a_row_of_stills_and_sliders_where_ipywidgets_is(shown, monkeypatch):
    drawn, asked = [], []

    def draw(axis, **parameters):
        drawn.append(parameters)

    monkeypatch.setitem(sys.modules, 'ipywidgets', None)
    pictures.sliders(draw, 'Stills.', size=(1, 1), a=(1, 2, 3), b=(7, 8))
    assert drawn == [{'a': 1, 'b': 7}, {'a': 2, 'b': 7}, {'a': 3, 'b': 7}]
    widgets = types.SimpleNamespace(
        SelectionSlider=lambda options: options, interact=lambda redraw, **sliders: asked.append((redraw, sliders))
    )
    monkeypatch.setitem(sys.modules, 'ipywidgets', widgets)
    pictures.sliders(draw, 'Stills.', size=(1, 1), a=(1, 2, 3), b=(7, 8))
    ((redraw, sliders),) = asked
    assert sliders == {'a': [1, 2, 3], 'b': [7, 8]}
    redraw(a=3, b=8)
    assert drawn[-1] == {'a': 3, 'b': 8}
    assert shown == ['Stills.'] * 3


def test_along_ray_shows_what_was_asked(shown, monkeypatch):
    kept = []
    monkeypatch.setattr(pictures, 'show', lambda drawn, alt: kept.append(drawn))
    t = jnp.array([2.0, 3.0, 5.0])
    level = Level(t, t, jnp.array([0.5, 4.0]), jnp.ones((2, 3)), jnp.array([0.2, 0.6]))
    pictures.along_ray({'only': level}, 3.1, ('density', 'accumulated', 'per_length', 'weights'))
    density, accumulated, per_length, weights = kept[0].axes
    np.testing.assert_allclose(accumulated.lines[0].get_ydata(), [0, 0.2, 0.8])
    for axis, values in ((density, [0.5, 4]), (per_length, [0.2, 0.3]), (weights, [0.2, 0.6])):
        np.testing.assert_allclose(axis.patches[0].get_data().values, values)
    assert [axis.get_ylabel() for axis in kept[0].axes] == [
        'density, 1 / world',
        'accumulated weight',
        'weight per t',
        'weight',
    ]
    plt.close(kept[0])


def test_a_frustum_holds_its_points_and_its_ellipse(axis):
    pictures.frustum_and_ellipse(axis, 1.0, 3.0, 0.2)
    points, outline, ellipse, mean = axis.lines
    t, across = points.get_data()
    assert ((t >= 1) & (t <= 3) & (np.abs(across) <= 0.2 * t)).all()
    assert max(outline.get_ydata()) == pytest.approx(0.6)
    np.testing.assert_allclose(mean.get_xdata(), [3 * 80 / (4 * 26)], rtol=1e-5)
    np.testing.assert_allclose(np.ptp(ellipse.get_xdata()) / 2, t.std(), rtol=0.1)


def test_fading_falls_with_the_square_of_the_frequency(axis):
    pictures.fading(axis, [0.1], 5)
    np.testing.assert_allclose(axis.lines[0].get_ydata(), np.exp(-0.5 * (2.0 ** np.arange(5) * 0.1) ** 2))


def test_a_fan_has_the_rays_of_all_pixels():
    drawn, axis = plt.subplots(subplot_kw={'projection': '3d'})
    pose = jnp.concatenate([jnp.eye(3), jnp.array([[1.0], [2.0], [3.0]])], axis=1)
    k = jnp.array([[2.0, 0.0, 1.0], [0.0, 2.0, 1.0], [0.0, 0.0, 1.0]])
    camera = Camera(pose, k, *map(jnp.int32, (2, 2)), *map(jnp.float32, (0.1, 1.0)))
    pictures.ray_fan(axis, camera, 2, 2, 1.5)
    assert len(axis.lines) == 5
    first = np.array(axis.lines[0].get_data_3d())
    np.testing.assert_allclose(first[:, 0], [1, 2, 3])
    np.testing.assert_allclose(first[:, 1], first[:, 0] + 1.5 * cast(camera, jnp.array([0.5, 0.5])).direction, rtol=1e-6)
    plt.close(drawn)
