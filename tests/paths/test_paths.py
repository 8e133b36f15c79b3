import dataclasses
import json
import re

import numpy as np
import pytest
from written import turned

from nerf import paths
from nerf.data import procedural
from nerf.data.poses import Frame, focus_point
from nerf.data.scene import Scene, camera_arrays, stack_cameras
from nerf.errors import UserError
from nerf.paths import PathOptions, make_path
from nerf.paths.cameras import training
from nerf.paths.files import save_path_file
from nerf.paths.orbits import covered_arc, focus_depth, look_at, scene_focus
from nerf.ray.lenses import Lens

Z, Y = np.array([0.0, 0, 1]), np.array([0.0, 1, 0])


def scene_of(poses, near=2.0, far=6.0, size=(40, 30), ndc=None, split=None):
    count = len(poses)
    lens = np.array([[50.0, 0, size[0] / 2], [0, 50, size[1] / 2], [0, 0, 1]])
    cameras = stack_cameras(poses, np.tile(lens, (count, 1, 1)), np.full((count, 2), size), near, far)
    if ndc is not None:
        cameras = cameras.replace(ndc=np.tile(np.float32(ndc), (count, 1)))
    split = split or ('train',) * count
    return Scene(tuple(f'{each}_im_{i}' for i, each in enumerate(split)), split, np.zeros((0, 4), np.uint8), cameras)


def ring(count=40, centre=(0.2, -0.1, -0.4), radii=(1.0, 0.7), arc=360.0, start=0.0, noise=0.0):
    """Cameras on an ellipse around `centre`, 0.5 above it, that look at it; `arc` degrees of it."""
    rng = np.random.default_rng(0)
    angles = np.radians(start + arc * np.arange(count) / (count if arc == 360 else count - 1))
    around = np.stack([radii[0] * np.cos(angles), radii[1] * np.sin(angles), np.full(count, 0.5)], axis=1)
    around += noise * rng.normal(size=around.shape)
    return np.stack([look_at(centre + offset, np.array(centre), Z) for offset in around])


def grid(rows=4, columns=5):
    """Forward-facing photos: a grid in the plane z = 0, nearly parallel, looking along -z with y up."""
    rng = np.random.default_rng(1)
    places = np.stack(
        [*np.meshgrid(np.linspace(-0.4, 0.4, columns), np.linspace(-0.2, 0.2, rows)), np.zeros((rows, columns))], 2
    )
    places = places.reshape(-1, 3) + 0.02 * rng.normal(size=(rows * columns, 3))
    return np.stack([look_at(p, p + np.array([*rng.normal(0, 0.03, 2), -1]), Y) for p in places - places.mean(0)])


def built_in():
    names, split, cameras = procedural.views(16)
    return Scene(names, split, np.zeros((0, 4), np.uint8), cameras)


SCENES = {
    'built_in': lambda: (built_in(), 'object'),
    'front': lambda: (scene_of(grid(), 0.0, 1.0, ndc=(2.5, 3.3)), 'forward_facing'),
    'around': lambda: (scene_of(ring(noise=0.03), 0.2, 1e6), 'unbounded'),
    'half_around': lambda: (scene_of(ring(arc=150, radii=(1, 1), noise=0.02), 0.2, 1e6), 'unbounded'),
}
CLOSED = ('spherical', 'spiral', 'ellipse')


def steps(path, is_closed):
    """How far the position (world) and the rotation (radians) move from frame to frame."""
    poses = path.camera_to_world.astype(np.float64)
    moves = np.diff(np.concatenate([poses, poses[:1]]) if is_closed else poses, axis=0)
    return np.linalg.norm(moves[:, :, 3], axis=1), np.linalg.norm(moves[:, :, :3], axis=(1, 2)) / np.sqrt(2)


def in_picture(path, point):
    """Where a point appears, [n, 2], in half pictures from the middle; infinitely far off if behind."""
    poses = path.camera_to_world.astype(np.float64)
    local = np.einsum('nji,nj->ni', poses[:, :, :3], point - poses[:, :, 3]) * [1, -1, -1]
    xy = np.einsum('nij,nj->ni', path.camera_to_pixel, local)
    size = np.stack([path.width, path.height], axis=1)
    return np.where(local[:, 2:] > 0, np.abs(xy[:, :2] / xy[:, 2:] / size - 0.5) * 2, np.inf)


