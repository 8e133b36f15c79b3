import numpy as np
import pytest

from nerf.data.scene import stack_cameras
from nerf.errors import UserError
from nerf.export.points import PointOptions, points_of_view, surface_points, thin_points

CENTRE, RADIUS = np.array([0.2, -0.1, 0.3]), 0.8
WIDTH, HEIGHT, FOCAL = 40, 30, 50.0


def look_at(position, target):
    back = (position - target) / np.linalg.norm(position - target)
    right = np.cross([0.0, 0, 1], back) / np.linalg.norm(np.cross([0.0, 0, 1], back))
    return np.stack([right, np.cross(back, right), back, position], axis=1)


def view(position):
    """A camera, and what it sees of a ball that is painted by position: by formulas of its own."""
    position = np.array(position, float)
    pose = look_at(position, CENTRE)
    lens = np.array([[[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]]])
    cameras = stack_cameras(pose[None], lens, np.array([[WIDTH, HEIGHT]]), 1.0, 9.0)
    camera = type(cameras)(*(None if field is None else field[0] for field in vars(cameras).values()))
    columns, rows = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    local = np.stack([(columns - WIDTH / 2) / FOCAL, -(rows - HEIGHT / 2) / FOCAL, -np.ones_like(rows)], -1)
    viewdir = local @ pose[:, :3].T
    viewdir /= np.linalg.norm(viewdir, axis=-1, keepdims=True)
    along = (viewdir * (CENTRE - position)).sum(-1)
    square = RADIUS**2 - ((CENTRE - position) ** 2).sum() + along**2
    hits = square > 0
    distance = np.where(hits, along - np.sqrt(np.maximum(square, 0)), 9.0)
    points = position + distance[..., None] * viewdir
    rgb = np.where(hits[..., None], 0.5 + 0.3 * (points - CENTRE), 1.0)
    picture = {'rgb': rgb, 'acc': hits.astype(float), 'distance': distance + 1, 'distance_median': distance}
    return camera, {name: value.astype(np.float32) for name, value in picture.items()}


VIEWS = [view(position) for position in ([4, 0, 1], [-2, 3, 1], [-1, -3, 2])]


def test_points_lie_on_the_surface():
    cloud = surface_points(VIEWS, PointOptions())
    assert len(cloud.points) == sum(int(picture['acc'].sum()) for _, picture in VIEWS)
    outward = (cloud.points - CENTRE) / RADIUS
    np.testing.assert_allclose(np.linalg.norm(outward, axis=1), 1, atol=1e-5)
    assert np.abs(cloud.colours - 255 * (0.5 + 0.3 * RADIUS * outward)).max() < 1
    # Neighbouring pixels are 0.06 apart, more at the rim.
    agree = (cloud.normals * outward).sum(1)
    assert np.median(agree) > 0.998
    assert agree.min() > 0.5
    np.testing.assert_allclose(np.linalg.norm(cloud.normals, axis=1), 1, atol=1e-5)


def test_distances_of_an_ndc_scene_are_the_world_s():
    camera, picture = view([0, 0.5, 5])
    ndc = camera.replace(ndc=np.array([2.0, 2.0], np.float32))
    np.testing.assert_array_equal(points_of_view(ndc, picture), points_of_view(camera, picture))


def test_only_what_is_opaque_counts():
    camera, picture = VIEWS[0]
    picture = {**picture, 'acc': picture['acc'] * np.where(np.arange(WIDTH) < WIDTH / 2, 0.85, 1).astype(np.float32)}
    assert len(surface_points([(camera, picture)], PointOptions()).points) == int((picture['acc'] == 1).sum())


def test_a_lone_pixel_faces_its_camera_and_no_edge_turns_a_normal():
    camera, picture = VIEWS[0]
    alone = np.zeros_like(picture['acc'])
    alone[15, 20] = 1
    cloud = surface_points([(camera, {**picture, 'acc': alone})], PointOptions())
    viewdir = (cloud.points[0] - [4, 0, 1]) / np.linalg.norm(cloud.points[0] - [4, 0, 1])
    np.testing.assert_allclose(cloud.normals, [-viewdir], atol=1e-5)
    # A wall 3 behind the ball: the ball's normals stay what they were.
    wall = {
        **picture,
        'acc': np.ones_like(alone),
        'distance_median': np.where(picture['acc'] > 0, picture['distance_median'], 8),
    }
    before, after = (points_of_view(camera, each) for each in (picture, wall))
    near = np.linalg.norm(after[:, :3] - CENTRE, axis=1) < RADIUS + 1e-3
    agree = (before[:, 6:] * after[near, 6:]).sum(1)
    assert np.mean(agree > 0.99) > 0.97


def test_bounds():
    cloud = surface_points(VIEWS, PointOptions(bounds=(-1, -1, 0.5, 2, 2, 2)))
    everything = surface_points(VIEWS, PointOptions())
    assert cloud.points[:, 2].min() >= 0.5
    assert len(cloud.points) == (everything.points[:, 2] >= 0.5).sum() < len(everything.points)
    with pytest.raises(UserError, match='no ray of the views stops in the box'):
        surface_points(VIEWS, PointOptions(bounds=(5, 5, 5, 6, 6, 6)))


def test_what_is_very_far_is_left_out():
    camera, picture = VIEWS[0]
    far = picture['distance_median'].copy()
    far[15, 20] = 1e6
    cloud = surface_points([*VIEWS[1:], (camera, {**picture, 'distance_median': far})], PointOptions())
    assert len(cloud.points) == sum(int(picture['acc'].sum()) for _, picture in VIEWS) - 1
    assert np.abs(cloud.points).max() < 2


def test_thinning_is_even_and_as_fine_as_allowed():
    cloud = surface_points(VIEWS, PointOptions(max_points=200))
    assert 150 < len(cloud.points) <= 200
    assert np.abs(np.linalg.norm(cloud.points - CENTRE, axis=1) - RADIUS).max() < 0.02  # means of a piece of the ball
    rows = np.zeros((1000, 9))
    rows[:, 0] = np.repeat(np.arange(10), 100)
    rows[:, 1] = np.random.default_rng(0).uniform(0, 0.01, 1000)
    rows[:, 3] = np.tile(np.arange(100), 10)
    few = thin_points(rows, 10)
    np.testing.assert_allclose(few[:, 0], np.arange(10))
    np.testing.assert_allclose(few[:, 3], 49.5)  # the mean of all that is there


def test_large_views_are_taken_at_fewer_pixels(monkeypatch):
    monkeypatch.setattr('nerf.export.points.MOST_OF_A_VIEW', WIDTH * HEIGHT // 4)
    few = surface_points(VIEWS[:1], PointOptions())
    assert len(few.points) == VIEWS[0][1]['acc'][::2, ::2].sum()


def test_no_views_and_no_points():
    with pytest.raises(UserError, match='no ray'):
        surface_points([], PointOptions())
    with pytest.raises(UserError, match='--max_points=0: expected at least 1'):
        surface_points(VIEWS, PointOptions(max_points=0))
