import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.lifting import over_rays
from nerf.ray import cameras
from nerf.ray.cameras import Camera
from nerf.ray.lenses import Lens
from nerf.ray.maths import matmul, norm, normalise
from nerf.ray.structs import Ray

STRONG = [-0.27, 0.11, 0.0005, -0.0003, -0.022, 0.1, 0.02, 0.01]
ROUND = [0.05, -0.01, 0.002, -0.0003, 0, 0, 0, 0]
POINTS = [(0.5, 0.5), (10.0, 7.5), (31.5, 23.5), (-3.0, 40.0)]


def rotation(rng):
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q))


def camera(pose=None, focal=(30.0, 30.0), centre=(16.0, 12.0), skew=0.0):
    pose = np.eye(4)[:3] if pose is None else pose
    lens = np.array([[focal[0], skew, centre[0]], [0, focal[1], centre[1]], [0, 0, 1]])
    fields = (pose, lens, np.int32(32), np.int32(24), 2.0, 6.0)
    return Camera(*(jnp.asarray(field, jnp.int32 if isinstance(field, np.int32) else jnp.float32) for field in fields))


def posed(seed=0, **options):
    rng = np.random.default_rng(seed)
    return camera(np.concatenate([rotation(rng), rng.normal(size=(3, 1))], axis=1), **options)


def test_intrinsics():
    expected = [[30, 0, 16], [0, 40, 12], [0, 0, 1]]
    np.testing.assert_array_equal(cameras.intrinsics(30.0, 40.0, 16.0, 12.0), expected)


@pytest.mark.parametrize('xy', POINTS)
@pytest.mark.parametrize('t', [0.5, 3.0, 100.0])
def test_project_undoes_cast_and_t_is_depth(xy, t):
    one = posed(focal=(30.0, 41.0), centre=(15.0, 13.0), skew=0.7)
    ray = cameras.cast(one, jnp.array(xy))
    found, depth = cameras.project(one, ray.origin + t * ray.direction)
    np.testing.assert_allclose(found, xy, atol=2e-4)
    np.testing.assert_allclose(depth, t, rtol=1e-5)


def test_cast_by_hand():
    # One pixel right of the centre and two above it, seen from (1, 2, 3) without rotation.
    one = camera(np.array([[1, 0, 0, 1], [0, 1, 0, 2], [0, 0, 1, 3]]))
    ray = cameras.cast(one, jnp.array([17.0, 10.0]))
    np.testing.assert_allclose(ray.origin, [1, 2, 3])
    np.testing.assert_allclose(ray.direction, [1 / 30, 2 / 30, -1], rtol=1e-6)
    np.testing.assert_allclose(ray.viewdir, np.array([1, 2, -30]) / np.sqrt(905), rtol=1e-6)
    assert (float(ray.near), float(ray.far)) == (2.0, 6.0)


def test_cast_turns_with_the_camera():
    turned = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 0]])  # looks along world -x
    ray = cameras.cast(camera(turned), jnp.array([17.0, 12.0]))
    np.testing.assert_allclose(ray.direction, [-1, 0, -1 / 30], atol=1e-6)


def test_the_principal_point_is_the_optical_axis():
    one = posed()
    ray = cameras.cast(one, jnp.array([16.0, 12.0]))
    np.testing.assert_allclose(ray.direction, -one.camera_to_world[:, 2], atol=1e-6)


def test_the_centre_of_an_even_image_lies_between_four_pixel_centres():
    one = camera()
    around = [cameras.cast(one, jnp.array(xy)).direction for xy in ((15.5, 11.5), (16.5, 11.5), (15.5, 12.5), (16.5, 12.5))]
    np.testing.assert_allclose(np.mean(around, axis=0), [0, 0, -1], atol=1e-6)
    np.testing.assert_allclose(around[0], [-0.5 / 30, 0.5 / 30, -1], rtol=1e-6)


