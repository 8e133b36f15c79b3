import dataclasses

import jax
import numpy as np
import pytest
from written import front_scene, turned

from nerf.data import formats, placement, procedural
from nerf.data.options import DataOptions
from nerf.data.poses import Frame
from nerf.data.scene import Scene, stack_cameras
from nerf.errors import UserError
from nerf.lifting import over_rays
from nerf.ray.cameras import cast

NONE = np.zeros((0, 3))
MOVED = Frame(np.eye(3), np.array([3.0, 4, 5]), 2.0)


def built_in():
    cameras = procedural.views(16)[2]
    return cameras, cameras.camera_to_world.astype(np.float64)


def front():
    cameras = front_scene().cameras
    return cameras, cameras.camera_to_world.astype(np.float64)


def test_objects_without_points_get_the_range_of_the_blender_scenes():
    cameras, poses = built_in()
    np.testing.assert_allclose(placement.depth_bounds(cameras, poses, NONE), [[2, 6]] * len(poses), rtol=1e-5)
    placed, *_ = placement.place(cameras, poses, NONE, None, DataOptions())
    np.testing.assert_allclose(placed.camera_to_world, poses, atol=1e-3)
    np.testing.assert_allclose([placed.near[3], placed.far[3]], [0.9 * 2, 1.1 * 6], rtol=1e-5)
    assert placed.ndc is None
    chosen, *_ = placement.place(cameras, poses, NONE, None, DataOptions(near=1.0, far=9.0))
    assert (chosen.near[3], chosen.far[3]) == (1, 9)


def test_depths_of_the_points_in_the_picture():
    """A camera in (0, 0, 10) that looks along -z: a point at height z is at depth 10 - z."""
    pose = np.concatenate([np.eye(3), [[0], [0], [10]]], axis=1)[None]
    cameras = stack_cameras(pose, np.array([[[10.0, 0, 8], [0, 10, 1], [0, 0, 1]]]), np.array([[16, 8]]), 0.0, 1.0)
    z = np.linspace(0, 8, 1001)
    seen = np.stack([0.79 * (10 - z), -0.69 * (10 - z), z], axis=1)  # near the right and the lower edge
    beside = [seen * by + [0, 0, 1.5] for by in ([0.5, 1.3, 1], [1.3, 0.5, 1], [-1.3, 0.5, 1], [0.5, -0.3, 1])]
    behind = np.tile([[0.0, 0.0, 10.5]], (50, 1))
    bounds = placement.depth_bounds(cameras, pose, np.concatenate([seen, *beside, behind]))
    np.testing.assert_allclose(bounds, [[2 + 0.001 * 8, 10 - 0.001 * 8]], rtol=1e-9)
    few = placement.depth_bounds(cameras, pose, seen[:9])
    assert not np.allclose(few[0, 1], 10 - 0.001 * 8, atol=0.1)  # by where the camera stands


def test_points_go_where_the_cameras_go():
    cameras, poses = built_in()
    rotation, points = turned(0.3, 0.2, 0.1), np.random.default_rng(0).normal(size=(500, 3)) * 0.4
    there = np.concatenate([rotation @ poses[:, :, :3], 5 * rotation @ poses[:, :, 3:] + [[1], [2], [3]]], axis=2)
    placed, after, _ = placement.place(cameras, there, 5 * points @ rotation.T + [1, 2, 3], None, DataOptions())
    for i in (0, 30):
        expected = (points - poses[i, :, 3]) @ poses[i, :, :3]
        seen = (after - placed.camera_to_world[i, :, 3]) @ placed.camera_to_world[i, :, :3]
        np.testing.assert_allclose(seen, expected, atol=1e-5)
    depths = -np.concatenate([(points - pose[:, 3]) @ pose[:, 2] for pose in poses])
    assert 0.9 * depths.min() < placed.near[0] < depths.min()
    assert depths.max() < placed.far[0] < 1.1 * depths.max()
    assert after.dtype == np.float32


def test_unbounded_cameras_lie_in_the_unit_cube_and_see_everything():
    cameras, poses = built_in()
    placed, *_ = placement.place(cameras, poses, NONE, None, DataOptions(scene_type='unbounded'))
    assert np.abs(placed.camera_to_world[:, :, 3]).max() == pytest.approx(1)
    assert placed.ndc is None


