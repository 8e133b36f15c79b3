"""Frames of a scene: poses of any origin, orientation and scale are normalised to the frame of the scene type."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from nerf.errors import UserError

CAMERA_DISTANCE = 4.0  # mean distance of the cameras from an object, as in the Blender scenes
LEVEL = 0.01  # mean square angle of right axes from the horizon, of cameras held level by hand: (0.1 rad)^2
ROUNDING = (1e-5, 1e-8)  # of positions: file's units, and relative to their size; nearer ones are in one place
NEAREST = 4 / 3  # nearest depth of a forward-facing scene: the near plane, at depth 1, lies a quarter closer
FARTHEST = 1e9  # absolute coordinate in a file; `nerf.data.scene.check_camera` refuses those beyond it
FAR_OFF = 1e4  # distance from the origin over the spread, from which float32 rounds positions by more than 1 / 2000 of that


class Frame(NamedTuple):
    """Similarity transform x' = scale R (x - origin), from the file's world to the world used in training.

    Attributes:
        rotation: R, [3, 3]; its rows are the new axes in the file's world.
        origin: [3], the point that is mapped to 0, file's world.
        scale: [], world per unit of the file.
    """

    rotation: np.ndarray
    origin: np.ndarray
    scale: float

    @np.errstate(over='ignore', invalid='ignore')  # what is not finite is refused by `check_camera`
    def points(self, points: np.ndarray) -> np.ndarray:
        """Transform points [n, 3] to the new frame."""
        return self.scale * (points - self.origin) @ self.rotation.T

    @np.errstate(over='ignore', invalid='ignore')
    def poses(self, poses: np.ndarray) -> np.ndarray:
        """Transform camera_to_world [k, 3, 4] to the new frame."""
        return np.concatenate([self.rotation @ poses[:, :, :3], self.points(poses[:, :, 3])[:, :, None]], axis=2)

    def directions(self, directions: np.ndarray) -> np.ndarray:
        """Rotate directions [n, 3], such as normals, to the new frame; lengths stay."""
        return directions @ self.rotation.T

    @property
    def inverse(self) -> 'Frame':
        """The similarity back: x = R^T (x' + scale R origin) / scale."""
        return Frame(self.rotation.T, -self.scale * self.rotation @ self.origin, 1 / self.scale)

    def after(self, first: 'Frame') -> 'Frame':
        """Return the similarity that does `first`, and then this."""
        origin = first.origin + self.origin @ first.rotation / first.scale
        return Frame(self.rotation @ first.rotation, origin, self.scale * first.scale)


AS_IT_IS = Frame(np.eye(3), np.zeros(3), 1.0)
# Shape and type of what a file holds of a frame, see `frame_arrays`.
FRAME_ARRAYS = {f'frame_{name}': (shape, np.float64) for name, shape in (('rotation', (3, 3)), ('origin', (3,)), ('scale', ()))}


def frame_arrays(frame: Frame) -> dict[str, np.ndarray]:
    """Return the fields of a frame as arrays, by the names of `FRAME_ARRAYS`."""
    return {f'frame_{name}': np.asarray(value, np.float64) for name, value in frame._asdict().items()}


def frame_of_arrays(arrays: Mapping[str, np.ndarray]) -> Frame:
    """Make a frame of the arrays of `frame_arrays`, which may be anyone's; other names are ignored.

    Raises:
        UserError: they are no similarity.
    """
    rotation, origin, scale = (np.asarray(arrays[name], np.float64) for name in FRAME_ARRAYS)
    is_rotation = np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-6) and np.linalg.det(rotation) > 0
    if not (is_rotation and np.isfinite(origin).all() and 0 < scale < np.inf and 1 / scale < np.inf):
        raise UserError("the similarity from the file's world: expected a rotation, a finite origin and a positive scale")
    return Frame(rotation, origin, float(scale))


def shift_from_afar(poses: np.ndarray) -> Frame:
    """Return the shift that keeps the precision of poses [k, 3, 4] in float32: to their mean position, but only from afar.

    It is `AS_IT_IS` for positions whose distance from the origin is below 10,000 times their spread.
    """
    positions = poses[:, :, 3]
    if not (np.abs(positions) < FARTHEST).all():  # `check_camera` refuses them
        return AS_IT_IS
    distance, spread = np.abs(positions).max(), np.ptp(positions, axis=0).max()
    spread = spread if spread > 1e-9 * distance else 1.0  # all in one place: the unit is all there is
    return Frame(np.eye(3), positions.mean(0), 1.0) if distance > FAR_OFF * spread else AS_IT_IS


