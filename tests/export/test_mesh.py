import jax.numpy as jnp
import numpy as np
import pytest
import trimesh
from flax import linen as nn

from nerf import lifting
from nerf.data import procedural
from nerf.data.scene import Scene
from nerf.errors import UserError
from nerf.export import mesh as meshes
from nerf.export.mesh import MeshOptions, extract_mesh, most_frontal_view, vertex_normals
from nerf.models.protocol import LevelInfo
from nerf.ray import compositing
from nerf.ray.occupancy import Occupancy
from nerf.ray.structs import Level
from nerf.train.run_folder import Trained

BALL = jnp.array([0.1, -0.05, 0.2])
SHAPES = {  # distance to the surface, negative inside
    'ball': lambda p: jnp.linalg.norm(p - BALL) - 0.5,
    'torus': lambda p: jnp.hypot(jnp.hypot(p[0], p[1]) - 0.6, p[2]) - 0.2,
    'two': lambda p: jnp.minimum(jnp.linalg.norm(p - BALL) - 0.5, jnp.linalg.norm(p - jnp.array([-0.7, 0.5, -0.4])) - 0.15),
    'uneven': lambda p: jnp.linalg.norm(p - BALL) - 0.5,
    'nothing': lambda p: jnp.full((), 1.0),
}
ALL = Occupancy(np.full(3, -1, np.float32), np.full(3, 1, np.float32), np.ones((4, 4, 4), np.uint8))


class Shape(nn.Module):
    """A model of one of the shapes: soft over a hundredth, painted by position, and black below the skin."""

    LEVELS = (LevelInfo('only', 'num_samples'),)
    END_SWITCHES = ()

    shape: str = 'ball'
    peak: float = 200.0
    contract: bool = False
    num_samples: int = 256

    def density(self, point, width):
        thin = 0.1 if self.shape == 'uneven' else 1.0
        return self.peak * jnp.where(point[0] < 0, thin, 1.0) * nn.sigmoid(-SHAPES[self.shape](point) / 0.01)

    def __call__(self, ray, key=None, progress=1.0, photo=None):
        t = jnp.linspace(ray.near, ray.far, self.num_samples + 1)
        points = lifting.over_samples(lambda t: ray.origin + t * ray.direction)((t[1:] + t[:-1]) / 2)
        density = lifting.over_samples(lambda point: self.density(point, 0.0))(points)
        rgb = lifting.over_samples(lambda point: (0.5 + 0.5 * point) * (SHAPES[self.shape](point) > -0.1))(points)
        return [
            Level(
                s=t, t=t, density=density, rgb=rgb, weights=compositing.weights(density, compositing.lengths(t, ray.direction))
            )
        ]


def trained(shape='ball', cameras=None, **fields):
    names, split, own = procedural.views(16)
    scene = Scene(names, split, np.zeros((0, 4), np.uint8), own if cameras is None else cameras)
    return Trained(Shape(shape, **fields), {}, {}, {}, None, scene, 0, None)


def extract(shape='ball', occupancy=ALL, cameras=None, fields=None, **options):
    options = {'resolution': 40, 'level': 100.0, **options}
    scene = trained(shape, cameras, **(fields or {}))
    return extract_mesh(scene, lifting.replicate({}), MeshOptions(**options), occupancy=occupancy)


def solid(mesh):
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)


def off(mesh, shape):
    return np.asarray(lifting.over_rays(SHAPES[shape])(mesh.vertices))


@pytest.fixture(scope='module')
def ball():
    return extract('ball')


def test_the_surface_of_a_ball(ball):
    cell = 2 / 40
    # Four halvings of an edge leave 1/32 to either side of a vertex.
    assert np.abs(off(ball, 'ball')).max() < 1.01 * cell / 32
    assert solid(ball).is_watertight
    assert solid(ball).euler_number == 2
    assert solid(ball).volume == pytest.approx(4 / 3 * np.pi * 0.5**3, rel=0.01)  # positive: faces are seen from outside
    assert solid(ball).area == pytest.approx(4 * np.pi * 0.5**2, rel=0.01)
    outward = (ball.vertices - np.asarray(BALL)) / 0.5
    assert (ball.normals * outward).sum(1).min() > 0.99
    np.testing.assert_allclose(np.linalg.norm(ball.normals, axis=1), 1, atol=1e-5)


