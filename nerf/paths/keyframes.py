"""Smooth camera paths through keyframes: one spline for position, rotation and intrinsics, at constant speed or by given times.

A pose is a point (p, 2 s q) in seven dimensions: its position p and its unit quaternion q. The distance of two unit
quaternions is about half of the rotation angle between them, so distances there are sqrt(|dp|^2 + (s angle)^2), and the
length s converts rotation into an equivalent translation.
"""

import numpy as np
from scipy.interpolate import PchipInterpolator

DENSE = 24  # points of the curve per frame, and at least per keyframe
STILL = 1e-3  # radians: least total rotation that `turning_scale` divides by


def smooth_path(
    poses: np.ndarray,
    lenses: np.ndarray,
    num_frames: int,
    is_closed: bool = False,
    smoothing: float = 0.0,
    times: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Interpolate poses [n, 3, 4] and intrinsics [n, 4] through `poses` [k, 3, 4] and `lenses` [k, 4], at constant speed.

    The curve is a centripetal Catmull-Rom spline: continuous in velocity, without loops between poses. If `is_closed`, it ends
    where it began, and the first frame is not repeated.

    Args:
        smoothing: standard deviation in frames of a Gaussian filter over an open curve; 0: it passes through all poses.
        times: increasing, [k], at which an open curve, without smoothing, passes the poses; frames are evenly spaced in time.
            None: the speed is constant.
    """
    poses, lenses = np.asarray(poses, np.float64), np.asarray(lenses, np.float64)
    scale = turning_scale(poses)
    knots = np.concatenate([poses[:, :, 3], 2 * scale * quaternions(poses[:, :, :3]), lenses], axis=1)
    knots = _same_signs(knots)
    is_new = _are_new(knots, is_closed)
    knots = knots[is_new]
    if len(knots) == 1:
        curve = np.repeat(knots, num_frames, axis=0)
    else:
        per_pose = max(DENSE, -(-DENSE * num_frames // len(knots)))
        curve = _on_sphere(catmull_rom(_extended(knots, is_closed), per_pose), scale)
        if smoothing:
            curve = _on_sphere(_blurred(_even(curve, DENSE * num_frames, False), DENSE * smoothing), scale)
        if times is None:
            curve = _even(curve, num_frames, is_closed)
        else:
            passed = (np.cumsum(is_new) - is_new) * per_pose  # a repeated pose is where the next one is
            curve = _timed(curve, passed, times, num_frames)
    return np.concatenate([rotations(curve[:, 3:7]), curve[:, :3, None]], axis=2), curve[:, 7:]


def turning_scale(poses: np.ndarray) -> float:
    """Compute the length s for which consecutive poses [k, 3, 4] move as far in total as they rotate: s = distance / angle."""
    moved = np.linalg.norm(np.diff(poses[:, :, 3], axis=0), axis=1).sum()
    # |R - R'| = 2 sqrt(2) sin(angle / 2)
    chords = np.linalg.norm(np.diff(poses[:, :, :3], axis=0), axis=(1, 2)) / np.sqrt(8)
    turned = 2 * np.arcsin(np.clip(chords, 0, 1)).sum()
    return float(moved / max(turned, STILL)) if moved > 0 else 1.0


def catmull_rom(points: np.ndarray, per_pose: int) -> np.ndarray:
    """Sample the centripetal Catmull-Rom spline through `points` [k, d] except the first and last, [(k - 3) per_pose + 1, d].

    Knot intervals are the square roots of the distances between (the first seven dimensions of) the points.
    """
    gaps = np.sqrt(np.linalg.norm(np.diff(points[:, :7], axis=0), axis=1))
    knots = np.concatenate([[0], np.cumsum(gaps)])
    a, b, c, d = (points[i : len(points) - 3 + i, None] for i in range(4))
    ta, tb, tc, td = (knots[i : len(points) - 3 + i, None, None] for i in range(4))
    t = tb + (tc - tb) * (np.arange(per_pose) / per_pose)[:, None]

    def between(p: np.ndarray, q: np.ndarray, tp: np.ndarray, tq: np.ndarray) -> np.ndarray:
        return p + (q - p) * (t - tp) / (tq - tp)

    ab, bc, cd = between(a, b, ta, tb), between(b, c, tb, tc), between(c, d, tc, td)
    curve = between(between(ab, bc, ta, tc), between(bc, cd, tb, td), tb, tc)
    return np.concatenate([curve.reshape(-1, points.shape[1]), points[-2:-1]])


def nearest_neighbour_order(poses: np.ndarray) -> np.ndarray:
    """Order poses [k, 3, 4] by nearest neighbours, [k]; the given order is kept unless it jumps.

    It jumps if it is more than 1.5 times as long as the path from the first pose to the nearest remaining one, and so on.
    """
    places = np.concatenate([poses[:, :, 3], 2 * turning_scale(poses) * quaternions(poses[:, :, :3])], axis=1)
    left, order = np.ones(len(poses), bool), [0]
    for _ in range(len(poses) - 1):
        left[order[-1]] = False
        order.append(int(np.argmin(np.where(left, _apart(places, places[order[-1]]), np.inf))))
    nearest = np.array(order)
    lengths = [_apart(places[way[1:]], places[way[:-1]]).sum() for way in (np.arange(len(poses)), nearest)]
    return nearest if lengths[0] > 1.5 * lengths[1] else np.arange(len(poses))


def _apart(places: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Compute distances in the seven dimensions; q and -q are the same rotation."""
    turned = [np.linalg.norm(places[..., 3:7] + sign * others[..., 3:7], axis=-1) for sign in (-1, 1)]
    return np.hypot(np.linalg.norm(places[..., :3] - others[..., :3], axis=-1), np.minimum(*turned))


def quaternions(matrices: np.ndarray) -> np.ndarray:
    """Convert rotations [k, 3, 3] to unit quaternions (x, y, z, w), [k, 4].

    They are the eigenvectors to the largest eigenvalue of a symmetric 4 x 4 matrix, which needs no special cases.
    """
    m = np.moveaxis(matrices, 0, 2)
    x, y, z = m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]
    trace = np.trace(m)
    symmetric = np.zeros((4, 4, len(matrices)))
    symmetric[:3, :3] = m + np.swapaxes(m, 0, 1) - np.eye(3)[..., None] * trace
    symmetric[3, :3] = symmetric[:3, 3] = x, y, z
    symmetric[3, 3] = trace
    return np.linalg.eigh(np.moveaxis(symmetric, 2, 0))[1][:, :, -1]