@pytest.mark.parametrize(
    ('scene_name', 'name'),
    [(scene, name) for scene in SCENES for name in paths.PATHS if name != 'file']
    + [('built_in', None), ('front', None), ('around', None)],
)
def test_no_path_jumps_and_orbits_keep_the_subject_in_the_picture(scene_name, name):
    scene, scene_type = SCENES[scene_name]()
    if name == 'spiral' and scene_name in ('built_in', 'around'):
        with pytest.raises(UserError, match='look all ways, expected one; use the path ellipse'):
            make_path(name, scene, scene_type, PathOptions())
        return
    keyframes = tuple(scene.stem(i) for i in (0, 3, 7, 11, 15, 2)) if name == 'keyframes' else ()
    path = make_path(name, scene, scene_type, PathOptions(num_frames=90, keyframes=keyframes))
    assert path.camera_to_world.shape == (90, 3, 4)
    is_orbit = name is None or name in CLOSED
    moved, turned = steps(path, is_closed=is_orbit)
    assert np.median(moved) > 1e-3
    assert moved.max() < 3 * np.median(moved)
    assert turned.max() <= 3 * np.median(turned)  # a path may keep its direction
    rotations = path.camera_to_world[:, :, :3].astype(np.float64)
    np.testing.assert_allclose(np.swapaxes(rotations, 1, 2) @ rotations, np.tile(np.eye(3), (90, 1, 1)), atol=1e-6)
    assert (np.linalg.det(rotations) > 0).all()
    if is_orbit:
        assert in_picture(path, scene_focus(training(scene))).max() < 0.2


@pytest.mark.parametrize(('scene_name', 'name'), [('built_in', 'spherical'), ('front', 'spiral'), ('around', 'ellipse')])
def test_the_scene_type_chooses_the_path(scene_name, name):
    scene, scene_type = SCENES[scene_name]()
    chosen, named = (make_path(each, scene, scene_type, PathOptions(num_frames=7)) for each in (None, name))
    np.testing.assert_array_equal(chosen.camera_to_world, named.camera_to_world)


def test_cameras_that_look_outwards_are_followed():
    poses = ring()
    poses[:, :, [0, 2]] *= -1
    scene = scene_of(poses, 0.2, 1e6)
    assert scene_focus(scene.cameras) is None
    path = make_path(None, scene, 'unbounded', PathOptions())
    np.testing.assert_allclose(path.camera_to_world, poses, atol=1e-6)
    for name in ('ellipse', 'spherical'):
        with pytest.raises(UserError, match='look at nothing in common'):
            make_path(name, scene, 'unbounded', PathOptions())


def test_path_cameras_are_pinholes_with_the_range_and_median_lens_of_the_training_cameras():
    split = ('train',) * 20 + ('test',) * 20
    scene = scene_of(ring(), ndc=(2.5, 3.3), split=split)
    cameras = scene.cameras
    lenses = cameras.camera_to_pixel.copy()
    lenses[:20, 0, 0] = np.linspace(40, 60, 20)
    lenses[:20, 1, 2] += 1
    lenses[20:] = 7
    cameras = cameras.replace(
        camera_to_pixel=lenses,
        lens=Lens(np.full((40, 8), 0.01, np.float32), np.zeros(40, np.int32)),
        near=np.linspace(0.1, 0.2, 40, dtype=np.float32),
        far=np.linspace(1, 2, 40, dtype=np.float32),
    )
    path = make_path('train', dataclasses.replace(scene, cameras=cameras), 'unbounded', PathOptions(num_frames=5))
    orbit = make_path('ellipse', dataclasses.replace(scene, cameras=cameras.replace(ndc=None)), 'unbounded', PathOptions())
    assert path.lens is None
    np.testing.assert_array_equal(path.ndc, np.tile(np.float32([2.5, 3.3]), (5, 1)))
    assert (path.near[3], path.far[3]) == (np.float32(0.1), cameras.far[19])
    assert (orbit.width[3], orbit.height[3]) == (40, 30)
    np.testing.assert_allclose(orbit.camera_to_pixel[3], [[50, 0, 20], [0, 50, 16], [0, 0, 1]], rtol=1e-6)
    np.testing.assert_allclose(path.camera_to_pixel[:, 0, 0], np.linspace(40, 60, 5), atol=1.0)


