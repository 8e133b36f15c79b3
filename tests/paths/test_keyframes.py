import itertools

import numpy as np
import pytest

from nerf.paths.keyframes import catmull_rom, nearest_neighbour_order, quaternions, rotations, smooth_path, turning_scale

LENS = np.array([50.0, 50, 20, 15])


def about(axis, angle):
    """The rotation by `angle` about a unit axis: Rodrigues' formula."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def pose(position, axis=(0, 0, 1), angle=0.0):
    return np.concatenate([about(axis, angle), np.array(position, np.float64)[:, None]], axis=1)


def path(poses, num_frames, **options):
    return smooth_path(np.stack(poses), np.tile(LENS, (len(poses), 1)), num_frames, **options)[0]


@pytest.mark.parametrize('angle', [0.0, 1e-5, 0.7, 2.0, np.pi - 1e-6, np.pi, 4.0])
@pytest.mark.parametrize('axis', [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.6, 0, -0.8)])
def test_quaternions_and_back(axis, angle):
    rotation = about(axis, angle)
    quaternion = quaternions(rotation[None])[0]
    expected = np.append(np.sin(angle / 2) * np.array(axis), np.cos(angle / 2))
    assert abs(quaternion @ expected) == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(rotations(3 * quaternion[None])[0], rotation, atol=1e-9)


def test_a_straight_way_is_straight_and_at_constant_speed():
    poses = [pose((0, 0, 0)), pose((1, 0, 0)), pose((5, 0, 0)), pose((6, 0, 0))]
    found = path(poses, 13)
    np.testing.assert_allclose(found[:, 0, 3], np.linspace(0, 6, 13), atol=1e-9)
    np.testing.assert_allclose(found[:, 1:, 3], 0, atol=1e-12)
    np.testing.assert_allclose(found[:, :, :3], np.tile(np.eye(3), (13, 1, 1)), atol=1e-12)


def test_turning_on_the_spot_is_at_constant_speed_the_short_way():
    """From 350 degrees through 10 and 50 to 200, about a slanted axis."""
    axis = (0.6, 0, -0.8)
    found = path([pose((1, 2, 3), axis, np.radians(d)) for d in (350, 10, 50, 200)], 43)
    np.testing.assert_allclose(found[:, :, 3], np.tile([1, 2, 3], (43, 1)))
    expected = [about(axis, np.radians(d)) for d in np.linspace(-10, 200, 43)]
    np.testing.assert_allclose(found[:, :, :3], expected, atol=0.01)
    np.testing.assert_allclose(found[[0, -1], :, :3], [expected[0], expected[-1]], atol=1e-9)


def test_all_poses_are_met_and_a_closed_path_returns():
    poses = [pose((0, 0, 0)), pose((1, 0, 0.5), angle=0.5), pose((1.2, 1, 0), angle=2.0), pose((0, 0.7, 0), angle=3.0)]
    for is_closed in (False, True):
        found = path(poses, 2000, is_closed=is_closed)
        for each in poses:
            assert np.abs(found - each).max(axis=(1, 2)).min() < 3e-3
        np.testing.assert_allclose(found[0], poses[0], atol=1e-9)
        around = np.concatenate([found, found[:1]]) if is_closed else found
        moves = np.diff(around, axis=0)
        scale = turning_scale(np.stack(poses))
        turned = np.linalg.norm(moves[:, :, :3], axis=(1, 2)) / np.sqrt(2)
        speed = np.hypot(np.linalg.norm(moves[:, :, 3], axis=1), scale * turned)
        np.testing.assert_allclose(speed, np.median(speed), rtol=0.02)
        # Smooth in velocity: directions of neighbouring steps differ little, also where the path closes.
        ahead = moves[:, :, 3] / np.linalg.norm(moves[:, :, 3], axis=1, keepdims=True)
        assert np.sum(ahead[1:] * ahead[:-1], axis=1).min() > 0.99
        if is_closed:
            assert ahead[0] @ ahead[-1] > 0.99
    np.testing.assert_allclose(path(poses, 5)[-1], poses[-1], atol=1e-9)


def test_the_spline_is_the_centripetal_one():
    """Against its definition by recursion over knots, for uneven points."""
    points = np.concatenate([np.array([[0.0, 0], [1, 0], [1, 0.1], [4, 2], [4, 3]]), np.zeros((5, 9))], axis=1)
    knots = np.concatenate([[0], np.cumsum([np.linalg.norm(b - a) ** 0.5 for a, b in itertools.pairwise(points)])])

    def neville(first, last, t):
        if first == last:
            return points[first]
        low, high = (first, last) if last - first < 3 else (first + 1, last - 1)
        share = (t - knots[low]) / (knots[high] - knots[low])
        return (1 - share) * neville(first, last - 1, t) + share * neville(first + 1, last, t)

    expected = [
        neville(i, i + 3, knots[i + 1] + share * (knots[i + 2] - knots[i + 1]))
        for i in (0, 1)
        for share in (0, 0.25, 0.5, 0.75)
    ]
    np.testing.assert_allclose(catmull_rom(points, 4), [*expected, points[3]], atol=1e-12)


def test_lenses_change_along_the_way():
    poses = np.stack([pose((0, 0, 0)), pose((1, 0, 0)), pose((2, 0, 0))])
    lenses = np.array([[40.0, 41, 20, 15], [50, 51, 20, 16], [60, 61, 20, 17]])
    found = smooth_path(poses, lenses, 5)[1]
    np.testing.assert_allclose(found, [[40 + 5 * i, 41 + 5 * i, 20, 15 + 0.5 * i] for i in range(5)], atol=1e-9)


def test_repeated_poses_and_a_single_one_are_no_trouble():
    a, b = pose((0, 0, 0)), pose((2, 0, 0), angle=1.0)
    np.testing.assert_allclose(path([a, a, b, b, b], 7), path([a, b], 7), atol=1e-9)
    np.testing.assert_allclose(path([b], 3), np.tile(b, (3, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(path([b, b], 3, is_closed=True), np.tile(b, (3, 1, 1)), atol=1e-12)
    there_and_back = path([a, b], 8, is_closed=True)
    np.testing.assert_allclose(there_and_back[1:4], there_and_back[:4:-1], atol=1e-6)
    np.testing.assert_allclose(there_and_back[4], b, atol=1e-6)


def test_a_closed_path_turns_on_where_it_closes():
    """Three poses, a third of a turn apart on a circle: a whole turn."""
    poses = [pose((np.cos(a), np.sin(a), 0), angle=a) for a in (0, 2 * np.pi / 3, 4 * np.pi / 3)]
    found = path(poses, 36, is_closed=True)
    angles = np.unwrap(np.arctan2(found[:, 1, 0], found[:, 0, 0]))
    np.testing.assert_allclose(angles, np.radians(10 * np.arange(36)), atol=0.05)
    np.testing.assert_allclose(path([*poses, poses[0]], 36, is_closed=True), found, atol=1e-9)


def test_smoothing_evens_out_a_shaking_hand_and_keeps_the_ends():
    rng = np.random.default_rng(0)
    shaken = [pose((0.1 * i, *rng.normal(0, 0.02, 2)), angle=0.03 * i) for i in range(60)]
    rough, smooth = path(shaken, 30), path(shaken, 30, smoothing=1.5)
    np.testing.assert_allclose(smooth[[0, -1]], [shaken[0], shaken[-1]], atol=1e-6)

    def shaking(frames):
        return np.abs(np.diff(frames[:, 1:, 3], n=2, axis=0)).mean()

    assert shaking(smooth) < 0.35 * shaking(rough)
    assert np.abs(smooth[:, 1:, 3]).max() < 0.05


def test_turning_counts_as_much_as_moving():
    poses = [pose((0, 0, 0)), pose((3, 0, 0), angle=0.5), pose((3, 4, 0), angle=2.0)]
    assert turning_scale(np.stack(poses)) == pytest.approx(7 / 2.0)


def test_a_tour_keeps_an_order_that_goes_along_and_mends_one_that_jumps():
    along = np.stack([pose((np.cos(a), np.sin(a), 0), angle=a) for a in np.linspace(0, 5, 30)])
    np.testing.assert_array_equal(nearest_neighbour_order(along), np.arange(30))
    mixed = np.concatenate([[0], 1 + np.random.default_rng(1).permutation(29)])
    np.testing.assert_array_equal(mixed[nearest_neighbour_order(along[mixed])], np.arange(30))


def test_poses_are_passed_at_their_times():
    poses = [pose((0, 0, 0)), pose((1, 0, 0)), pose((5, 0, 0)), pose((6, 0, 0))]
    found = path(poses, 101, times=np.array([0.0, 4.0, 5.0, 10.0]))[:, 0, 3]
    np.testing.assert_allclose(found[[0, 40, 50, 100]], [0, 1, 5, 6], atol=1e-3)
    steps = np.diff(found)
    assert (steps >= 0).all()
    assert np.abs(np.diff(steps)).max() < 0.4 * steps.max()  # the speed does not jump
    even = path(poses, 13, times=np.array([0.0, 1.0, 5.0, 6.0]))
    np.testing.assert_allclose(even, path(poses, 13), atol=1e-3)


def test_a_repeated_pose_is_a_pause():
    poses = [pose((0, 0, 0)), pose((1, 0, 0)), pose((1, 0, 0)), pose((1, 0, 0)), pose((2, 0, 0))]
    found = path(poses, 41, times=np.array([0.0, 1.0, 2.0, 3.0, 4.0]))[:, 0, 3]
    np.testing.assert_allclose(found[10:31], 1, atol=1e-3)
    assert 0 < found[5] < 1 < found[35] < found[40] == pytest.approx(2)
    still = path([poses[0]] * 3, 5, times=np.array([0.0, 1.0, 2.0]))
    np.testing.assert_allclose(still, np.tile(poses[0], (5, 1, 1)), atol=1e-12)