def focus_point(poses: np.ndarray) -> np.ndarray:
    """Compute the focus point [3] of poses [k, 3, 4]: the least-squares nearest point to all optical axes."""
    axes, positions = poses[:, :, 2], poses[:, :, 3]
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    return np.linalg.lstsq(across.sum(0), np.einsum('kij,kj->i', across, positions), rcond=None)[0]


def unit(v: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """Compute v / |v|, [3]; `otherwise` if v is too short to have a direction."""
    length = np.linalg.norm(v)
    return v / length if length > 1e-3 else otherwise


def axes_by(backward: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Return the rotation with rows right, up and backward: `backward` [3] (unit) exactly, `up` [3] as nearly as possible."""
    right = np.cross(up, backward)
    # If up is parallel to backward, any right axis will do.
    right = unit(right, unit(np.cross(np.eye(3)[np.argmin(np.abs(backward))], backward), right))
    return np.stack([right, np.cross(backward, right), backward])


def up_direction(poses: np.ndarray) -> np.ndarray:
    """Compute the up direction of the cameras, unit [3], from their right axes r_i and their mean up m.

    It minimises mean_i (r_i . u)^2 + LEVEL |u - m|^2. The mean alone leans if all cameras look down at an object from one
    side, but the right axis of a camera that is held level is horizontal, however the camera is tilted.
    """
    right = poses[:, :, 0]
    mean = poses[:, :, 1].mean(0)
    return unit(np.linalg.solve(right.T @ right / len(right) + LEVEL * np.eye(3), LEVEL * mean), np.array([0.0, 0.0, 1.0]))


def scale_to(wanted: float, length: float, positions: np.ndarray) -> float:
    """Return the scale that makes `length` of camera positions [k, 3] the `wanted` one; 1 if they are all in one place.

    Positions in one place differ by rounding, which must not be enlarged to the size of a scene.
    """
    return wanted / length if length > max(ROUNDING[0], ROUNDING[1] * np.abs(positions).max()) else 1.0


def object_frame(poses: np.ndarray) -> Frame:
    """Return the frame with the focus point at the origin, z up and a mean camera distance of 4, as in the Blender scenes."""
    centre = focus_point(poses)
    up = up_direction(poses)
    # The x axis changes as little as possible: a scene whose z axis is up already is not rotated.
    toward = np.eye(3)[0] if abs(up[0]) < 0.9 else np.eye(3)[1]
    x = unit(toward - up * (up @ toward), toward)
    distance = np.linalg.norm(poses[:, :, 3] - centre, axis=1).mean()
    return Frame(np.stack([x, np.cross(up, x), up]), centre, scale_to(CAMERA_DISTANCE, distance, poses[:, :, 3]))


def forward_facing_frame(poses: np.ndarray, nearest: float) -> Frame:
    """Return the frame whose mean camera looks along -z from the origin, with the nearest depth at 4/3 (LLFF's recipe)."""
    backward = unit(poses[:, :, 2].mean(0), np.array([0.0, 0.0, 1.0]))
    return Frame(axes_by(backward, poses[:, :, 1].mean(0)), poses[:, :, 3].mean(0), NEAREST / nearest)


def unbounded_frame(poses: np.ndarray) -> Frame:
    """Return the frame centred on the mean camera position, with the cameras' up as z, scaled so that they fill [-1, 1]^3.

    x is horizontal, the way in which the positions vary most. (mip-NeRF 360's code takes the three principal axes, of which
    z is up only if the cameras go all around.)
    """
    origin = poses[:, :, 3].mean(0)
    positions, up = poses[:, :, 3] - origin, up_direction(poses)
    level = positions - np.outer(positions @ up, up)
    x = np.linalg.eigh(level.T @ level)[1][:, -1]
    # Without horizontal spread, any horizontal direction will do.
    other = np.eye(3)[np.argmin(np.abs(up))]
    x = unit(x - up * (up @ x), unit(np.cross(up, other), other))
    rotation = np.stack([x, np.cross(up, x), up])
    return Frame(rotation, origin, scale_to(1.0, np.abs(positions @ rotation.T).max(), poses[:, :, 3]))
