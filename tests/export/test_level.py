import jax
import numpy as np
import pytest

from nerf.errors import UserError
from nerf.export import level
from nerf.ray.structs import Ray

BOX = np.full(3, -1.0), np.full(3, 1.0)


def rays(count):
    """Rays along -x through the box, with directions of length 2."""
    y = np.linspace(-0.9, 0.9, count)
    full = lambda value: np.full(count, value)  # noqa: E731
    origin = np.stack([full(5.0), y, full(0.0)], axis=1)
    direction = np.tile([-2.0, 0, 0], (count, 1))
    return Ray(origin, direction, direction / 2, full(0.01), full(1.0), full(9.0))


class Told:
    """Says where rays stop, and density, by functions of the point."""

    def __init__(self, stop, density, acc=1.0):
        self.stop, self.of, self.acc = stop, density, acc

    def median_hit(self, cameras, image, xy):
        ray = rays(len(image))
        return ray, self.stop(ray.origin[:, 1]), np.full(len(image), self.acc)

    def density(self, points, width):
        return self.of(points)


@pytest.fixture
def cameras():
    from nerf.data.procedural import views

    return jax.tree.map(lambda field: field[:2], views(16)[2])


def test_the_level_that_is_met_where_rays_stop(cameras):
    # Density grows as exp(-10 x) into the box; rays stop at x = 0.2, so it is e^-2 there.
    found = level.find_level(Told(lambda y: np.full(len(y), 2.4), lambda p: np.exp(-10 * p[:, 0])), cameras, BOX, 0.1)
    assert found == pytest.approx(np.exp(-2.0), rel=0.1)


def test_no_holes_where_it_is_thin(cameras):
    # A fifth of the rays meet a wall of density 10 at x = 0, the others one of 1000.
    density = lambda p: np.where(p[:, 0] < 0, np.where(p[:, 1] < -0.54, 10.0, 1000.0), 0.0)  # noqa: E731
    assert level.find_level(Told(lambda y: np.full(len(y), 2.51), density), cameras, BOX, 0.1) < 10


def test_haze_before_the_surface_is_not_it(cameras):
    density = lambda p: np.where(p[:, 0] < 0, 100.0, 1.0)  # noqa: E731
    assert 1 < level.find_level(Told(lambda y: np.full(len(y), 2.51), density), cameras, BOX, 0.1) < 100


def test_only_rays_that_stop_in_the_box_are_asked(cameras):
    # Those above the middle stop behind the box, and would make the wall of density 10 the surface.
    density = lambda p: np.where(p[:, 0] < 0, np.where(p[:, 1] > 0, 10.0, 1000.0), 5.0 * (p[:, 1] <= 0))  # noqa: E731
    found = level.find_level(Told(lambda y: np.where(y > 0, 4.0, 2.51), density), cameras, BOX, 0.1)
    assert 5 < found < 1000
    with pytest.raises(UserError, match='no ray of the training views stops in the box'):
        level.find_level(Told(lambda y: np.full(len(y), 4.0), density), cameras, BOX, 0.1)
    with pytest.raises(UserError, match='no ray of the training views stops in the box'):
        level.find_level(Told(lambda y: np.full(len(y), 2.5), density, acc=0.4), cameras, BOX, 0.1)


def test_looks_go_from_side_to_side():
    t = level.looks(rays(3), BOX)
    assert t.shape == (3, level.LOOKS)
    np.testing.assert_allclose(t[:, [0, -1]], [[2.0, 3.0]] * 3)
    np.testing.assert_allclose(np.diff(t), 1 / (level.LOOKS - 1), rtol=1e-6)
    inside = rays(3).replace(near=np.full(3, 2.5))
    np.testing.assert_allclose(level.looks(inside, BOX)[:, 0], 2.5)


def test_where_a_level_is_first_met():
    t = np.array([[0.0, 1, 2, 3]] * 3)
    density = np.array([[0.0, 1, 5, 0], [3, 0, 5, 0], [0, 1, 1, 2]])
    np.testing.assert_array_equal(level.first_hit(density, t, 2.0), [1.5, 0, np.inf])
