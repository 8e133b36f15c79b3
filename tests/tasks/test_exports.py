import dataclasses
import json
import types

import numpy as np
import pytest

from nerf.data import procedural
from nerf.data.poses import Frame
from nerf.errors import UserError
from nerf.export.mesh import Mesh
from nerf.tasks import TASKS, mesh, points
from nerf.tasks.job import Job, TaskOptions

trimesh = pytest.importorskip('trimesh')


# From a file's world, in which x points up, 10 units are one of ours, and things are far away.
FRAME = Frame(np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]]), np.array([5e6, 100.0, -3e5]), 0.1)


def in_file(points):
    return 10 * points @ np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]]) + [5e6, 100, -3e5]


@pytest.fixture
def job(tmp_path):
    """A job of the built-in scene's cameras, in whose pictures everything is red and at a distance of 4."""

    def make(**options):
        def render(camera):
            size = (int(camera.height), int(camera.width))
            one = np.ones(size)
            return {'rgb': one[..., None] * [1.0, 0, 0], 'acc': one, 'distance_median': 4 * one, 'depth': 3.5 * one}

        scene = dataclasses.replace(procedural.load(16), frame=FRAME)
        config = types.SimpleNamespace(scene_type='object', skip_empty=True)
        trained = types.SimpleNamespace(config=config, step=7, scene=scene)
        interruption = types.SimpleNamespace(check=lambda: None)
        made = Job(trained, None, None, None, None, scene, tmp_path, '', True, interruption, TaskOptions(**options))
        object.__setattr__(made, 'render', render)
        return made

    return make


def test_points_of_the_training_views_with_their_depths(job, tmp_path):
    points.export_points(job(write_depth=True))
    cloud = trimesh.load(tmp_path / 'points/step_7/points.ply')
    assert len(cloud.vertices) == 60 * 16 * 16
    assert (np.asarray(cloud.colors)[:, :3] == [255, 0, 0]).all()
    # All cameras are 4 away from the origin, and so look at it: the middles of their pictures are near it.
    assert np.linalg.norm(cloud.vertices, axis=1).min() < 0.2
    assert len(list((tmp_path / 'points/step_7/depth').glob('*.npy'))) == 60
    np.testing.assert_allclose(np.load(tmp_path / 'points/step_7/depth/r_0.npy'), 3.5)


def test_points_of_a_path_if_one_is_named(job, tmp_path):
    made = job(path='train')
    rendered = []
    render = made.render
    object.__setattr__(made, 'render', lambda camera: rendered.append(camera) or render(camera))
    points.export_points(made)
    assert len(rendered) == 60
    assert not (tmp_path / 'points/step_7/depth').exists()


def tetrahedron(corners):
    faces = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]], np.int32)
    return Mesh(corners, faces, np.full((4, 3), 100, np.uint8), np.tile(np.float32([0, 0, 1]), (4, 1)))


def test_results_in_the_files_coordinates_lie_beside_the_others(job, tmp_path, monkeypatch):
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    monkeypatch.setattr(mesh, 'extract_mesh', lambda *args: tetrahedron(corners))
    made = {}
    for coordinates in ('model', 'file'):
        for name in ('mesh', 'points', 'cameras'):
            TASKS[name].run(job(coordinates=coordinates, write_depth=True))
        ending = '_file_coordinates' if coordinates == 'file' else ''
        folders = {name: tmp_path / name / f'step_7{ending}' for name in ('mesh', 'points', 'cameras')}
        solid, cloud = trimesh.load(folders['mesh'] / 'mesh.ply', process=False), trimesh.load(folders['points'] / 'points.ply')
        content = json.loads((folders['cameras'] / 'transforms.json').read_text())
        poses = np.array([frame['transform_matrix'] for frame in content['frames']])
        depth = np.load(folders['points'] / 'depth/r_0.npy')
        made[coordinates] = solid.vertices, cloud.vertices, poses[:, :3, 3], solid.vertex_normals, depth
    ours, theirs = made['model'], made['file']
    np.testing.assert_array_equal(ours[0], corners)
    for i in range(3):
        np.testing.assert_allclose(theirs[i], in_file(np.asarray(ours[i], np.float64)), atol=1e-5, rtol=0)
    np.testing.assert_allclose([ours[3][0], theirs[3][0]], [[0, 0, 1], [1, 0, 0]], atol=1e-7)
    np.testing.assert_allclose([ours[4][3, 5], theirs[4][3, 5]], [3.5, 35])


def test_a_mesh_in_every_file_that_is_asked_for(job, tmp_path, monkeypatch):
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    monkeypatch.setattr(mesh, 'extract_mesh', lambda *args: tetrahedron(corners))
    mesh.export_mesh(job(mesh_endings=('ply', 'obj', 'glb')))
    assert sorted(path.name for path in (tmp_path / 'mesh/step_7').glob('mesh.*')) == ['mesh.glb', 'mesh.obj', 'mesh.ply']
    assert trimesh.load(tmp_path / 'mesh/step_7/mesh.ply').volume == pytest.approx(1 / 6)
    with pytest.raises(UserError, match='stl'):
        mesh.check_mesh(None, None, TaskOptions(mesh_endings=('stl',)))
