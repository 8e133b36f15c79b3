"""What lies in a run's folder besides checkpoints, so that rendering needs nothing else.

`run.json`: the resolved config, where the data were and their digest, package versions, a format number.
`cameras.npz`: names, splits and cameras of all images.
"""

import dataclasses
import functools
import importlib.metadata
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import jax
import ml_collections
import numpy as np
from flax import linen as nn

from nerf.config import check_same_training
from nerf.data.scene import Scene, camera_arrays, cameras_of_arrays
from nerf.errors import UserError
from nerf.host.files import write_atomically
from nerf.models import make_model
from nerf.train.checkpoints import Checkpoints
from nerf.train.optimizer import make_optimizer
from nerf.train.state import init_state

FORMAT = 1
PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'clu', 'numpy', 'ml_collections')


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run's folder says about it.

    Attributes:
        config: resolved.
        data_dir: the scene's folder, None for the built-in scene.
        digest: of the training images and cameras.
        scene: names, splits and cameras; without pixels.
    """

    config: ml_collections.FrozenConfigDict
    data_dir: str | None
    digest: str
    scene: Scene


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained scene: `model.apply(variables, ray)` for one ray.

    Attributes:
        model: for one ray, see `nerf.models.protocol.Model`.
        params: of the model.
        state: what the model keeps without training it.
        photos: the tables of numbers of each photo by name, see `nerf.ray.photos`.
        config: resolved.
        scene: names, splits and cameras of all images.
        step: steps done.
        run: the description of the run.
    """

    model: nn.Module
    params: Any
    state: Any
    photos: dict[str, Any]
    config: ml_collections.FrozenConfigDict
    scene: Scene
    step: int
    run: Run

    @property
    def variables(self) -> dict[str, Any]:
        """The model's Linen collections."""
        return {'params': self.params, 'state': self.state}


def prepare(model_dir: str) -> Path:
    """Make the run's folder if it does not exist.

    Raises:
        UserError: if it cannot be made or written.
    """
    folder = Path(model_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / '.writable'
        probe.write_bytes(b'')
        probe.unlink()
    except OSError as error:
        raise UserError(f'--model_dir={model_dir}: cannot be written ({error.strerror}); choose another folder') from error
    return folder


def save_run(model_dir: str, run: Run) -> None:
    """Describe a new run in its folder; an existing description must agree and stays."""
    folder = Path(model_dir)
    if (folder / 'run.json').exists():
        before = load_run(model_dir)
        check_same_training(before.config, run.config, model_dir)
        if before.digest != run.digest:
            raise UserError(f'{model_dir}: was trained on other images or cameras than {run.data_dir}: use another --model_dir')
    cameras = io.BytesIO()
    scene = run.scene
    np.savez(cameras, names=np.array(scene.names), split=np.array(scene.split), **camera_arrays(scene.cameras))
    write_atomically(folder / 'cameras.npz', cameras.getvalue())
    description = {
        'format': FORMAT,
        'config': run.config.to_dict(),
        'data_dir': run.data_dir and os.path.abspath(run.data_dir),
        'digest': run.digest,
        'versions': {package: importlib.metadata.version(package) for package in PACKAGES},
    }
    write_atomically(folder / 'run.json', json.dumps(description, indent=2).encode())


def load_run(model_dir: str) -> Run:
    """Read the description of a run.

    Raises:
        UserError: if the folder holds none, or one of another format, or a damaged one.
    """
    path = Path(model_dir) / 'run.json'
    if not path.exists():
        raise UserError(f'--model_dir={model_dir}: found no run.json, expected the folder of a training run')
    try:
        description = json.loads(path.read_text())
        if description['format'] != FORMAT:
            raise UserError(f'{path}: format {description["format"]} found, expected {FORMAT}: use the version that trained it')
        with np.load(path.with_name('cameras.npz'), allow_pickle=False) as stored:
            cameras, pixels = cameras_of_arrays(stored), np.zeros((0, 4), np.uint8)
            scene = Scene(tuple(map(str, stored['names'])), tuple(map(str, stored['split'])), pixels, cameras)
        config = ml_collections.FrozenConfigDict(description['config'])
        return Run(config, description['data_dir'], description['digest'], scene)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise UserError(f'{model_dir}: run.json or cameras.npz is damaged ({error}); restore them or train anew') from error


def load(model_dir: str, step: int | None = None) -> Trained:
    """Model, parameters, config and cameras of a trained scene, at its newest intact checkpoint or at `step`.

    Raises:
        UserError: no run there, no checkpoint, none of this step, or a damaged one.
    """
    run = load_run(model_dir)
    model = make_model(run.config.model_name, run.config.model)
    start = functools.partial(
        init_state, model, make_optimizer(run.config), run.scene.cameras, run.config.seed, tuple(run.config.photos)
    )
    shapes = jax.eval_shape(start)
    state = Checkpoints(os.path.join(model_dir, 'checkpoints')).restore(shapes, step)
    if state is None:
        raise UserError(f'{model_dir}: holds no checkpoint yet: train first')
    return Trained(model, state.params, state.state, state.photos, run.config, run.scene, int(state.step), run)
