"""Photos of a room whose walls are noise, in which structure from motion finds enough to hold on to."""

import numpy as np

WIDTH, HEIGHT, FOCAL = 240, 180, 200.0


def noise(points):
    """Smooth grey noise in space, [n, 3] -> [n] in [0, 1]: random values on three grids, linear in between."""
    total = np.zeros(len(points))
    for octave, cell in enumerate((0.32, 0.16, 0.08)):
        grid = np.random.default_rng(octave).uniform(size=(64, 64, 64))
        place = points / cell + 32.0
        low = np.floor(place).astype(int)
        share = place - low
        for corner in np.ndindex(2, 2, 2):
            weight = np.prod(np.where(corner, share, 1 - share), axis=1)
            total += weight * grid[tuple(((low + corner) % 64).T)] / 3
    return np.clip(2.5 * (total - 0.5) + 0.5, 0, 1)


def room_pose(i):
    """Rotation (camera to world, OpenCV's axes) and position of view i: on an arc, looking to a corner of the room."""
    angle = np.radians(7.0 * i - 25)
    position = np.array([1.1 * np.sin(angle), 0.12 * (i % 3) - 0.1, -1.1 * np.cos(angle)])
    forward = np.array([0.2, 0.0, 1.0]) - position
    forward /= np.linalg.norm(forward)
    right = np.cross([0.0, 1.0, 0.0], forward)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward], 1), position


def room_view(i):
    """What a pinhole camera sees within a room of noise, the box from -1.7 to 1.7, uint8 [HEIGHT, WIDTH, 3]."""
    rotation, position = room_pose(i)
    x, y = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    rays = np.stack([(x - WIDTH / 2) / FOCAL, (y - HEIGHT / 2) / FOCAL, np.ones_like(x)], -1).reshape(-1, 3) @ rotation.T
    distance = np.min((1.7 * np.sign(rays) - position) / rays, axis=1)
    grey = noise(position + distance[:, None] * rays).reshape(HEIGHT, WIDTH)
    return np.repeat(np.rint(255 * grey).astype(np.uint8)[..., None], 3, axis=-1)