@pytest.mark.parametrize('xy', POINTS)
def test_radius_is_that_of_a_disc_as_wide_as_a_square_pixel(xy):
    ray = cameras.cast(posed(focal=(30.0, 30.0)), jnp.array(xy))
    np.testing.assert_allclose(ray.radius, (1 / 30) * 2 / np.sqrt(12), rtol=1e-4)


def test_radius_is_the_geometric_mean_where_pixels_are_not_square():
    ray = cameras.cast(posed(focal=(20.0, 45.0)), jnp.array([3.5, 4.5]))
    np.testing.assert_allclose(ray.radius, np.sqrt((1 / 20) * (1 / 45)) * 2 / np.sqrt(12), rtol=1e-4)


def test_a_disc_of_this_radius_spreads_as_far_as_the_pixel():
    radius = float(cameras.cast(camera(), jnp.array([16.5, 12.5])).radius)
    # Standard deviation along one axis: width / sqrt(12) of a square, radius / 2 of a disc.
    np.testing.assert_allclose(radius / 2, (1 / 30) / np.sqrt(12), rtol=1e-5)


def test_project_of_a_point_behind_has_negative_depth():
    _, depth = cameras.project(camera(), jnp.array([0.1, 0.2, 3.0]))
    assert float(depth) == -3.0


def test_project_at_the_camera_itself_is_finite():
    one = camera()
    xy, depth = cameras.project(one, jnp.zeros(3))
    assert float(depth) == 0
    assert np.isfinite(xy).all()
    assert np.isfinite(jax.jacrev(lambda p: cameras.project(one, p)[0])(jnp.zeros(3))).all()


def test_distance_to_depth():
    one = posed()
    ray = cameras.cast(one, jnp.array([3.5, 20.5]))
    distance = 5.0 * jnp.linalg.norm(ray.direction)  # of the point at t = 5
    np.testing.assert_allclose(cameras.distance_to_depth(one, ray.viewdir, distance), 5.0, rtol=1e-5)
    assert float(distance) > 5.1


def test_gradients_with_respect_to_the_pose_are_finite():
    one = posed()

    def value(pose):
        ray = cameras.cast(one.replace(camera_to_world=pose), jnp.array([16.0, 12.0]))
        return jnp.sum(ray.viewdir) + ray.radius + jnp.sum(ray.origin)

    gradient = jax.grad(value)(one.camera_to_world)
    np.testing.assert_allclose(gradient[:, 3], 1, rtol=1e-6)
    assert np.isfinite(gradient).all()


def lens(coefficients=STRONG, is_fisheye=0):
    return Lens(jnp.array(coefficients, jnp.float32), jnp.int32(is_fisheye))


cast_one = jax.jit(cameras.cast)
cast_all = jax.jit(over_rays(cameras.cast, (None, 0)))


def pinhole(camera, xy):
    """A pinhole's ray, and nothing that other cameras need."""
    rotation, position = camera.camera_to_world[:, :3], camera.camera_to_world[:, 3]
    here = cameras.pixel_to_camera(camera.camera_to_pixel, xy)
    right = cameras.pixel_to_camera(camera.camera_to_pixel, xy + jnp.array([1.0, 0.0]))
    below = cameras.pixel_to_camera(camera.camera_to_pixel, xy + jnp.array([0.0, 1.0]))
    direction = matmul(rotation, here)
    viewdir = normalise(direction)
    radius = jnp.sqrt(norm(right - here) * norm(below - here)) * 2 / jnp.sqrt(12.0)
    return Ray(position, direction, viewdir, radius, camera.near, camera.far)


def test_a_pinhole_costs_no_more_than_before():
    one, xy = posed(), jnp.array([3.5, 20.5])
    assert str(jax.make_jaxpr(cameras.cast)(one, xy)) == str(jax.make_jaxpr(pinhole)(one, xy))
    jax.tree.map(np.testing.assert_array_equal, jax.jit(cameras.cast)(one, xy), jax.jit(pinhole)(one, xy))