def rotations(quaternions: np.ndarray) -> np.ndarray:
    """Convert quaternions (x, y, z, w), [k, 4], of any length to rotations [k, 3, 3]."""
    x, y, z, w = (quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), 2, 0)


def _same_signs(points: np.ndarray) -> np.ndarray:
    """Flip the sign of quaternions so that each is near the one before: q and -q are the same rotation."""
    dots = np.sum(points[1:, 3:7] * points[:-1, 3:7], axis=1)
    signed = points.copy()
    signed[1:, 3:7] *= np.cumprod(np.where(dots < 0, -1.0, 1.0))[:, None]
    return signed


def _are_new(points: np.ndarray, is_closed: bool) -> np.ndarray:
    """Return for each point whether it differs from the next one; on a closed curve, the first point follows the last."""
    apart = _apart(points, np.roll(points, -1, axis=0))
    is_new = apart > 1e-6 * max(apart.max(), 1e-12)
    if not is_closed:
        is_new[-1] = True
    if not is_new.any():
        is_new[0] = True
    return is_new


def _extended(points: np.ndarray, is_closed: bool) -> np.ndarray:
    """Add points before the first and after the last: a closed curve wraps around, an open one is extrapolated linearly."""
    if is_closed:
        count = len(points)
        return _same_signs(points[np.arange(-1, count + 2) % count])
    return np.concatenate([[2 * points[0] - points[1]], points, [2 * points[-1] - points[-2]]])


def _on_sphere(curve: np.ndarray, scale: float) -> np.ndarray:
    """Rescale the quaternions of a curve to length 2 s, so that they are rotations again."""
    curve = curve.copy()
    curve[:, 3:7] *= 2 * scale / np.linalg.norm(curve[:, 3:7], axis=1, keepdims=True)
    return curve


def _even(curve: np.ndarray, count: int, is_closed: bool) -> np.ndarray:
    """Resample a curve at `count` points of equal arc length; the last one is the curve's end unless `is_closed`."""
    way = _arc_length(curve)
    return _at(curve, way, np.linspace(0, way[-1], count, endpoint=not is_closed))


def _timed(curve: np.ndarray, passed: np.ndarray, times: np.ndarray, count: int) -> np.ndarray:
    """Resample a curve at `count` points, evenly spaced in time, that passes its points of indices `passed` [k] at `times` [k].

    Between them, arc length is a monotone cubic of time: the speed has no jumps, and the curve is never run backwards.
    """
    way = _arc_length(curve)
    return _at(curve, way, PchipInterpolator(times, way[passed])(np.linspace(times[0], times[-1], count)))


def _arc_length(curve: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(curve[:, :7], axis=0), axis=1))])


def _at(curve: np.ndarray, way: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Interpolate a curve, whose points have arc lengths `way`, at the arc lengths that are wanted."""
    return np.stack([np.interp(wanted, way, column) for column in curve.T], axis=1)


def _blurred(curve: np.ndarray, sigma: float) -> np.ndarray:
    """Smooth a curve with a Gaussian of `sigma` points; extending it by point reflection keeps its end points in place."""
    reach = min(int(3 * sigma), len(curve) - 1)
    before = 2 * curve[0] - curve[reach:0:-1]
    after = 2 * curve[-1] - curve[-2 : -reach - 2 : -1]
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    longer = np.concatenate([before, curve, after])
    return np.stack([np.convolve(column, weights / weights.sum(), mode='valid') for column in longer.T], axis=1)
