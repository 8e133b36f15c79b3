"""The file's own world: every format is written in any world, placed by its scene type, and taken back by the scene's frame.

Where the surfaces are in our world is found by cameras of the built-in scene, not by the frame that is tested.
"""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import trimesh
from built_in_written import MOVED, SCALED, SIZE, TURNED, WRITERS, cameras_of, elsewhere, truth_of
from PIL import Image
from test_geometry import similarity

from nerf.data import formats
from nerf.data.options import DataOptions
from nerf.export.cameras import colmap_text, image_names, transforms_json
from nerf.export.files import write_mesh
from nerf.export.mesh import Mesh

AFAR = np.array([441550.668, 5121941.02, 2344.12])  # as maps have it
# DeepVoxels writes nine digits, and tells scale and orientation by its unit and axes.
WORLDS = [(format, is_far) for format in WRITERS for is_far in (False, True) if not (is_far and format.startswith('deep'))]


@pytest.fixture(scope='module')
def truths():
    return {
        'pinhole': truth_of(cameras_of((40.0, 40.0))),
        'photo': truth_of(cameras_of((40.0, 33.0), SIZE / 2 + [1.25, -2.0])),
        'square': truth_of(cameras_of((40.0, 40.0), (14, 14), (28, 28))),
    }


def moved(truth, shift):
    """The same scene, moved: what reconstructions in the coordinates of a map have."""
    poses = np.asarray(truth.cameras.camera_to_world, np.float64).copy()
    poses[:, :, 3] += shift
    return dataclasses.replace(truth, cameras=truth.cameras.replace(camera_to_world=poses), points=truth.points + shift)


@pytest.mark.parametrize(('scene_type', 'normalise'), [('unbounded', True), ('unbounded', False), ('object', True)])
@pytest.mark.parametrize(('format', 'is_far'), WORLDS)
def test_a_mesh_lies_where_the_files_world_has_it(format, is_far, scene_type, normalise, truths, tmp_path, caplog):
    truth = truths[WRITERS[format][0]]
    there = moved(elsewhere(truth), AFAR * is_far)
    WRITERS[format][1](tmp_path, there)
    options = DataOptions(scene_type=scene_type, normalise=normalise)
    scene = formats.load_scene(format.partition(',')[0], str(tmp_path), '', options)

    size = np.ptp(there.points, axis=0).max()
    cameras = scene.frame.inverse.poses(scene.cameras.camera_to_world.astype(np.float64))
    np.testing.assert_allclose(cameras[:, :, 3], there.cameras.camera_to_world[:, :, 3], atol=1e-6 * size, rtol=0)
    np.testing.assert_allclose(cameras[:, :, :3], there.cameras.camera_to_world[:, :, :3], atol=1e-6)

    rotation, scale, origin = similarity(truth.cameras.camera_to_world, scene.cameras.camera_to_world)
    ours = scale * (truth.points - origin) @ rotation.T
    facing = np.tile(rotation[:, 2].astype(np.float32), (len(ours), 1))  # the built-in scene's z axis in our world
    mesh = Mesh(ours.astype(np.float32), np.int32([[0, 1, 2]]), np.zeros((len(ours), 3), np.uint8), facing)
    write_mesh(tmp_path / 'mesh.ply', mesh.moved(scene.frame.inverse))
    found = trimesh.load(tmp_path / 'mesh.ply', process=False, maintain_order=True)
    np.testing.assert_allclose(found.vertices, there.points, atol=1e-4 * size, rtol=0)
    np.testing.assert_allclose(found.vertex_normals[:1], TURNED[None, :, 2], atol=1e-5)
    if len(scene.points):
        back = scene.frame.inverse.points(scene.points.astype(np.float64))
        np.testing.assert_allclose(back, there.points, atol=1e-5 * size, rtol=0)