def test_a_lens_without_distortion_is_a_pinhole_to_the_last_bit():
    one = posed(focal=(30.0, 41.0), skew=0.7)
    xys = jnp.asarray(np.random.default_rng(0).uniform(-5, 40, (100, 2)), jnp.float32)
    found, expected = cast_all(one.replace(lens=lens([0] * 8)), xys), cast_all(one, xys)
    for name in ('origin', 'direction', 'viewdir'):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_allclose(found.radius, expected.radius, rtol=2e-6)


def test_cast_of_a_lens_by_hand():
    # The lens shows at (0.1, 0.2), right and up of the axis, what a pinhole shows at (x, y).
    one = camera().replace(lens=lens([0.3, 0, 0.01, 0.02, 0, 0, 0, 0]))
    x, y, _ = np.asarray(cast_one(one, jnp.array([16 + 30 * 0.1, 12 - 30 * 0.2])).direction, np.float64) * [1, -1, -1]
    r2 = x**2 + y**2
    assert x * (1 + 0.3 * r2) + 2 * 0.01 * x * y + 0.02 * (r2 + 2 * x**2) == pytest.approx(0.1, abs=1e-6)
    assert y * (1 + 0.3 * r2) + 0.01 * (r2 + 2 * y**2) + 2 * 0.02 * x * y == pytest.approx(-0.2, abs=1e-6)


def test_cast_of_a_fisheye_by_hand():
    # Equidistant: 24 px to the right of the axis, with f = 15 px, is 1.6 rad to the right.
    ray = cast_one(camera(focal=(15.0, 15.0)).replace(lens=lens([0] * 8, 1)), jnp.array([40.0, 12.0]))
    np.testing.assert_allclose(ray.direction, [np.sin(1.6), 0, -np.cos(1.6)], atol=1e-6)
    np.testing.assert_allclose(ray.viewdir, ray.direction, rtol=1e-6)
    # To the next column 1/15 rad; to the next row less, by sin(1.6) / 1.6.
    expected = np.sqrt(1 / 15 * np.sin(1.6) / 1.6 / 15) * 2 / np.sqrt(12)
    np.testing.assert_allclose(ray.radius, expected, rtol=2e-3)


@pytest.mark.parametrize(('coefficients', 'is_fisheye'), [(STRONG, 0), (ROUND, 1)])
def test_project_undoes_cast_with_a_lens(coefficients, is_fisheye):
    focal = (20.0, 21.0) if is_fisheye else (34.0, 35.0)
    one = posed(focal=focal, centre=(15.0, 13.0), skew=0.3).replace(lens=lens(coefficients, is_fisheye))
    # A fisheye sees the last one 108 degrees off its axis.
    xys = np.array([(15.0, 13.0), (0.5, 0.5), (31.5, 23.5), (2.0, 24.0), (54.0, 13.0)][: 4 + is_fisheye], np.float32)
    rays = cast_all(one, xys)
    found, depth = jax.jit(over_rays(cameras.project, (None, 0)))(one, rays.origin + 3 * rays.direction)
    np.testing.assert_allclose(found, xys, atol=2e-4)
    cosines = rays.viewdir @ -one.camera_to_world[:, 2]
    np.testing.assert_allclose(depth, 3 * (cosines if is_fisheye else np.ones(4)), rtol=1e-5, atol=1e-5)
    assert (depth[-1] < 0) == bool(is_fisheye)


def test_radius_with_a_lens_is_that_of_the_neighbouring_rays():
    one = posed().replace(lens=lens())
    ends = [cast_one(one, jnp.array(xy)) for xy in ((20.5, 4.5), (21.5, 4.5), (20.5, 5.5))]
    here, right, below = (np.asarray(ray.direction, np.float64) for ray in ends)
    expected = np.sqrt(np.linalg.norm(right - here) * np.linalg.norm(below - here)) * 2 / np.sqrt(12)
    np.testing.assert_allclose(ends[0].radius, expected, rtol=1e-4)
    plain = cast_one(posed(), jnp.array([20.5, 4.5])).radius
    assert float(ends[0].radius) > 1.02 * float(plain)  # a barrel's pixels show more, away from the centre


