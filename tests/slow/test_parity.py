"""The built-in scene, read back from a format that turned and scaled its world, is learned as well as without files."""

import json

import jax
import numpy as np
from built_in_written import Truth, elsewhere, write_colmap_scene
from commands import finish, start_python

from nerf.data import procedural

SEEDS, WIDTH = 3, 100
FLAGS = ('--config=configs/quickstart.py', "--config.final_tasks=('test',)", '--config.data.factor=1')


def colmap_scene(folder):
    """The training and test views of the built-in scene as a COLMAP model, every seventh of which is one of the test views."""
    _, split, cameras = procedural.views(WIDTH)
    train, test = (np.flatnonzero(np.array(split) == of) for of in ('train', 'test'))
    order = np.concatenate([test[:, None], train.reshape(len(test), -1)], axis=1).ravel()
    cameras = jax.tree.map(lambda field: field[order], cameras)
    points = np.random.default_rng(0).uniform(-0.6, 0.6, (500, 3)) * [1, 1, 0.5]  # about where the solids are
    truth = Truth(cameras, procedural.straight_images(cameras), tuple(split[i] for i in order), points)
    write_colmap_scene(folder, elsewhere(truth))


def psnr(model_dir, *flags):
    finish(start_python('main.py', f'--model_dir={model_dir}', *FLAGS, *flags))
    return json.loads((next(model_dir.glob('render/test/*/metrics.json'))).read_text())


def test_a_normalised_colmap_scene_is_learned_as_well(tmp_path):
    colmap_scene(tmp_path / 'scene')
    from_files = (f'--data_dir={tmp_path / "scene"}', '--config.test_every=7')
    means = []
    for name, flags in (('built_in', (f'--config.data.width={WIDTH}',)), ('colmap', from_files)):
        reports = [psnr(tmp_path / f'{name}_{seed}', *flags, f'--config.seed={seed}') for seed in range(SEEDS)]
        means.append(np.mean([report['mean']['psnr'] for report in reports]))
        print(name, [round(report['mean']['psnr'], 2) for report in reports])
    assert abs(means[0] - means[1]) < 0.3, means