@pytest.mark.parametrize(('width', 'factor', 'size'), [(80, 1, (80, 60)), (None, 2, (20, 15)), (10, 1, (10, 8))])
def test_frames_of_another_size_show_the_same(width, factor, size):
    scene, scene_type = SCENES['around']()
    path = make_path(None, scene, scene_type, PathOptions(num_frames=3, width=width, factor=factor))
    assert (path.width[2], path.height[2]) == size
    lens = path.camera_to_pixel[2]
    np.testing.assert_allclose(
        lens[[0, 1, 0, 1], [0, 1, 2, 2]], [50 * size[0] / 40, 50 * size[1] / 30, size[0] / 2, size[1] / 2]
    )


def test_pictures_of_other_sizes_count_by_what_they_show():
    """One photo of three at half the size, one on its side: the size is that of the second."""
    poses, lens = ring(3), np.tile(np.diag([50.0, 50, 1]), (3, 1, 1))
    sizes = np.array([[20, 15], [40, 30], [30, 40]])
    lens[0, :2] /= 2
    lens[:, :2, 2] = sizes / 2
    scene = scene_of(poses)
    scene = dataclasses.replace(scene, cameras=stack_cameras(poses, lens, sizes, 2.0, 6.0))
    path = make_path('train', scene, 'object', PathOptions())
    assert list(zip(path.width, path.height, strict=True)) == [(40, 30)] * 3
    np.testing.assert_allclose(path.camera_to_pixel, np.tile([[50, 0, 20], [0, 50, 15], [0, 0, 1]], (3, 1, 1)), rtol=1e-6)


def test_look_at_is_a_rotation_that_looks_there_with_up_upwards():
    pose = look_at(np.array([3.0, -2, 1]), np.array([0.0, 1, 0]), Z)
    np.testing.assert_allclose(pose[:, :3].T @ pose[:, :3], np.eye(3), atol=1e-12)
    assert np.linalg.det(pose[:, :3]) == pytest.approx(1)
    np.testing.assert_allclose(-pose[:, 2], np.array([-3.0, 3, -1]) / np.sqrt(19), atol=1e-12)
    np.testing.assert_allclose(pose[:, 3], [3, -2, 1])
    assert pose[2, 1] > 0  # the camera's up has a positive world z
    assert pose[2, 0] == pytest.approx(0)  # and its right is level


def test_spherical_goes_once_around_at_the_mean_distance():
    centre = np.array([0.5, -0.3, 0.2])
    path = paths.spherical(scene_of(ring(12, centre, (4.0, 4.0))).cameras, 12, elevation=30)
    positions, distance = path.camera_to_world[:, :, 3] - centre, np.hypot(4, 0.5)
    np.testing.assert_allclose(positions[:, 2], distance / 2, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(positions, axis=1), distance, atol=1e-5)
    np.testing.assert_allclose(np.diff(np.unwrap(np.arctan2(positions[:, 1], positions[:, 0]))), np.pi / 6, atol=1e-5)
    np.testing.assert_allclose(path.camera_to_world[:, :, 2], positions / distance, atol=1e-5)
    low = paths.spherical(scene_of(ring(12, centre, (4.0, 4.0))).cameras, 12)
    np.testing.assert_allclose(low.camera_to_world[:, 2, 3] - centre[2], 0.5, atol=1e-5)  # the cameras' own elevation


