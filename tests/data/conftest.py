"""A small Blender-style scene on disk, for the tests of loaders and caches."""

import json

import numpy as np
import pytest
from PIL import Image

POSE = [[0.0, 0.0, 1.0, 4.0], [1.0, 0.0, 0.0, 0.5], [0.0, 1.0, 0.0, -0.25], [0.0, 0.0, 0.0, 1.0]]
ANGLE = 0.8
SIZES = {'train': [(12, 8), (9, 7)], 'val': [(12, 8)], 'test': [(8, 8)] * 5}  # width, height


def straight_image(split, i):
    """The image that lies in the folder, straight RGBA."""
    width, height = SIZES[split][i]
    rng = np.random.default_rng([len(split), i])
    return rng.integers(0, 256, (height, width, 4), dtype=np.uint8)


def pose_of(split, i):
    pose = np.array(POSE)
    pose[0, 3] += i + 10 * len(split)
    return pose


@pytest.fixture
def blender_folder(tmp_path):
    """Training images of two sizes, one validation image and five test images."""
    folder = tmp_path / 'scene'
    for split, sizes in SIZES.items():
        (folder / split).mkdir(parents=True)
        frames = []
        for i in range(len(sizes)):
            Image.fromarray(straight_image(split, i)).save(folder / split / f'r_{i}.png')
            frames.append({'file_path': f'./{split}/r_{i}', 'rotation': 0.1, 'transform_matrix': pose_of(split, i).tolist()})
        content = {'camera_angle_x': ANGLE, 'frames': frames[::-1]}  # not in the order of their names
        (folder / f'transforms_{split}.json').write_text(json.dumps(content))
    return folder


@pytest.fixture
def written():
    """What the folder was made from: `image(split, i)`, `pose(split, i)` and `angle`."""
    return type('Written', (), {'image': staticmethod(straight_image), 'pose': staticmethod(pose_of), 'angle': ANGLE})