def forward_facing(**options):
    """A camera turned by 0.2 rad to the left and a little off the origin, into NDC."""
    cos, sin = np.cos(0.2), np.sin(0.2)
    pose = np.array([[cos, 0, sin, 0.3], [0, 1, 0, -0.2], [-sin, 0, cos, 0.1]])
    return camera(pose, **options).replace(ndc=jnp.array([2 * 30 / 32, 2 * 30 / 24]), near=jnp.float32(0), far=jnp.float32(1))


@pytest.mark.parametrize('distortion', [None, lens()])
def test_cast_into_ndc(distortion):
    one = forward_facing().replace(lens=distortion)
    ray = cast_one(one, jnp.array([25.5, 6.5]))
    in_world = cast_one(one.replace(ndc=None), jnp.array([25.5, 6.5]))
    for depth in (1.0, 2.5, 40.0):  # along world -z
        point = in_world.origin + (depth + 0.1) / -in_world.direction[2] * in_world.direction
        expected = [*one.ndc * point[:2] / depth, 1 - 2 / depth]
        np.testing.assert_allclose(ray.origin + (1 - 1 / depth) * ray.direction, expected, atol=1e-5)
    np.testing.assert_array_equal(ray.viewdir, in_world.viewdir)
    assert (float(ray.near), float(ray.far)) == (0, 1)


def test_near_and_far_in_ndc_are_the_camera_s():
    ray = cast_one(forward_facing().replace(near=jnp.float32(0.1), far=jnp.float32(0.9)), jnp.array([25.5, 6.5]))
    np.testing.assert_allclose((ray.near, ray.far), (0.1, 0.9))


def test_radius_in_ndc_is_from_the_neighbours_on_the_near_plane():
    one = forward_facing(focal=(30.0, 24.0))
    here, right, below = (cast_one(one, jnp.array(xy)) for xy in ((25.5, 6.5), (26.5, 6.5), (25.5, 7.5)))
    a, b = (np.linalg.norm(np.asarray(other.origin - here.origin, np.float64)) for other in (right, below))
    np.testing.assert_allclose(here.radius, (a + b) / 2 * 2 / np.sqrt(12), rtol=1e-4)
    assert abs(a / b - 1) > 0.2
    # A camera at the origin that looks straight ahead sees pixels of 2 / width and 2 / height.
    straight = camera().replace(ndc=jnp.array([2 * 30 / 32, 2 * 30 / 24]))
    expected = (2 / 32 + 2 / 24) / 2 * 2 / np.sqrt(12)
    np.testing.assert_allclose(cast_one(straight, jnp.array([3.5, 4.5])).radius, expected, rtol=1e-5)


@pytest.mark.parametrize('t_ndc', [0.0, 0.4, 0.95])
def test_distance_in_ndc_is_the_world_s(t_ndc):
    one = forward_facing()
    ray = cast_one(one, jnp.array([25.5, 6.5]))
    found = cameras.world_distance(one, ray, t_ndc * jnp.linalg.norm(ray.direction))
    # z = -1 / (1 - t'), and the camera is at z = 0.1.
    point = one.camera_to_world[:, 3] + found * ray.viewdir
    np.testing.assert_allclose(point[2], -1 / (1 - t_ndc), rtol=1e-4)
    xy, depth = cameras.project(one, point)
    np.testing.assert_allclose(xy, [25.5, 6.5], atol=1e-3)
    np.testing.assert_allclose(cameras.distance_to_depth(one, ray.viewdir, found), depth, rtol=1e-4)


def test_distance_of_an_empty_ray_in_ndc_is_large_and_finite():
    one = forward_facing()
    ray = cast_one(one, jnp.array([25.5, 6.5]))
    assert 9e5 < float(cameras.world_distance(one, ray, jnp.linalg.norm(ray.direction))) < 2e6
    plain = one.replace(ndc=None)
    assert float(cameras.world_distance(plain, cast_one(plain, jnp.array([25.5, 6.5])), jnp.float32(3.0))) == 3