def test_spherical_stays_where_cameras_have_been():
    """150 degrees, from 40 to 190, of which 19 of 20 cameras cover 142."""
    scene = scene_of(ring(20, radii=(1.0, 1.0), arc=150, start=40))
    cameras = scene.cameras
    path = paths.spherical(cameras, 80)
    offsets = path.camera_to_world[:, :, 3] - [0.2, -0.1, -0.4]
    degrees = np.degrees(np.unwrap(np.arctan2(offsets[:, 1], offsets[:, 0])))
    length = 150 * 18 / 19
    np.testing.assert_allclose(np.ptp(degrees), length, atol=1e-3)
    assert degrees.min() > 40 - 1e-3
    assert degrees.max() < 190 + 1e-3
    np.testing.assert_allclose(degrees[:41], degrees[40::-1], atol=1e-3)  # to one end and back
    ellipse = make_path('ellipse', scene, 'unbounded', PathOptions(num_frames=80))
    np.testing.assert_array_equal(ellipse.camera_to_world, path.camera_to_world)


@pytest.mark.parametrize(
    ('degrees', 'middle', 'length'), [([170, 180, 200], 185, 30), ([350, 0, 20], 5, 30), ([0, 120, 240], None, 240)]
)
def test_the_covered_arc_is_the_shortest(degrees, middle, length):
    angles = np.radians(degrees)
    offsets = np.stack([np.cos(angles), np.sin(angles), np.ones(3)], axis=1)
    offsets = np.append(offsets, [[0.01, -0.01, 5.0]], axis=0)  # straight above
    found = covered_arc(offsets)
    assert np.degrees(found[1]) == pytest.approx(length)
    assert middle is None or np.cos(found[0] - np.radians(middle)) == pytest.approx(1)


def test_one_stray_camera_of_many_does_not_make_a_ring():
    offsets = np.concatenate([[[-1.0, 0, 0]], [[np.cos(a), np.sin(a), 0] for a in np.linspace(-0.5, 0.5, 40)]])
    assert covered_arc(offsets)[1] < 1.01


def test_orbits_are_upright_whatever_the_world_is():
    """The same scene turned by 90 degrees: y up instead of z."""
    turn = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    poses = ring(noise=0.03)
    for function in (paths.spherical, paths.ellipse):
        path = function(scene_of(turn @ poses).cameras, 12)
        np.testing.assert_allclose(path.camera_to_world[:, 1, 0], 0, atol=0.02)  # right axes are level
        assert path.camera_to_world[:, 1, 1].min() > 0.5
        assert np.ptp(path.camera_to_world[:, 1, 3]) < 0.06  # at one height


def test_spiral_is_that_of_llff():
    poses = grid()
    cameras = scene_of(poses, 0.0, 1.0, ndc=(2.5, 3.3)).cameras
    path = paths.spiral(cameras, 40)
    at, offsets = path.camera_to_world[:, :, 3], poses[:, :, 3] - poses[:, :, 3].mean(0)
    across = np.percentile(np.abs(offsets), 90, axis=0)
    np.testing.assert_allclose([np.ptp(at[:, 0]) / 2, np.ptp(at[:, 1]) / 2], across[:2], rtol=0.03)
    np.testing.assert_allclose(at[:20, :2], at[20:, :2], atol=0.01)  # two turns
    assert at[1:20, 2].max() < 0.01  # ahead in the first, back in the second
    assert at[21:, 2].min() > -0.01
    # All look at one point at LLFF's depth for what is between 4/3 and infinity.
    assert focus_depth(cameras) == pytest.approx(0.9 * 4 / 3 / 0.25)
    focus = focus_point(path.camera_to_world.astype(np.float64))
    np.testing.assert_allclose(focus[2], -4.8, atol=0.02)
    assert in_picture(path, focus).max() < 1e-4


def test_focus_depth_is_by_disparity_between_near_and_far():
    cameras = scene_of(grid(), 2.0, 10.0).cameras
    assert 1 / focus_depth(cameras) == pytest.approx(0.25 / 1.8 + 0.75 / 50)