def test_rays_of_an_unbounded_scene_begin_before_its_points():
    cameras, poses = built_in()
    points = np.random.default_rng(0).uniform(-1, 1, (500, 3))
    options = DataOptions(scene_type='unbounded')
    placed, after, _ = placement.place(cameras, poses, points, None, options)
    depths = np.concatenate([(pose[:, 3] - after) @ pose[:, 2] for pose in placed.camera_to_world])
    assert 0.4 * depths.min() < placed.near[0] < 0.7 * depths.min()
    assert placed.far[0] > 10 * depths.max()
    # Wrong points right before one camera are no reason to begin there.
    wrong = poses[0, :, 3] - 0.01 * poses[0, :, 2] + np.random.default_rng(1).normal(0, 1e-3, (20, 3))
    again, *_ = placement.place(cameras, poses, np.concatenate([points, wrong]), None, options)
    assert again.near[0] == pytest.approx(placed.near[0], rel=0.05)
    asked, *_ = placement.place(cameras, poses, points, None, dataclasses.replace(options, near=0.2, far=1e6))
    assert (asked.near[0], asked.far[0]) == (np.float32(0.2), np.float32(1e6))


def test_left_where_they_are(caplog):
    cameras, poses = front()
    for kind in ('object', 'unbounded'):
        placed, *_ = placement.place(cameras, poses, NONE, None, DataOptions(scene_type=kind, normalise=False))
        np.testing.assert_array_equal(placed.camera_to_world, cameras.camera_to_world)
    assert caplog.records == []
    placed, *_ = placement.place(
        cameras, poses, NONE, np.tile([[2.0, 6]], (9, 1)), DataOptions(scene_type='forward_facing', normalise=False)
    )
    np.testing.assert_array_equal(placed.camera_to_world, cameras.camera_to_world)
    np.testing.assert_allclose(placed.ndc[0], [1.5, 2.0])


@pytest.mark.parametrize('kind', ['object', 'unbounded'])
def test_cameras_from_afar_keep_their_precision(kind, caplog):
    cameras, poses = built_in()
    away = np.array([441550.668, 5121941.02, 2344.12])
    there = np.concatenate([poses[:, :, :3], poses[:, :, 3:] + away[:, None]], axis=2)
    points = np.random.default_rng(0).normal(size=(50, 3))
    options = DataOptions(scene_type=kind, normalise=False)
    with caplog.at_level('WARNING', 'nerf'):
        placed, after, frame = placement.place(cameras, there, points + away, None, options)
    (record,) = caplog.records
    assert record.getMessage().startswith('cameras are at 441551, 5121941, 234')
    np.testing.assert_allclose(frame.inverse.poses(placed.camera_to_world.astype(np.float64)), there, atol=1e-6)
    np.testing.assert_allclose(frame.inverse.points(after.astype(np.float64)), points + away, atol=1e-6)
    assert (frame.scale, frame.rotation.tolist()) == (1, np.eye(3).tolist())


def test_forward_facing_rays_run_from_the_near_plane_to_infinity():
    cameras, poses = front()
    bounds = np.tile([[2.0, 50.0]], (9, 1))
    placed, *_ = placement.place(cameras, poses, NONE, bounds, DataOptions(scene_type='forward_facing'))
    rays = jax.jit(over_rays(cast))(placed, np.tile(np.array([[16.0, 0.0]], np.float32), (9, 1)))
    np.testing.assert_allclose(rays.origin[:, 2], -1, atol=1e-6)
    np.testing.assert_allclose(rays.direction[:, 2], 2, rtol=1e-6)
    for leaf in jax.tree.leaves(rays):
        assert np.isfinite(leaf).all()
    assert (rays.near.tolist(), rays.far.tolist()) == ([0] * 9, [1] * 9)


def test_cameras_that_do_not_look_one_way_are_no_forward_facing_scene():
    cameras, poses = built_in()
    with pytest.raises(UserError, match=r'forward_facing: camera \d+ has rays 1\d\d degrees off -z'):
        placement.place(cameras, poses, NONE, None, DataOptions(scene_type='forward_facing'))