def test_its_colours_are_those_of_the_outside(ball):
    expected = 255 * (0.5 + 0.5 * ball.vertices)
    assert np.abs(ball.colours - expected).max() < 4
    assert ball.colours.dtype == np.uint8


def test_what_is_soft_is_not_darker():
    mesh = extract(fields={'peak': 8.0}, level=4.0)
    expected = 255 * (0.5 + 0.5 * mesh.vertices)
    assert np.abs(mesh.colours - expected).max() < 8


def test_a_torus_keeps_its_hole():
    mesh = extract('torus')
    assert np.abs(off(mesh, 'torus')).max() < 1.01 / 32 * 2 / 40
    assert solid(mesh).is_watertight
    assert solid(mesh).euler_number == 0
    assert solid(mesh).volume == pytest.approx(2 * np.pi**2 * 0.6 * 0.2**2, rel=0.02)
    assert solid(mesh).area == pytest.approx(4 * np.pi**2 * 0.6 * 0.2, rel=0.02)
    # Its inner side is seen from within the hole, not through the opposite side.
    assert np.abs(mesh.colours - 255 * (0.5 + 0.5 * mesh.vertices)).max() < 6


def test_small_pieces_are_left_out():
    # The small one's volume is 2.7 % of the large one's.
    volumes = [4 / 3 * np.pi * radius**3 for radius in (0.5, 0.15)]
    both, one = (solid(extract('two', smallest=smallest)) for smallest in (0.01, 0.1))
    assert (both.body_count, one.body_count) == (2, 1)
    assert both.volume == pytest.approx(sum(volumes), rel=0.01)
    assert one.volume == pytest.approx(volumes[0], rel=0.01)


def test_the_box_is_found_and_is_narrow(monkeypatch):
    boxes = []
    grid = meshes.density_grid
    monkeypatch.setattr(meshes, 'density_grid', lambda queries, box, *rest: boxes.append(box) or grid(queries, box, *rest))
    mesh = extract('ball', occupancy=None, resolution=24)
    assert solid(mesh).volume == pytest.approx(4 / 3 * np.pi * 0.5**3, rel=0.02)
    ((lower, upper),) = boxes
    assert (lower < np.asarray(BALL) - 0.5).all()
    assert (upper > np.asarray(BALL) + 0.5).all()
    assert (upper - lower).max() < 1.25


def test_without_a_level_the_surface_is_where_rays_stop():
    # Rays along the normal are half stopped at a distance of 0.0087, most of the others farther out, by up to 0.02.
    found = off(extract('ball', level=None), 'ball')
    assert 0.005 < found.mean() < 0.02
    assert found.std() < 0.003


def test_what_is_thinner_than_most_keeps_its_surface():
    # Where the ball is thin it has density 20, and most rays are half stopped at more than that.
    mesh = extract('uneven', level=None)
    assert solid(mesh).volume == pytest.approx(4 / 3 * np.pi * 0.5**3, rel=0.1)
    assert mesh.vertices[:, 0].min() == pytest.approx(0.1 - 0.5, abs=0.03)


def test_nothing_that_dense():
    with pytest.raises(UserError, match=r'--level=300: no surface found, the densities in the box go from 0 to 200;'):
        extract('ball', level=300.0)


def test_an_empty_scene():
    with pytest.raises(UserError, match='empty'):
        extract('nothing', occupancy=None, level=None)
    with pytest.raises(UserError, match='no ray of the training views stops'):
        extract('nothing', level=None)


@pytest.mark.parametrize('top', [1, 0.43])  # of whole cells, and not
def test_bounds_cut_and_close(top):
    mesh = extract('ball', bounds=(-1, -1, 0.2, 1, 1, top))  # above the middle of the ball
    assert solid(mesh).is_watertight
    assert mesh.vertices[:, 2].min() == pytest.approx(0.2, abs=0.005)  # the wall stands on the box
    assert mesh.vertices[:, 2].max() == pytest.approx(min(top, 0.7), abs=0.01)
    low, high = 0.0, min(top - 0.2, 0.5)  # the ball is around (0.1, -0.1, 0.2)
    assert solid(mesh).volume == pytest.approx(np.pi * (0.25 * (high - low) - (high**3 - low**3) / 3), rel=0.02)


