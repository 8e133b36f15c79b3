"""What lies in a run's folder besides checkpoints, so that rendering needs nothing else.

`run.json`: the resolved config, where the data were and their digest, package versions, a format number, a checksum.
`cameras.npz`: names, splits and cameras of all images, and the similarity from the world of the data's file.

Neither is trusted: the folder may be someone else's, or damaged.
"""

import dataclasses
import functools
import os
import tempfile
import unicodedata
from pathlib import Path
from typing import Any

import jax
import ml_collections
from flax import linen as nn

from nerf.config import check_same_training
from nerf.data.scene import Scene
from nerf.data.stored_cameras import checksum_of_cameras, read_cameras, write_cameras
from nerf.errors import UserError
from nerf.host.files import make_folder
from nerf.host.untrusted import MissingError, UnreadableError, reason_of
from nerf.models import make_model
from nerf.ray.cameras import Camera
from nerf.ray.spacing import check_near
from nerf.train import run_file
from nerf.train.checkpoints import Checkpoints
from nerf.train.legs import Leg, next_legs
from nerf.train.optimizer import make_optimizer
from nerf.train.state import TrainState, init_state

CAMERAS, CHECKPOINTS = 'cameras.npz', 'checkpoints'


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run's folder says about it.

    Attributes:
        config: resolved.
        data_dir: the scene's folder, None for the built-in scene.
        digest: of the training images and cameras.
        scene: names, splits, cameras and frame; without pixels.
        legs: how far it was to be trained, each time that it was trained longer.
    """

    config: ml_collections.FrozenConfigDict
    data_dir: str | None
    digest: str
    scene: Scene
    legs: tuple[Leg, ...] = ()


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained scene: `model.apply(variables, ray)` for one ray.

    Attributes:
        model: for one ray, see `nerf.models.protocol.Model`.
        params: of the model.
        state: what the model keeps without training it.
        photos: the tables of numbers of each photo by name, see `nerf.ray.photos`.
        config: resolved.
        scene: names, splits and cameras of all images, and the frame that they are in.
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


def check_folder_name(model_dir: str) -> None:
    """Refuse a folder whose path TensorFlow cannot take, or that would break a line of the log.

    Raises:
        UserError: it has control characters, or bytes that are no UTF-8.
    """
    if any(unicodedata.category(letter) in ('Cc', 'Cs', 'Zl', 'Zp') for letter in os.fspath(model_dir)):
        raise UserError(
            f'--model_dir={model_dir!a}: found control characters or bytes that are no UTF-8, expected a path that can be '
            'printed: choose another folder, or a locale of UTF-8'
        )


def prepare(model_dir: str) -> Path:
    """Make the run's folder, and in it that of its checkpoints, if they do not exist.

    Raises:
        UserError: if they cannot be made or written, or the checkpoints' is a link.
    """
    check_folder_name(model_dir)
    folder = Path(model_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f'--model_dir={model_dir}: cannot be written ({error.strerror}); choose another folder') from error
    make_folder(folder, CHECKPOINTS)
    return folder


def save_run(model_dir: str, run: Run) -> tuple[Leg, ...]:
    """Describe a new run in its folder, and return its legs; an existing description must agree.

    A description without checkpoints, as a failed start leaves it, is replaced.

    Raises:
        UserError: the folder holds another run, a damaged one, or checkpoints of one that is not described.
    """
    folder, cameras = Path(model_dir), [checksum_of_cameras(run.scene)]
    steps = Checkpoints(os.path.join(model_dir, CHECKPOINTS)).folders()
    if os.path.lexists(folder / run_file.FILE) and steps:
        before = load_run(model_dir)
        check_same_training(before.config, run.config, model_dir)
        if before.digest != run.digest:
            raise UserError(f'{model_dir}: was trained on other images or cameras than {run.data_dir}: use another --model_dir')
        # Of other test views, perhaps. Killed between the two files, the folder holds the cameras of before or those of now.
        old = checksum_of_cameras(before.scene)
        legs = next_legs(before.legs, steps[-1], run.config.num_steps, model_dir)
        run_file.write_run_file(folder, run.config, legs, run.data_dir, run.digest, [*cameras, old])
    else:
        _refuse_checkpoints(model_dir)
        legs = next_legs((), 0, run.config.num_steps, model_dir)
    write_cameras(folder / CAMERAS, run.scene)
    run_file.write_run_file(folder, run.config, legs, run.data_dir, run.digest, cameras)
    return legs


def _refuse_checkpoints(model_dir: str) -> None:
    """Refuse a folder with checkpoints, of which nothing says how they were trained."""
    if Checkpoints(os.path.join(model_dir, CHECKPOINTS)).folders():
        raise UserError(
            f'--model_dir={model_dir}: found no {run_file.FILE} although there are checkpoints, which it describes: '
            'restore it from a copy, or choose another --model_dir'
        )


def load_run(model_dir: str) -> Run:
    """Read the description of a run.

    Raises:
        UserError: if the folder holds none, or one of another format, or a damaged one.
    """
    check_folder_name(model_dir)
    folder, name = Path(model_dir), run_file.FILE
    try:
        description = run_file.read_run_file(folder)
        name = CAMERAS
        scene = read_cameras(folder / CAMERAS)
        if checksum_of_cameras(scene) not in description.get('cameras', [checksum_of_cameras(scene)]):
            raise UnreadableError(f'is not the one that {run_file.FILE} describes')
    except MissingError as error:
        if name == run_file.FILE:
            _refuse_checkpoints(model_dir)
            raise UserError(f'--model_dir={model_dir}: found no {name}, expected the folder of a training run') from None
        raise UserError(f'{folder / name}: is missing; restore it from a copy, or train anew') from error
    except UnreadableError as error:
        raise UserError(f'{folder / name}: is damaged ({error}); restore it from a copy, or train anew') from error
    except UserError as error:
        if name == run_file.FILE:
            raise
        raise UserError(f'{folder / name}: {error}') from error
    return Run(description['config'], description['data_dir'], description['digest'], scene, description['legs'])


def identity(model_dir: str) -> str | None:
    """Compute the identity of the run in a folder, see `nerf.train.run_file.identity_of`; None if there is no run.

    Raises:
        UserError: its description is damaged.
    """
    if not os.path.lexists(Path(model_dir) / run_file.FILE):
        return None
    run = load_run(model_dir)
    return run_file.identity_of(run.config, run.digest)


def initial_shapes(config: Any, cameras: Camera) -> tuple[nn.Module, TrainState]:
    """Make a config's model, and return the shapes and types of its first state, with tables for these cameras.

    Raises:
        UserError: the config makes no model, or none for the near of these cameras.
    """
    model = make_model(config.model_name, config.model)
    try:
        check_near(float(cameras.near.min()), config.model.spacing)
    except ValueError as error:
        raise UserError(f'config.data.near: {error}') from error
    try:
        start = functools.partial(init_state, model, make_optimizer(config), cameras, config.seed, tuple(config.photos))
        return model, jax.eval_shape(start)
    except UserError:
        raise
    except Exception as error:  # whatever a model does with numbers that do not fit together
        raise UserError(f'config.model: makes no {config.model_name} ({reason_of(error)}), check its entries') from error


def load(model_dir: str, step: int | None = None) -> Trained:
    """Model, parameters, config and cameras of a trained scene, at its newest intact checkpoint or at `step`.

    Raises:
        UserError: no run there, no checkpoint, none of this step, a damaged one, or one of another run.
    """
    run = load_run(model_dir)
    try:
        model, shapes = initial_shapes(run.config, run.scene.cameras)
    except UserError as error:
        raise UserError(f'{model_dir}: {error}; restore {run_file.FILE} from a copy, or train anew') from error
    checkpoints = Checkpoints(os.path.join(model_dir, CHECKPOINTS), run_file.identity_of(run.config, run.digest))
    state = checkpoints.restore(shapes, step)
    if state is None:
        raise UserError(f'{model_dir}: holds no checkpoint yet: train first')
    return Trained(model, state.params, state.state, state.photos, run.config, run.scene, int(state.step), run)
