import dataclasses
import json
import struct

import imageio.v3 as imageio
import numpy as np
import pytest
import trimesh

from nerf.errors import UserError
from nerf.export.files import check_mesh_path, write_depth, write_mesh, write_points
from nerf.export.mesh import Mesh
from nerf.export.points import PointCloud

VERTICES = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3.25]], np.float32)
FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32)
COLOURS = np.array([[255, 0, 10], [128, 200, 30], [0, 255, 254], [77, 1, 128]], np.uint8)
NORMALS = np.array([[0, 0, -1], [1, 0, 0], [0, 1, 0], [0.6, 0, 0.8]], np.float32)
MESH = Mesh(VERTICES, FACES, COLOURS, NORMALS)


def read(path):
    return trimesh.load(path, process=False, maintain_order=True)


@pytest.mark.parametrize('ending', ['ply', 'obj'])
def test_a_mesh_opens_again(tmp_path, ending):
    write_mesh(tmp_path / f'new/scene.{ending}', MESH)
    found = read(tmp_path / f'new/scene.{ending}')
    np.testing.assert_allclose(found.vertices, VERTICES)
    np.testing.assert_array_equal(found.faces, FACES)
    np.testing.assert_array_equal(found.visual.vertex_colors[:, :3], COLOURS)
    np.testing.assert_allclose(found.vertex_normals, NORMALS, atol=1e-6)
    assert [path.name for path in (tmp_path / 'new').iterdir()] == [f'scene.{ending}']


def test_a_glb_opens_again_upright_and_linear(tmp_path):
    write_mesh(tmp_path / 'scene.glb', MESH)
    scene = read(tmp_path / 'scene.glb')
    (found,) = scene.geometry.values()
    np.testing.assert_allclose(found.vertices, VERTICES)
    np.testing.assert_array_equal(found.faces, FACES)
    np.testing.assert_allclose(found.vertex_normals, NORMALS, atol=1e-6)
    linear = found.visual.vertex_attributes['color'] if found.visual.kind == 'texture' else found.visual.vertex_colors
    share = np.asarray(linear, float)[:, :3] / 255
    srgb = np.where(share <= 0.0031308, 12.92 * share, 1.055 * share ** (1 / 2.4) - 0.055)
    # An 8-bit linear step is up to 13 sRGB ones at black, under 2 from a third on.
    assert np.abs(255 * srgb - COLOURS).max() < 7
    assert np.abs(255 * srgb - COLOURS)[COLOURS > 76].max() < 1.5
    upright = scene.to_mesh() if hasattr(scene, 'to_mesh') else scene.dump(concatenate=True)
    np.testing.assert_allclose(upright.vertices[3], [0, 3.25, 0], atol=1e-6)  # what was highest in z is so in y
    np.testing.assert_allclose(upright.vertices[2], [0, 0, -2], atol=1e-6)
    content = (tmp_path / 'scene.glb').read_bytes()
    tree = json.loads(content[20 : 20 + struct.unpack('<I', content[12:16])[0]])
    assert tree['meshes'][0]['primitives'][0]['material'] == 0
    assert 'KHR_materials_unlit' in tree['materials'][0]['extensions']
    assert tree['extensionsUsed'] == ['KHR_materials_unlit']


@pytest.mark.parametrize('ending', ['ply', 'obj', 'glb'])
@pytest.mark.parametrize(('away', 'size'), [((441550.668, 5121941.02, -2344.12), 1.0), ((0.0, 0.0, 0.0), 1e-4 / 3)])
def test_positions_are_right_to_a_millionth_of_the_extent(tmp_path, ending, away, size):
    there = size * VERTICES.astype(np.float64) + away
    path = tmp_path / f'scene.{ending}'
    write_mesh(path, dataclasses.replace(MESH, vertices=there))
    found = read(path)
    if ending == 'glb':
        (solid,) = found.geometry.values()
        node = found.graph.get(found.graph.nodes_geometry[0])[0]
        vertices = solid.vertices @ node[:3, :3].T + node[:3, 3]
        there = there @ np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])  # y up
        assert np.abs(solid.vertices).max() < 10
    else:
        vertices = found.vertices
    np.testing.assert_allclose(vertices, there, atol=4e-6 * size, rtol=0)
    if ending == 'ply':
        header = path.read_bytes().partition(b'end_header')[0]
        assert (b'property double x' in header) is bool(away[0])
        write_points(tmp_path / 'cloud.ply', PointCloud(there, COLOURS, NORMALS))
        np.testing.assert_allclose(read(tmp_path / 'cloud.ply').vertices, there, atol=4e-6 * size, rtol=0)


def test_a_mesh_of_no_known_ending(tmp_path):
    for call in (lambda path: write_mesh(path, MESH), check_mesh_path):
        with pytest.raises(UserError, match=r"cannot write a mesh as '.stl', expected .ply, .obj, .glb"):
            call(tmp_path / 'scene.stl')


def test_points_open_again(tmp_path):
    write_points(tmp_path / 'cloud.ply', PointCloud(VERTICES, COLOURS, NORMALS))
    found = read(tmp_path / 'cloud.ply')
    np.testing.assert_allclose(found.vertices, VERTICES)
    np.testing.assert_array_equal(np.asarray(found.colors)[:, :3], COLOURS)
    header, _, body = (tmp_path / 'cloud.ply').read_bytes().partition(b'end_header\n')
    assert b'property float nx\nproperty float ny\nproperty float nz\nproperty uchar red' in header
    rows = np.frombuffer(body, [('floats', '<f4', 6), ('bytes', 'u1', 3)])
    np.testing.assert_array_equal(rows['floats'][:, 3:], NORMALS)
    with pytest.raises(UserError, match=r"cannot write points as '.xyz', expected .ply"):
        write_points(tmp_path / 'cloud.xyz', PointCloud(VERTICES, COLOURS, NORMALS))


def test_depth(tmp_path):
    depth = np.array([[0.0015, 1.25, 65.4321], [70.0, np.inf, np.nan]], np.float64)
    write_depth(tmp_path / 'r_0.5_depth', depth)
    found = np.load(tmp_path / 'r_0.5_depth.npy', allow_pickle=False)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, depth.astype(np.float32))
    picture = imageio.imread(tmp_path / 'r_0.5_depth.png')
    assert picture.dtype == np.uint16
    np.testing.assert_array_equal(picture, [[2, 1250, 65432], [65535, 0, 0]])


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match=r'file: cannot be made \(.*\): choose another folder'):
        write_mesh(tmp_path / 'file/scene.ply', MESH)
