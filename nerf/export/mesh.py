"""Triangle mesh of a trained scene: the iso-surface of its density by marching cubes, coloured as seen from outside.

The iso-density need not be known: see `nerf.export.level`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from nerf import lifting
from nerf.data.poses import Frame
from nerf.errors import UserError
from nerf.export.grid import corners, default_box, density_grid, fill_hollows, is_inside
from nerf.export.level import find_level
from nerf.export.queries import Queries
from nerf.ray.cameras import Camera
from nerf.ray.ndc import point_from_ndc
from nerf.ray.occupancy import Occupancy
from nerf.render.image import to_uint8
from nerf.render.occupancy import build_occupancy
from nerf.train.run_folder import Trained

LEAST, MOST = 8, 512  # cells along the longest edge
HALVINGS = 4  # of a grid edge, to locate the surface on it
MOST_CAMERAS = 64  # candidates for a vertex's most frontal view


@dataclasses.dataclass(frozen=True)
class MeshOptions:
    """Options of a mesh.

    Attributes:
        resolution: cells along the longest edge of the box.
        level: iso-density of the surface, 1 / world; None: found with rays of the training views.
        bounds: x, y, z of the box's lower corner and of its upper one, in the space of the rays (the world, or NDC); None:
            around what the training views see, and in an unbounded scene 1 to all sides of their focus point.
        smallest: pieces with a smaller volume than this share of the largest one's are removed.
    """

    resolution: int = 192
    level: float | None = None
    bounds: tuple[float, ...] | None = None
    smallest: float = 0.01


@dataclasses.dataclass(frozen=True)
class Mesh:
    """Triangle mesh in world coordinates, or in those of the data's file.

    Attributes:
        vertices: [n, 3], float32 (float64 where it was moved), world.
        faces: vertex indices, [m, 3], int32, anticlockwise seen from outside.
        colours: sRGB, [n, 3], uint8.
        normals: outward, unit, [n, 3], float32.
    """

    vertices: np.ndarray
    faces: np.ndarray
    colours: np.ndarray
    normals: np.ndarray

    def moved(self, frame: Frame) -> 'Mesh':
        """Return the mesh in another frame, its vertices as float64."""
        vertices, normals = frame.points(self.vertices), frame.directions(self.normals)
        return dataclasses.replace(self, vertices=vertices, normals=normals.astype(np.float32))


def extract_mesh(
    trained: Trained,
    variables: Any,
    options: MeshOptions,
    between: Callable[[], None] = lambda: None,
    occupancy: Occupancy | None = None,
) -> Mesh:
    """Extract the surface of a trained scene as a closed mesh: the faces of the box close it where it leaves the box.

    Density d is evaluated on a grid of cubes; marching cubes finds which grid edges the iso-surface d = level crosses, and
    bisection along these edges locates the crossings.

    Args:
        trained: the scene.
        variables: of the model, replicated.
        options: see `MeshOptions`.
        between: called after each block of points or rays.
        occupancy: the scene's occupancy grid, if there is one already (see `nerf.render.occupancy.build_occupancy`).

    Raises:
        UserError: an invalid option, an empty scene, or a level above all densities.
    """
    check(options)
    from skimage import measure  # slow to import, and needed for meshes only

    cameras = trained.scene.cameras.at(trained.scene.indices('train'))
    queries = Queries(trained.model, variables, between)
    is_unbounded = getattr(trained.model, 'contract', False)
    if is_unbounded:
        occupancy = None  # it does not cover distant regions
    elif occupancy is None:
        occupancy = build_occupancy(trained.model, variables, cameras, between)
    box = default_box(measure, cameras, occupancy) if options.bounds is None else corners(options.bounds)
    width = float((box[1] - box[0]).max() / options.resolution)
    level = find_level(queries, cameras, box, width) if options.level is None else options.level
    density = density_grid(queries, box, width, occupancy)
    if density.max() <= level:
        raise UserError(
            f'--level={level:g}: no surface found, the densities in the box go from {density.min():g} to {density.max():g}; '
            'choose a level between them, or train longer'
        )
    stand = cameras.camera_to_world[:, :, 3] if cameras.ndc is None else np.zeros((0, 3))
    is_solid = fill_hollows(measure, density > level, (stand - box[0]) / width + 1)
    # d / (d + level) is symmetric in log d, in which fields are smooth, and lies in [0, 1]; the surface is at 1/2.
    field = np.where(is_solid & (density <= level), np.float32(1), density / (density + np.float32(level)))
    # With this order of axes, `ascent` orients faces outwards.
    vertices, faces, *_ = measure.marching_cubes(field, 0.5, gradient_direction='ascent')

    def is_solid_at(cells: np.ndarray) -> np.ndarray:
        points = box[0] + (cells - 1) * width
        return (queries.density(points, width) > level) & is_inside(box, points, width)

    vertices = refined(vertices, is_solid, is_solid_at)
    vertices, faces = remove_small_components(vertices, faces, options.smallest)
    return finished(queries, cameras, box[0] + (vertices - 1) * width, faces, width)


def check(options: MeshOptions) -> None:
    """Refuse invalid options.

    Raises:
        UserError: with the value found and the values expected.
    """
    if not LEAST <= options.resolution <= MOST:
        raise UserError(f'--resolution={options.resolution}: expected {LEAST} to {MOST} cells along the longest edge')
    if options.level is not None and not 0 < options.level < np.inf:
        raise UserError(f'--level={options.level:g}: expected a density above 0; leave it out to have it found')
    if not 0 <= options.smallest <= 1:
        raise UserError(f'--smallest={options.smallest:g}: expected a share of the largest piece, 0 to 1')
    if options.bounds is not None:
        corners(options.bounds)


def refined(vertices: np.ndarray, is_solid: np.ndarray, ask: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Move vertices [n, 3], in cells, along their grid edges to the surface, by bisection.

    The solid between the corners of a cell can be much thinner than the cell; so `ask` returns whether a point is solid, and
    each call halves the part of the edge that can hold the surface. A vertex inside a cell stays.
    """
    one, other = np.floor(vertices), np.ceil(vertices)
    on_edge = ((one != other).sum(axis=1) == 1)[:, None]
    begins_solid = is_solid[tuple(one.astype(int).T)][:, None]
    solid, empty = np.where(begins_solid, one, other), np.where(begins_solid, other, one)
    for _ in range(HALVINGS):
        middle = (solid + empty) / 2
        found = ask(middle)[:, None]
        solid, empty = np.where(found, middle, solid), np.where(found, empty, middle)
    return np.where(on_edge, (solid + empty) / 2, vertices)