def test_ellipse_is_among_the_cameras_at_constant_speed():
    angle = 0.4  # its axes are not those of the world
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    cameras = scene_of(turn @ ring(200, (0.2, -0.1, -0.4), (1.0, 0.6)), 0.2, 1e6).cameras
    path = paths.ellipse(cameras, 100)
    local = path.camera_to_world[:, :, 3] @ turn - [0.2, -0.1, -0.4]
    radii = np.cos(np.radians(9)) * np.array([1.0, 0.6])  # 90 % of all angles are farther than 9 degrees from the end
    np.testing.assert_allclose((local[:, 0] / radii[0]) ** 2 + (local[:, 1] / radii[1]) ** 2, 1, atol=0.01)
    np.testing.assert_allclose(local[:, 2], 0.5, atol=1e-4)
    moved, _ = steps(path, is_closed=True)
    np.testing.assert_allclose(moved, moved.mean(), rtol=0.005)


def test_train_is_the_training_cameras_in_order_or_from_neighbour_to_neighbour():
    poses = ring(40)
    order = np.random.default_rng(2).permutation(40)
    split = tuple('test' if i % 8 == 0 else 'train' for i in range(40))
    path = make_path('train', scene_of(poses, split=split), 'object', PathOptions())
    np.testing.assert_allclose(path.camera_to_world, poses[[i for i in range(40) if i % 8]], atol=1e-6)
    path = make_path('train', scene_of(poses[order]), 'object', PathOptions())
    np.testing.assert_allclose(path.camera_to_world[0], poses[order][0], atol=1e-6)
    moved, _ = steps(path, is_closed=False)
    assert np.sort(moved)[-2] < 0.2  # neighbours, but for one jump to the other side of the first


def test_the_way_along_hand_held_cameras_is_smoother_than_they_are():
    poses = ring(120, noise=0.02)
    path = make_path('train', scene_of(poses), 'object', PathOptions(num_frames=60))

    def shaking(frames):
        return np.abs(np.diff(frames[:, 2, 3], n=2)).mean()

    assert shaking(path.camera_to_world) < 0.35 * shaking(poses[::2])


def test_keyframes_are_found_by_name_and_passed_in_order():
    split = ('train',) * 20 + ('test',) * 20
    scene = scene_of(ring(40), split=split)
    path = make_path('keyframes', scene, 'object', PathOptions(120, ('im_2', 'train_im_9', 'test_im_25', 'im_12.jpg')))
    nearest = [
        np.linalg.norm(path.camera_to_world - scene.cameras.camera_to_world[i], axis=(1, 2)).argmin() for i in (2, 9, 25, 12)
    ]
    assert nearest == sorted(nearest)
    assert (nearest[0], nearest[-1]) == (0, 119)
    closed = make_path(None, scene, 'object', PathOptions(120, ('im_2', 'im_9', 'im_16', 'im_2')))
    moved, _ = steps(closed, is_closed=True)
    assert 0.7 * np.median(moved) < moved.min() < moved.max() < 1.4 * np.median(moved)
    np.testing.assert_allclose(closed.camera_to_world[0], scene.cameras.camera_to_world[2], atol=1e-5)


@pytest.mark.parametrize(
    ('name', 'options', 'said'),
    [
        ('round', {}, "unknown path 'round': expected one of ellipse, file, keyframes, spherical, spiral, train"),
        ('keyframes', {}, '0 images named, expected at least two'),
        ('keyframes', {'keyframes': ('im_1', 'im_1')}, '1 images named'),
        ('keyframes', {'keyframes': ('im_1', 'im_77')}, "unknown image 'im_77': expected one of .*im_7"),
        ('file', {}, 'no file was given'),
    ],
)
def test_mistakes_end_in_a_sentence(name, options, said):
    with pytest.raises(UserError, match=said):
        make_path(name, scene_of(ring()), 'object', PathOptions(**options))


@pytest.mark.parametrize(
    'options', [{'num_frames': 0}, {'width': 10**6}, {'factor': 0}, {'elevation': 90.0}, {'elevation': np.nan}]
)
def test_absurd_options_are_refused(options):
    with pytest.raises(UserError, match=f'path option {next(iter(options))}: found'):
        PathOptions(**options)


def test_unknown_scene_types_are_refused():
    with pytest.raises(UserError, match="unknown scene_type 'indoor'"):
        make_path(None, scene_of(ring()), 'indoor', PathOptions())


