import numpy as np
import pytest
from written import front_scene, turned

from nerf.data import poses, procedural


def cameras(count=12, seed=0):
    """Poses all over the place, their axes and positions random."""
    rng = np.random.default_rng(seed)
    rotations = np.stack([turned(*angles) for angles in rng.uniform(-3, 3, (count, 3))])
    return np.concatenate([rotations, rng.normal(2, [1, 3, 5], (count, 3))[:, :, None]], axis=2)


def built_in():
    return np.concatenate([procedural.poses(split) for split in ('train', 'val', 'test')])


def moved(found, rotation, scale, shift):
    """The same cameras in another world: x' = scale R x + shift."""
    position = scale * found[:, :, 3] @ rotation.T + shift
    return np.concatenate([rotation @ found[:, :, :3], position[:, :, None]], axis=2)


FRAMES = {
    'object': poses.object_frame,
    'forward_facing': lambda found: poses.forward_facing_frame(found, 5.0),
    'unbounded': poses.unbounded_frame,
}


@pytest.mark.parametrize('kind', FRAMES)
def test_frames_are_similarities(kind):
    found = cameras()
    frame = FRAMES[kind](found)
    np.testing.assert_allclose(frame.rotation @ frame.rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(frame.rotation) > 0
    after = frame.poses(found)
    # What a camera sees of a point, in its own axes, is the same but for the scale.
    points = np.random.default_rng(1).normal(size=(7, 3))
    local = np.einsum('kji,knj->kni', found[:, :, :3], points - found[:, None, :, 3])
    seen = np.einsum('kji,knj->kni', after[:, :, :3], frame.points(points) - after[:, None, :, 3])
    np.testing.assert_allclose(seen, frame.scale * local, atol=1e-10)


@pytest.mark.parametrize('kind', FRAMES)
def test_frames_do_not_depend_on_the_files_world(kind):
    found = {'forward_facing': front_scene().cameras.camera_to_world.astype(float), 'object': built_in()}.get(kind, cameras())
    there = moved(found, turned(0.2, -0.3, 0.4), 7.0, [1, 2, 3])
    first = FRAMES[kind](found).poses(found)
    again = (poses.forward_facing_frame(there, 35.0) if kind == 'forward_facing' else FRAMES[kind](there)).poses(there)
    if kind == 'unbounded':  # x and y may both be turned round
        turn = np.sign(first[0, 0, 3] * again[0, 0, 3])
        again = np.diag([turn, turn, 1]) @ again
    if kind == 'object':  # which way x points is the file's
        np.testing.assert_allclose(again[:, 2], first[:, 2], atol=1e-9)
        np.testing.assert_allclose(np.linalg.norm(again[:, :, 3], axis=1), 4, atol=1e-9)
    else:
        np.testing.assert_allclose(again, first, atol=1e-9)


@pytest.mark.parametrize('gap', [0, 180, 300])
def test_up_of_an_unbounded_scene_is_the_cameras_own(gap):
    """Also where they go round in part, and the principal axis of the least variance is the way in which they look."""
    angles = np.radians(np.linspace(0, 360 - gap, 30, endpoint=False))
    found = np.stack([look_at(np.array([4 * np.cos(a), 4 * np.sin(a), 0.5 + 0.4 * np.sin(5 * a)])) for a in angles])
    there = moved(found, turned(0.7, -0.4, 1.1), 3.0, [1, 2, 3])
    frame = poses.unbounded_frame(there)
    up = frame.rotation @ turned(0.7, -0.4, 1.1) @ [0, 0, 1]
    assert up[2] > np.cos(np.radians(2))
    after = frame.poses(there)
    np.testing.assert_allclose(after[:, :, 3].mean(0), 0, atol=1e-9)
    assert np.abs(after[:, :, 3]).max() == pytest.approx(1)
    assert np.ptp(after[:, 0, 3]) > 0.99 * np.ptp(after[:, 1, 3])


def look_at(position):
    backward = position / np.linalg.norm(position)
    return np.concatenate([poses.axes_by(backward, np.array([0.0, 0, 1])).T, position[:, None]], axis=1)


def test_object_frame_leaves_the_built_in_scene_where_it_is():
    found = built_in()
    frame = poses.object_frame(found)
    np.testing.assert_allclose(frame.rotation, np.eye(3), atol=2e-4)
    np.testing.assert_allclose(frame.origin, 0, atol=1e-9)
    assert frame.scale == pytest.approx(1)


def test_up_is_where_the_cameras_heads_are_also_seen_from_one_side():
    found = built_in()
    side = found[(found[:, 0, 3] > 1.5) & (found[:, 2, 3] > 2)]
    mean = side[:, :, 1].mean(0)
    assert mean[2] / np.linalg.norm(mean) < 0.8  # these all look down, and their mean up leans by more than 35 degrees
    assert poses.up_direction(side)[2] > np.cos(np.radians(3))
    front = front_scene().cameras.camera_to_world.astype(float)
    mean = front[:, :, 1].mean(0)
    assert poses.up_direction(front) @ mean > 0.999 * np.linalg.norm(mean)
    rolled = front @ np.diag([-1, -1, 1, 1])
    np.testing.assert_allclose(poses.up_direction(rolled), -poses.up_direction(front), atol=1e-12)


def test_forward_facing_frame_puts_the_nearest_depth_at_four_thirds():
    found = front_scene().cameras.camera_to_world.astype(float)
    frame = poses.forward_facing_frame(found, 12.0)
    assert frame.scale == pytest.approx(1 / (0.75 * 12))
    after = frame.poses(found)
    np.testing.assert_allclose(after[:, :, 3].mean(0), 0, atol=1e-12)
    backward = after[:, :, 2].mean(0)
    np.testing.assert_allclose(backward / np.linalg.norm(backward), [0, 0, 1], atol=1e-12)
    assert abs(after[:, 0, 1].mean()) < 1e-12  # the mean up has no part to the right
    assert after[:, 1, 1].mean() > 0.9


def test_axes_by_looks_straight_up_and_down():
    for backward in np.concatenate([np.eye(3), -np.eye(3)]):
        for up in (backward, -backward, np.zeros(3), np.array([0.6, 0.8, 0.0])):
            axes = poses.axes_by(backward, up)
            np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
            assert np.linalg.det(axes) == pytest.approx(1)
            np.testing.assert_array_equal(axes[2], backward)
            assert axes[1] @ up >= -1e-12


def test_focus_point_of_cameras_round_a_point():
    found = moved(built_in(), turned(0.5, 0.1, -2), 3.0, np.array([4.0, 5, 6]))
    np.testing.assert_allclose(poses.focus_point(found), [4, 5, 6], atol=1e-10)


@pytest.mark.parametrize('kind', FRAMES)
def test_frames_lead_back(kind):
    found = cameras()
    frame = FRAMES[kind](found)
    np.testing.assert_allclose(frame.inverse.poses(frame.poses(found)), found, atol=1e-12)
    np.testing.assert_allclose(frame.inverse.inverse.poses(found), frame.poses(found), atol=1e-12)
    normals = found[:, :, 0]
    np.testing.assert_allclose(frame.directions(normals), frame.poses(found)[:, :, 0], atol=1e-12)


def test_one_frame_after_another():
    found = cameras()
    first, second = poses.object_frame(found), poses.Frame(turned(0.4, 0.2, -0.9), np.array([3.0, -1, 2]), 0.3)
    np.testing.assert_allclose(second.after(first).poses(found), second.poses(first.poses(found)), atol=1e-12)


@pytest.mark.parametrize(('away', 'is_far'), [(0, False), (9_000, False), (11_000, True), (1e6, True)])
def test_only_from_afar_cameras_are_moved(away, is_far):
    found = cameras()
    found[:, :, 3] /= np.ptp(found[:, :, 3], axis=0).max()
    found[:, 1, 3] += away
    frame = poses.shift_from_afar(found)
    assert (frame is poses.AS_IT_IS) is not is_far
    assert np.abs(frame.poses(found)[:, :, 3].mean(0)).max() < 1e-9 or not is_far
    alone = poses.shift_from_afar(found[:1])  # no spread: the unit counts
    assert (alone is poses.AS_IT_IS) is not is_far


@pytest.mark.parametrize('frame', [poses.object_frame, poses.unbounded_frame])
@pytest.mark.parametrize('place', [0.3, 4e6])
def test_places_that_differ_by_rounding_alone_are_not_enlarged(frame, place):
    found = cameras()
    found[:, :, 3] = place * (1 + 1e-9 * np.random.default_rng(1).normal(size=(12, 3)))
    found[:, :, :3] = np.stack([turned(*angles) for angles in np.random.default_rng(2).uniform(-0.1, 0.1, (12, 3))])
    assert frame(found).scale == 1
    found[:, :, 3] += 1e-4 * max(1, place / 1e4) * np.random.default_rng(1).normal(size=(12, 3))
    assert frame(found).scale > 10 / max(1, place / 1e4)
