"""Files of meshes, point clouds and depth maps for other programs, each written atomically."""

import io
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import jax
import numpy as np

from nerf.errors import UserError
from nerf.export.mesh import Mesh
from nerf.export.points import PointCloud
from nerf.host.files import make_folder, write_atomically
from nerf.ray.maths import srgb_to_linear

MESH_ENDINGS = ('.ply', '.obj', '.glb')
# In glTF, the y axis points up; in ours, z: (x, y, z) -> (x, z, -y).
UPRIGHT = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
# The colours include the lighting already; programs without this extension show a matte surface.
UNLIT = {
    'pbrMetallicRoughness': {'metallicFactor': 0.0, 'roughnessFactor': 1.0},
    'extensions': {'KHR_materials_unlit': {}},
}
PRECISION = 1e-6  # of the extent, to which positions are written
STEPS = 1000  # per world unit, in a 16-bit depth map
FARTHEST = 65535


def check_mesh_path(path: Path) -> None:
    """Refuse a file that no mesh can be written to, before any work is done.

    Raises:
        UserError: an unknown file extension.
    """
    if path.suffix not in MESH_ENDINGS:
        raise UserError(f'{path}: cannot write a mesh as {path.suffix!r}, expected {", ".join(MESH_ENDINGS)}')


def write_mesh(path: Path, mesh: Mesh) -> None:
    """Write a mesh in the format of the path's extension: .ply, .obj or .glb.

    As glTF requires, colours in a .glb are linear and the y axis points up: a node rotates the scene, vertices stay the same.
    Positions far from the origin keep their precision: as double in a .ply, and relative to the node in a .glb.

    Raises:
        UserError: an unknown extension, or the file cannot be written.
    """
    check_mesh_path(path)
    import trimesh  # slow to import, and needed for meshes only

    if path.suffix == '.ply':
        return write(path, ply(mesh.vertices, mesh.normals, mesh.colours, mesh.faces))

    def solid(vertices: np.ndarray, colours: np.ndarray) -> Any:
        return trimesh.Trimesh(vertices, mesh.faces, vertex_normals=mesh.normals, vertex_colors=colours, process=False)

    if path.suffix == '.obj':
        digits = max(8, 7 - int(np.floor(np.log10(extent_of(mesh.vertices)))))
        content = solid(mesh.vertices, mesh.colours).export(file_type='obj', include_normals=True, header=None, digits=digits)
        return write(path, content.encode())
    node = np.eye(4)
    if needs_double(mesh.vertices):
        node[:3, 3] = np.rint(mesh.vertices.mean(0))
    scene = trimesh.Scene()
    scene.add_geometry(solid(mesh.vertices - node[:3, 3], linear(mesh.colours)), transform=UPRIGHT @ node)
    return write(path, scene.export(file_type='glb', include_normals=True, tree_postprocessor=make_unlit))


def linear(colours: np.ndarray) -> np.ndarray:
    """Convert sRGB colours [n, 3], uint8, to linear ones, uint8."""
    table = np.asarray(jax.jit(srgb_to_linear)(np.arange(256, dtype=np.float32) / 255))
    return np.rint(255 * table).astype(np.uint8)[colours]


def make_unlit(tree: dict[str, Any]) -> None:
    """Give all meshes of a glTF file one unlit material, which shows the mesh's own colours without lighting."""
    tree['materials'] = [UNLIT]
    tree['extensionsUsed'] = ['KHR_materials_unlit']
    for mesh in tree['meshes']:
        for primitive in mesh['primitives']:
            primitive['material'] = 0


def extent_of(points: np.ndarray) -> float:
    """Return the longest edge of the box around points [n, 3]; 1 if there is none."""
    return float(np.ptp(points, axis=0).max()) or 1.0


def needs_double(points: np.ndarray) -> bool:
    """Return whether float32 rounds points [n, 3] by more than `PRECISION` of their extent, as where they are far away."""
    return bool(np.abs(points).max() * 2.0**-24 > PRECISION * extent_of(points))


def ply(points: np.ndarray, normals: np.ndarray, colours: np.ndarray, faces: np.ndarray | None = None) -> bytes:
    """Return a binary PLY of vertices [n, 3] with normals and sRGB colours (uint8), and of faces [m, 3] if there are any."""
    position = ('double', '<f8') if needs_double(points) else ('float', '<f4')
    names = [(name, *position) for name in ('x', 'y', 'z')] + [(name, 'float', '<f4') for name in ('nx', 'ny', 'nz')]
    names += [(name, 'uchar', 'u1') for name in ('red', 'green', 'blue')]
    rows = np.zeros(len(points), [(name, kind) for name, _, kind in names])
    for (name, _, _), column in zip(names, [*points.T, *normals.T, *colours.T], strict=True):
        rows[name] = column
    header = ['ply', 'format binary_little_endian 1.0', f'element vertex {len(rows)}']
    header += [f'property {kind} {name}' for name, kind, _ in names]
    triangles = np.zeros(0 if faces is None else len(faces), [('count', 'u1'), ('vertices', '<i4', 3)])
    if faces is not None:
        triangles['count'], triangles['vertices'] = 3, faces
        header += [f'element face {len(faces)}', 'property list uchar int vertex_indices']
    return '\n'.join([*header, 'end_header', '']).encode() + rows.tobytes() + triangles.tobytes()


def write_points(path: Path, cloud: PointCloud) -> None:
    """Write a point cloud as a binary PLY with normals and colours.

    Raises:
        UserError: another extension than .ply, or the file cannot be written.
    """
    if path.suffix != '.ply':
        raise UserError(f'{path}: cannot write points as {path.suffix!r}, expected .ply')
    write(path, ply(cloud.points, cloud.normals, cloud.colours))


def write_depth(path: Path, depth: np.ndarray) -> None:
    """Write a depth map [h, w], world, as `path`.npy, float32, and as `path`.png, 16 bit, in thousandths of a unit.

    In the PNG, depths beyond 65.535 are clipped to it, and 0 marks pixels without a finite depth.

    Raises:
        UserError: a file cannot be written.
    """
    content = io.BytesIO()
    np.save(content, depth.astype(np.float32), allow_pickle=False)
    write(path.with_name(f'{path.name}.npy'), content.getvalue())
    steps = np.rint(np.clip(np.where(np.isfinite(depth), depth, 0) * STEPS, 0, FARTHEST)).astype(np.uint16)
    write(path.with_name(f'{path.name}.png'), imageio.imwrite('<bytes>', steps, extension='.png'))


def write(path: Path, content: bytes) -> None:
    """Write a file atomically, and create its folder if needed.

    Raises:
        UserError: it cannot be written.
    """
    make_folder(path.parent)
    write_atomically(path, content)
