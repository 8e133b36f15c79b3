"""Solutions of notebook 01."""

import jax
import jax.numpy as jnp
import numpy as np

from nerf.data import procedural
from nerf.lessons.checks import check
from nerf.ray.cameras import cast, project


def my_cast(pose, k, xy):
    """Return origin and direction of the ray of a pixel, [2, 3]."""
    local = np.array([1, -1, -1]) * (np.linalg.inv(k) @ np.array([*xy, 1.0]))
    return np.stack([pose[:, 3], pose[:, :3] @ local])


check('01.1', my_cast)

names, _, cameras = procedural.views(64)
cameras = jax.tree.map(jnp.asarray, cameras)
focal = float(cameras.camera_to_pixel[0, 0, 0])
check('01.2', 2 * np.arctan(64 / (2 * focal)))

# The point nearest to both rays: (I - v v^T) (x - o) = 0 for each, by least squares.
first, second = cameras.at(names.index('train_r_25')), cameras.at(names.index('test_r_6'))
rays = [cast(first, jnp.array([26.5, 38.5])), cast(second, jnp.array([18.184, 38.038]))]
across = [np.eye(3) - np.outer(ray.viewdir, ray.viewdir) for ray in rays]
point = np.linalg.lstsq(
    np.concatenate(across), np.concatenate([a @ np.asarray(r.origin) for a, r in zip(across, rays, strict=True)]), rcond=None
)[0]
check('01.3', point)

check('01.4', project(second, jnp.asarray(point, jnp.float32))[0])

check('01.5', 4 / focal)