@pytest.mark.parametrize('axis', [0, 1])
def test_the_corner_rays_decide(axis):
    """2 px before the principal point and 14 behind it at f = 10: rays 11.31 and 54.46 degrees off the optical axis.

    A camera turned about x by a positive angle looks up, away from its wide side; about y it looks left, too.
    """
    lens, size = np.diag([1e6, 1e6, 1.0]), np.array([2, 2])
    lens[1 - axis, 1 - axis], lens[1 - axis, 2], lens[axis, 2], size[1 - axis] = 10, 2, 1, 16
    scale = [2e6 / 2, 2e6 / 2]
    scale[1 - axis] = 20 / 16
    for angle, is_fine in ((73, True), (74, False), (-30, True), (-31, False)):
        pose = np.concatenate([turned(*np.roll([np.radians(angle), 0, 0], axis)), np.zeros((3, 1))], axis=1)[None]
        cameras = stack_cameras(pose, lens[None], size[None], 0.0, 1.0)
        if is_fine:
            np.testing.assert_allclose(placement.ndc_scales(cameras, pose), [scale])
        else:
            with pytest.raises(UserError, match='camera 0 has rays 85 degrees off'):
                placement.ndc_scales(cameras, pose)


def test_mistakes():
    cameras, poses = front()
    with pytest.raises(UserError, match=r"unknown scene_type 'room': expected one of forward_facing, object, unbounded"):
        placement.place(cameras, poses, NONE, None, DataOptions(scene_type='room'))
    with pytest.raises(UserError, match=r'a nearest depth of 0 found, expected a positive one'):
        placement.place(cameras, poses, NONE, np.tile([[0.0, 6]], (9, 1)), DataOptions(scene_type='forward_facing'))


OBJECT_FORMATS = ('blender', 'deepvoxels', 'multiscale_blender', 'procedural', 'tiny_nerf')


def test_which_formats_stand_as_objects_do():
    assert tuple(sorted(name for name, format in formats.FORMATS.items() if format.scene_type == 'object')) == OBJECT_FORMATS


@pytest.mark.parametrize('name', OBJECT_FORMATS)
def test_any_format_can_be_any_scene_type(name, monkeypatch):
    """`load` is given no near and far where these are no depths, and the cameras then stand as `place` has them."""
    whole = dataclasses.replace(front_scene(), points=np.ones((4, 3), np.float32), weights=np.arange(1, 10, dtype=np.float32))
    whole = dataclasses.replace(whole, frame=MOVED)
    asked = []

    def load(folder, options) -> Scene:
        asked.append((options.near, options.far))
        return whole

    monkeypatch.setitem(formats.FORMATS, name, dataclasses.replace(formats.FORMATS[name], load=load))
    monkeypatch.setattr(formats, 'resolve_source', lambda *args: (name, ''))
    options = DataOptions(near=0.5, far=9.0)
    assert formats.load_scene(name, None, '', options) is whole
    facing, around = (
        formats.load_scene(name, None, '', dataclasses.replace(options, scene_type=kind))
        for kind in ('forward_facing', 'unbounded')
    )
    assert asked == [(0.5, 9.0), (None, None), (None, None)]
    assert np.abs(around.cameras.camera_to_world[:, :, 3]).max() == pytest.approx(1)
    np.testing.assert_allclose(facing.cameras.camera_to_world[:, :, 3].mean(0), 0, atol=1e-6)
    distances = [np.linalg.norm(scene.cameras.camera_to_world[0, :, 3] - scene.points[0]) for scene in (whole, facing, around)]
    spans = [np.ptp(scene.cameras.camera_to_world[:, :, 3] @ [1, 1, 1]) for scene in (whole, facing, around)]
    assert distances[1] / distances[0] == pytest.approx(4 / 3 / 2, rel=1e-5)  # the nearest depth was 2
    assert spans[1] != spans[2]
    for scene in (facing, around):
        assert (scene.cameras.near[0], scene.cameras.far[0]) == (0.5, 9)
        np.testing.assert_array_equal(scene.weights, whole.weights)
        assert scene.pixels is whole.pixels
    for scene in (facing, around):  # what the format's frame was, and then that of the type
        back = scene.frame.inverse.poses(scene.cameras.camera_to_world.astype(np.float64))
        np.testing.assert_allclose(back, MOVED.inverse.poses(whole.cameras.camera_to_world.astype(np.float64)), atol=1e-5)
    assert facing.cameras.ndc.shape == (9, 2)
    assert around.cameras.ndc is None