def remove_small_components(vertices: np.ndarray, faces: np.ndarray, smallest: float) -> tuple[np.ndarray, np.ndarray]:
    """Remove connected pieces whose volume is too small a share of the largest one's, from vertices [n, 3] and faces [m, 3]."""
    edges = np.concatenate([faces[:, :2], faces[:, 1:]])
    graph = coo_matrix((np.ones(len(edges), bool), tuple(edges.T)), shape=(len(vertices),) * 2)
    count, piece = connected_components(graph, directed=False)
    a, b, c = (vertices[faces[:, i]] - vertices.mean(0) for i in range(3))
    volumes = np.abs(np.bincount(piece[faces[:, 0]], np.sum(a * np.cross(b, c), axis=1), count))
    is_kept = (volumes >= smallest * volumes.max())[piece]
    return vertices[is_kept], (np.cumsum(is_kept) - 1)[faces[is_kept[faces[:, 0]]]]


def finished(queries: Queries, cameras: Camera, vertices: np.ndarray, faces: np.ndarray, width: float) -> Mesh:
    """Complete the mesh of a surface in the space of the rays: world coordinates, normals, and colours as seen from outside."""
    towards = -vertex_normals(vertices, faces)
    in_world = vertices
    if cameras.ndc is not None:
        in_world, faces = (
            np.asarray(_to_world(vertices, cameras.ndc[0])),
            faces[:, ::-1],
        )  # z' grows with distance: a reflection
    normals = vertex_normals(in_world, faces)
    viewdirs = most_frontal_view(in_world, normals, np.asarray(cameras.camera_to_world[:, :, 3], np.float64))
    colours = to_uint8(queries.colour(vertices, towards, viewdirs, width))
    return Mesh(in_world.astype(np.float32), np.ascontiguousarray(faces, np.int32), colours, normals.astype(np.float32))


def most_frontal_view(points: np.ndarray, normals: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Find the unit view direction [n, 3] that is most nearly opposite to each surface point's normal.

    At most 64 of the cameras at `positions` [k, 3] are compared. A model has only learned colours for the view directions
    of its training cameras, and a normal may be none of these.
    """
    best, found = np.full(len(points), -np.inf), -normals
    for position in positions[:: -(-len(positions) // MOST_CAMERAS)]:
        viewdir = points - position
        viewdir /= np.maximum(np.linalg.norm(viewdir, axis=1, keepdims=True), 1e-30)
        facing = -(viewdir * normals).sum(1)
        better = facing > best
        best, found = np.where(better, facing, best), np.where(better[:, None], viewdir, found)
    return found


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Compute unit normals [n, 3] of vertices: the area-weighted mean of their faces'; zero if all of these are degenerate."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    of_faces = np.repeat(np.cross(b - a, c - a), 3, axis=0)
    normals = np.stack([np.bincount(faces.ravel(), of_faces[:, i], len(vertices)) for i in range(3)], axis=1)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)


_to_world = jax.jit(lifting.over_samples(point_from_ndc, in_axes=(0, None)))
