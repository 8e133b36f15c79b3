"""Where a scene stands: poses of any origin, orientation and scale, brought into the frame that its type expects."""

from typing import NamedTuple

import numpy as np

CAMERA_DISTANCE = 4.0  # of an object's cameras from it, as in the Blender scenes
LEVEL = 0.01  # how far right axes may be from the horizon, mean square: a level hand's (0.1 rad)^2
NEAREST = 4 / 3  # a forward-facing scene's nearest depth: the near plane at depth 1 lies a quarter in front of it


class Frame(NamedTuple):
    """A similarity x' = scale R (x - origin), from the world of a file to the one that is trained in.

    Attributes:
        rotation: R, [3, 3], its rows are the new axes in the file's world.
        origin: [3], what becomes 0, file's world.
        scale: [], world per unit of the file.
    """

    rotation: np.ndarray
    origin: np.ndarray
    scale: float

    def points(self, points: np.ndarray) -> np.ndarray:
        """Transform points [n, 3] to the new frame."""
        return self.scale * (points - self.origin) @ self.rotation.T

    def poses(self, poses: np.ndarray) -> np.ndarray:
        """Transform camera_to_world [k, 3, 4] to the new frame."""
        return np.concatenate([self.rotation @ poses[:, :, :3], self.points(poses[:, :, 3])[:, :, None]], axis=2)


AS_IT_IS = Frame(np.eye(3), np.zeros(3), 1.0)


def focus_point(poses: np.ndarray) -> np.ndarray:
    """Compute the point nearest to all optical axes of poses [k, 3, 4], in the least-squares sense, -> [3]."""
    axes, positions = poses[:, :, 2], poses[:, :, 3]
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    return np.linalg.lstsq(across.sum(0), np.einsum('kij,kj->i', across, positions), rcond=None)[0]


def unit(v: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """Compute v / |v|, [3]; `otherwise` where v is too short to have a direction."""
    length = np.linalg.norm(v)
    return v / length if length > 1e-3 else otherwise


def axes_by(backward: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Return the rotation with rows right, up and backward: `backward` [3] (unit) exactly, `up` [3] as nearly as possible."""
    right = np.cross(up, backward)
    # Looking straight up or down, any direction is as good as another.
    right = unit(right, unit(np.cross(np.eye(3)[np.argmin(np.abs(backward))], backward), right))
    return np.stack([right, np.cross(backward, right), backward])


def up_direction(poses: np.ndarray) -> np.ndarray:
    """Compute the up direction of the cameras, unit [3]: the mean of their ups, but orthogonal to their right axes.

    A camera that is held level has its right axis on the horizon, however it is tilted. With r_i the right axes and m the
    mean up it is what minimises mean_i (r_i . u)^2 + LEVEL |u - m|^2: cameras that look down at something from one side
    only have a mean up that leans, but all their right axes are horizontal.
    """
    right = poses[:, :, 0]
    mean = poses[:, :, 1].mean(0)
    return unit(np.linalg.solve(right.T @ right / len(right) + LEVEL * np.eye(3), LEVEL * mean), np.array([0.0, 0.0, 1.0]))


def object_frame(poses: np.ndarray) -> Frame:
    """Return the frame with the focus point in the origin, z up, cameras 4 away from it on average: as Blender scenes are."""
    centre = focus_point(poses)
    up = up_direction(poses)
    # The x axis stays as it is, but for what it must: a scene that stands right is not turned.
    toward = np.eye(3)[0] if abs(up[0]) < 0.9 else np.eye(3)[1]
    x = unit(toward - up * (up @ toward), toward)
    distance = np.linalg.norm(poses[:, :, 3] - centre, axis=1).mean()
    return Frame(np.stack([x, np.cross(up, x), up]), centre, CAMERA_DISTANCE / max(distance, 1e-9))


def forward_facing_frame(poses: np.ndarray, nearest: float) -> Frame:
    """Return the frame with the mean camera in the origin along -z and the nearest depth at 4/3 (LLFF's recipe)."""
    backward = unit(poses[:, :, 2].mean(0), np.array([0.0, 0.0, 1.0]))
    return Frame(axes_by(backward, poses[:, :, 1].mean(0)), poses[:, :, 3].mean(0), NEAREST / nearest)


def unbounded_frame(poses: np.ndarray) -> Frame:
    """Return the principal axes of the camera positions, z the one along which they differ least, positions in [-1, 1]^3.

    As mip-NeRF 360's code does: centred on the mean position, and turned so that the cameras' mean up has z > 0.
    """
    origin = poses[:, :, 3].mean(0)
    positions = poses[:, :, 3] - origin
    values, vectors = np.linalg.eigh(positions.T @ positions)
    rotation = vectors[:, np.argsort(values)[::-1]].T
    if np.linalg.det(rotation) < 0:
        rotation = np.diag([1.0, 1.0, -1.0]) @ rotation
    if (rotation @ poses[:, :, 1].mean(0))[2] < 0:
        rotation = np.diag([1.0, -1.0, -1.0]) @ rotation
    return Frame(rotation, origin, 1 / max(np.abs(positions @ rotation.T).max(), 1e-9))
