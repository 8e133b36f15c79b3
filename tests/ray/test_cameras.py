import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.ray import cameras
from nerf.ray.cameras import Camera

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