def test_a_saved_path_is_the_same_path_again(tmp_path):
    for scene_name in SCENES:
        scene, scene_type = SCENES[scene_name]()
        path = make_path('train', scene, scene_type, PathOptions(num_frames=9, width=35))
        file = str(tmp_path / f'{scene_name}.json')
        save_path_file(file, path, 24)
        again = make_path(None, scene, scene_type, PathOptions(file=file))
        assert camera_arrays(path).keys() == camera_arrays(again).keys()
        for name, values in camera_arrays(path).items():
            np.testing.assert_array_equal(values, camera_arrays(again)[name], err_msg=name)
            assert values.dtype == camera_arrays(again)[name].dtype


FRAME = Frame(turned(0.5, -0.7, 2.0), np.array([441550.7, 5121941.0, 2344.1]), 0.05)


def file_of(folder, poses):
    (folder / 'p.json').write_text(json.dumps([pose.tolist() for pose in poses]))
    return str(folder / 'p.json')


@pytest.mark.parametrize('scene_name', SCENES)
def test_a_path_in_the_files_world_passes_where_that_has_it(scene_name, tmp_path, caplog):
    scene, scene_type = SCENES[scene_name]()
    scene = dataclasses.replace(scene, frame=FRAME)
    ours = training(scene).camera_to_world[::3].astype(np.float64)
    options = PathOptions(file=file_of(tmp_path, FRAME.inverse.poses(ours)), coordinates='file')
    path = make_path('file', scene, scene_type, options)
    np.testing.assert_allclose(path.camera_to_world, ours, atol=1e-6)
    np.testing.assert_array_equal(path.near, training(scene).near[:1].repeat(len(ours)))
    assert caplog.records == []


def test_a_path_in_the_wrong_world_is_warned_of(tmp_path, caplog):
    scene, scene_type = SCENES['around']()
    ours = training(scene).camera_to_world.astype(np.float64)

    def said(poses, frame, coordinates):
        caplog.clear()
        options = PathOptions(file=file_of(tmp_path, poses), coordinates=coordinates)
        make_path('file', dataclasses.replace(scene, frame=frame), scene_type, options)
        return [record.getMessage() for record in caplog.records]

    (line,) = said(FRAME.inverse.poses(ours), FRAME, 'model')
    assert re.fullmatch(
        r'.*p.json: its frames are 2.\d*e[+]06 times the extent of the training cameras away from the nearest one, '
        r'\S+ times if its coordinates are of the file: set --coordinates=file if so',
        line,
    )
    (line,) = said(ours, FRAME, 'file')
    assert 'set --coordinates=model if so' in line
    near = FRAME._replace(origin=np.array([0.5, -0.5, 1.0]), scale=0.8)  # not far, but elsewhere
    (line,) = said(near.inverse.poses(ours), near, 'model')
    assert 'set --coordinates=file if so' in line
    far = ours + np.array([[0], [0], [9.0]]) * [0, 0, 0, 1]
    (line,) = said(far, Frame(np.eye(3), np.zeros(3), 1.0), 'model')
    assert 'check its poses' in line
    beside = ours + np.array([[0], [0], [2.0]]) * [0, 0, 0, 1]
    for frame in (FRAME, near, Frame(np.eye(3), np.zeros(3), 1.0)):
        assert said(beside, frame, 'model') == []


def test_paths_of_forward_facing_scenes_look_ahead(tmp_path):
    scene, scene_type = SCENES['front']()
    path = make_path('train', scene, scene_type, PathOptions())
    poses = path.camera_to_world.copy()
    poses[3, :, [0, 2]] *= -1  # looks back
    save_path_file(str(tmp_path / 'back.json'), path.replace(camera_to_world=poses), 30)
    expected = r"frame 3 of the path sees 1\d\d degrees off .*; set --coordinates=file if it is in the data's own world"
    with pytest.raises(UserError, match=expected):
        make_path('file', scene, scene_type, PathOptions(file=str(tmp_path / 'back.json')))


def test_a_width_and_a_factor_exclude_each_other():
    with pytest.raises(UserError, match='width 40 and factor 2 exclude each other'):
        PathOptions(width=40, factor=2)