@pytest.mark.parametrize('normalise', [True, False])
def test_the_centre_of_deepvoxels_is_moved_to_the_origin_and_back(normalise, truths, tmp_path):
    there = elsewhere(truths['square'])
    WRITERS['deepvoxels'][1](tmp_path, there)
    for file in tmp_path.glob('*/intrinsics.txt'):
        lines = file.read_text().splitlines()
        file.write_text('\n'.join([lines[0], '3. -2. 5.', *lines[2:]]))
    scene = formats.load_scene('deepvoxels', str(tmp_path), '', DataOptions(normalise=normalise))
    position = there.cameras.camera_to_world[:, :, 3]
    np.testing.assert_allclose(scene.cameras.camera_to_world[:, :, 3], position - MOVED * normalise, atol=1e-6)
    found = scene.frame.inverse.points(scene.cameras.camera_to_world[:, :, 3])
    np.testing.assert_allclose(found, position, atol=1e-6)


@pytest.mark.parametrize('format', ['llff', 'colmap', 'transforms'])
def test_so_it_is_in_ndc(format, truths, tmp_path):
    """Cameras of a forward-facing scene: frames are of the world before NDC."""
    truth = truths['pinhole']
    poses = np.tile(truth.cameras.camera_to_world[3], (5, 1, 1)).astype(np.float64)
    poses[:, :, 3] += np.random.default_rng(5).normal(0, 0.15, (5, 3))
    truth = dataclasses.replace(truth, cameras=truth.cameras.replace(camera_to_world=poses, near=truth.cameras.near + 0.5))
    there = elsewhere(truth)
    WRITERS[format][1](tmp_path, there)
    scene = formats.load_scene(format, str(tmp_path), '', DataOptions(scene_type='forward_facing'))
    assert scene.cameras.ndc is not None
    cameras = scene.frame.inverse.poses(scene.cameras.camera_to_world.astype(np.float64))
    np.testing.assert_allclose(cameras, there.cameras.camera_to_world, atol=1e-6)


@pytest.mark.parametrize('format', ['blender', 'colmap', 'transforms', 'llff', 'tiny_nerf', 'deepvoxels'])
@pytest.mark.parametrize('written', ['transforms', 'colmap'])
def test_cameras_written_and_read_again_are_the_same(format, written, truths, tmp_path):
    """Of every format, in the file's world: as our own readers read what is written."""
    truth = truths[WRITERS[format][0]]
    there = elsewhere(truth)
    WRITERS[format][1](tmp_path / 'first' if format == 'colmap' else _made(tmp_path / 'first'), there)
    scene = formats.load_scene(format, str(tmp_path / 'first'), '', DataOptions(scene_type='unbounded'))
    folder = _made(tmp_path / 'second')
    if written == 'transforms':
        (folder / 'transforms.json').write_text(transforms_json(scene, scene.frame.inverse))
    else:
        for name, content in colmap_text(scene, scene.frame.inverse).items():
            (_made(folder / 'sparse/0') / name).write_text(content)
    names = image_names(scene)
    for i, name in enumerate(names):
        name = name if '/' in name and written == 'transforms' else f'images/{name}'
        Image.fromarray(scene.image(i)[..., :3]).save(_made((folder / name).parent) / Path(name).name)
    again = formats.load_scene(written, str(folder), '', DataOptions(scene_type='unbounded', normalise=False))
    order = np.argsort(names)
    for i, j in enumerate(order):
        np.testing.assert_array_equal(again.image(i)[..., :3], scene.image(j)[..., :3])
    poses = np.asarray(there.cameras.camera_to_world, np.float64)[order]
    np.testing.assert_allclose(again.cameras.camera_to_world, poses, atol=1e-6 * SCALED * 10)
    for field in ('camera_to_pixel', 'width', 'height'):
        np.testing.assert_allclose(getattr(again.cameras, field), getattr(scene.cameras, field)[order], rtol=1e-6)
    if written == 'transforms':
        assert [again.split[i] for i in range(len(order))] == [scene.split[i] for i in order]
    else:
        np.testing.assert_allclose(again.points, scene.frame.inverse.points(scene.points), atol=1e-5)


def _made(folder):
    folder.mkdir(parents=True, exist_ok=True)
    return folder