def test_an_unbounded_scene_is_cut_around_what_cameras_look_at():
    nowhere = Occupancy(ALL.lower, ALL.upper, np.zeros((4, 4, 4), np.uint8))
    mesh = extract('ball', occupancy=nowhere, fields={'contract': True}, resolution=24)
    assert solid(mesh).volume == pytest.approx(4 / 3 * np.pi * 0.5**3, rel=0.02)


def test_only_what_may_be_occupied_is_looked_at():
    half = Occupancy(ALL.lower, ALL.upper, np.repeat(np.array([0, 1], np.uint8), 8).reshape(4, 4, 1).repeat(4, 2))
    mesh = extract('ball', occupancy=half)
    assert mesh.vertices[:, 0].min() > -0.05
    assert mesh.vertices[:, 0].max() == pytest.approx(0.6, abs=0.01)


def test_ndc():
    names, _, cameras = procedural.views(16)
    still = np.tile(np.eye(3, 4, dtype=np.float32), (len(names), 1, 1))
    ndc = np.tile(np.array([2.5, 2.0], np.float32), (len(names), 1))
    full = lambda value: np.full(len(names), value, np.float32)  # noqa: E731
    cameras = cameras.replace(camera_to_world=still, ndc=ndc, near=full(0), far=full(1))
    mesh = extract('ball', cameras=cameras)
    assert solid(mesh).is_watertight
    assert solid(mesh).volume > 0
    # The ball's poles in NDC, z' = 0.2 -+ 0.5, are at z = 2 / (z' - 1).
    assert mesh.vertices[:, 2].max() == pytest.approx(2 / (0.2 - 0.5 - 1), abs=0.02)
    assert mesh.vertices[:, 2].min() == pytest.approx(2 / (0.2 + 0.5 - 1), abs=0.1)
    nearest = mesh.vertices[:, 2].argmax()
    assert mesh.normals[nearest, 2] > 0.98
    assert np.abs(mesh.colours[nearest] - 255 * (0.5 + 0.5 * np.array([0.1, -0.05, -0.3]))).max() < 8


def test_normals_of_vertices_are_weighted_by_area():
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [0, 3, 0], [0, 0, 2]])
    normals = vertex_normals(vertices, np.array([[0, 1, 2], [0, 3, 1]]))
    np.testing.assert_allclose(normals[0], np.array([0, 2, 3]) / np.sqrt(13))
    np.testing.assert_allclose(normals[2], [0, 0, 1])


def test_who_looks_most_nearly_against_the_normal():
    found = most_frontal_view(np.array([[0.0, 0, 0]]), np.array([[0.0, 0, 1]]), np.array([[3.0, 0, 1], [0, 1, 3], [0, 0, -4]]))
    np.testing.assert_allclose(found, [[0, -1 / np.sqrt(10), -3 / np.sqrt(10)]])


def test_it_can_be_interrupted():
    def stop():
        raise InterruptedError

    with pytest.raises(InterruptedError):
        extract_mesh(trained(), lifting.replicate({}), MeshOptions(resolution=8, level=100.0), stop, ALL)


@pytest.mark.parametrize(
    ('option', 'said'),
    [
        ({'resolution': 4}, '--resolution=4: expected 8 to 512'),
        ({'resolution': 5000}, '--resolution=5000: expected 8 to 512'),
        ({'level': -1.0}, '--level=-1: expected a density above 0'),
        ({'level': float('nan')}, '--level=nan: expected a density above 0'),
        ({'smallest': 2.0}, '--smallest=2: expected a share'),
        ({'bounds': (0, 0, 0, 1, 1, 0)}, '--bounds=0,0,0,1,1,0: expected x0,y0,z0,x1,y1,z1'),
        ({'bounds': (0, 0, 1)}, '--bounds=0,0,1: expected x0'),
    ],
)
def test_options_that_cannot_be(option, said):
    with pytest.raises(UserError, match=said):
        extract(**option)
