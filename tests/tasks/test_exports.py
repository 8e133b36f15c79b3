import types

import numpy as np
import pytest

from nerf.data import procedural
from nerf.errors import UserError
from nerf.export.mesh import Mesh
from nerf.tasks import mesh, points
from nerf.tasks.job import TaskOptions, result_folder

trimesh = pytest.importorskip('trimesh')


@pytest.fixture
def job(tmp_path):
    """A job of the built-in scene's cameras, in whose pictures everything is red and at a distance of 4."""

    def make(**options):
        def render(camera):
            size = (int(camera.height), int(camera.width))
            one = np.ones(size)
            return {'rgb': one[..., None] * [1.0, 0, 0], 'acc': one, 'distance_median': 4 * one, 'depth': 3.5 * one}

        scene = procedural.load(16)
        config = types.SimpleNamespace(scene_type='object')
        trained = types.SimpleNamespace(config=config, step=7)
        made = types.SimpleNamespace(scene=scene, trained=trained, options=TaskOptions(**options), render=render)
        made.skip_empty = True
        made.result_folder = lambda task, settings: result_folder(tmp_path, task, 'step_7', settings)
        made.variables = made.occupancy = None
        made.interruption = types.SimpleNamespace(check=lambda: None)
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
    made.render = lambda camera, render=made.render: rendered.append(camera) or render(camera)
    points.export_points(made)
    assert len(rendered) == 60
    assert not (tmp_path / 'points/step_7/depth').exists()


def test_a_mesh_in_every_file_that_is_asked_for(job, tmp_path, monkeypatch):
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    faces = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]], np.int32)
    found = Mesh(corners, faces, np.full((4, 3), 100, np.uint8), np.tile(np.float32([0, 0, 1]), (4, 1)))
    monkeypatch.setattr(mesh, 'extract_mesh', lambda *args: found)
    mesh.export_mesh(job(mesh_endings=('ply', 'obj', 'glb')))
    assert sorted(path.name for path in (tmp_path / 'mesh/step_7').glob('mesh.*')) == ['mesh.glb', 'mesh.obj', 'mesh.ply']
    assert trimesh.load(tmp_path / 'mesh/step_7/mesh.ply').volume == pytest.approx(1 / 6)
    with pytest.raises(UserError, match='stl'):
        mesh.check_mesh(None, None, TaskOptions(mesh_endings=('stl',)))
