"""What the folder of a run says about its test views: its JSON files, of which every entry is checked."""

import dataclasses
import hashlib
import itertools
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nerf.config import flatten
from nerf.data.formats.json_files import read_json
from nerf.data.stored_cameras import read_cameras
from nerf.errors import UserError
from nerf.host.untrusted import UnreadableError
from nerf.render.metrics import METRICS

BUILT_IN = 'built-in'
CAMERAS_FILE = 'cameras.npz'  # of a run, see nerf.train.run_folder
METRICS_FILE = Path('render', 'test', 'step_*', 'metrics.json')
REMEDY = 'restore it, or remove it and run render.py --task=test'
KINDS = {str: 'a text', int: 'a whole number', float: 'a number', bool: 'true or false', dict: 'an object', list: 'a list'}


@dataclasses.dataclass(frozen=True)
class Result:
    """One evaluated run.

    Attributes:
        folder: as it was given.
        scene: the name of the folder its data were in (whatever the config calls it), or 'built-in'.
        model: by its name in the registry.
        step: of the checkpoint that was evaluated.
        config: resolved, by dotted names.
        images: names of the test images.
        width: of the widest of them, px.
        mean: over the images, by metric.
        by_width: the same for the images of each width, the widest first; empty if they are all as wide.
        protocol: of the measurement.
        skip_empty: whether rays skipped what is empty.
        seconds: of training, None if the run did not keep them.
        hardware: it was trained on.
    """

    folder: Path
    scene: str
    model: str
    step: int
    config: dict[str, Any]
    images: tuple[str, ...]
    width: int
    mean: dict[str, float]
    by_width: dict[int, dict[str, float]]
    protocol: str
    skip_empty: bool
    seconds: float | None
    hardware: tuple[str, ...]

    @property
    def digest(self) -> str:
        """A short name of the list of test images."""
        return hashlib.sha256('\n'.join(self.images).encode()).hexdigest()[:8]

    @property
    def is_multiscale(self) -> bool:
        """Whether the test images are there at sizes that halve, as the multiscale data have them."""
        widths = list(self.by_width)
        return len(widths) > 1 and all(abs(wide - 2 * half) <= 1 for wide, half in itertools.pairwise(widths))


def read_results(folders: Sequence[str]) -> tuple[list[Result], list[str]]:
    """Read the evaluated runs among these folders, and list those (or files) that hold no metrics.

    Raises:
        UserError: no folder given, one that is not there, none with metrics, or a damaged file.
    """
    if not folders:
        raise UserError('no folder given: expected those of training runs, such as python -m nerf.tables logs/*')
    for folder in folders:
        if not Path(folder).exists():
            raise UserError(f'{folder}: no such folder; expected the folder of a training run')
    evaluated = [folder for folder in dict.fromkeys(folders) if metrics_file(Path(folder)) is not None]
    if not evaluated:
        if all(map(holds_out_nothing, folders)):
            raise UserError(f'{", ".join(folders)}: no view was held out from training, so there are no metrics')
        raise UserError(f'{", ".join(folders)}: holds no {METRICS_FILE}; render.py --task=test --model_dir=... makes it')
    return [read_result(Path(folder)) for folder in evaluated], [folder for folder in folders if folder not in evaluated]


def holds_out_nothing(folder: str) -> bool:
    """Return whether the run in this folder has no test views; False also if its cameras cannot be read."""
    try:
        return 'test' not in read_cameras(Path(folder, CAMERAS_FILE)).split
    except (UserError, UnreadableError):
        return False


def metrics_file(folder: Path) -> Path | None:
    """Find the metrics of a run's own test views at the latest step evaluated as the config says; None without."""
    found = {}
    for path in folder.glob(str(METRICS_FILE)):
        if (step := re.fullmatch(r'step_(\d+)', path.parent.name)) and path.is_file():
            found[int(step[1])] = path
    return found[max(found)] if found else None


def read_result(folder: Path) -> Result:
    """Read an evaluated run.

    Raises:
        UserError: a file of it is missing or damaged, or an entry is missing or of another kind.
    """
    where, run_file = metrics_file(folder), folder / 'run.json'
    if not run_file.is_file():
        raise UserError(f'{folder}: holds metrics but no run.json, which says how it was trained; restore it')
    metrics, run = read_json(str(where), 'metrics'), read_json(str(run_file), 'the description of a run')
    images = entry(metrics, 'images', list, where)
    if not images or not all(isinstance(image, dict) for image in images):
        raise UserError(f'{where}: expected in images an object for each image; {REMEDY}')
    by_width = entry(metrics, 'by_width', dict, where) if 'by_width' in metrics else {}
    step = entry(metrics, 'step', int, where)
    seconds, hardware = training_of(folder, step)
    return Result(
        folder=folder,
        scene=scene_name(run, run_file),
        model=entry(metrics, 'model', str, where),
        step=step,
        config=config_of(run, run_file),
        images=tuple(entry(image, 'image', str, where) for image in images),
        width=max(entry(image, 'width', int, where) for image in images),
        mean=means(entry(metrics, 'mean', dict, where), where),
        by_width={width_of(name, where): means(entry(by_width, name, dict, where), where) for name in by_width},
        protocol=entry(metrics, 'protocol', str, where),
        skip_empty=entry(metrics, 'skip_empty', bool, where),
        seconds=seconds,
        hardware=hardware,
    )


def entry(record: dict[str, Any], name: str, kind: type, where: Path) -> Any:
    """Read one entry of a JSON object; a text is made printable, a number is a float that may be NaN.

    Raises:
        UserError: it is missing or not of the kind.
    """
    value = record.get(name)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 2**53 else None
    if not isinstance(value, kind) or (kind is int and (isinstance(value, bool) or not 0 <= value < 2**53)):
        found = f'is {str(value)[:40]!r}' if name in record else 'is missing'
        raise UserError(f'{where}: {name} {found}, expected {KINDS[kind]}; {REMEDY}')
    return printable(value) if kind is str else value


def printable(text: str) -> str:
    """Replace line breaks and characters that would control a terminal."""
    return ''.join(letter if letter.isprintable() else ' ' for letter in text)


def means(record: dict[str, Any], where: Path) -> dict[str, float]:
    """Read the mean of each metric; NaN for one that is missing: not installed, added later, or of images too small for it.

    Raises:
        UserError: one is missing, or PSNR is not finite.
    """
    found = {name: entry(record, name, float, where) if name in record or name == 'psnr' else math.nan for name in METRICS}
    if not math.isfinite(found['psnr']):
        raise UserError(f'{where}: psnr is {found["psnr"]}, expected a finite number; {REMEDY}')
    return found


def width_of(name: str, where: Path) -> int:
    """Read a width, px, from its text in `by_width`."""
    if not (name.isascii() and name.isdigit() and len(name) < 7):
        raise UserError(f'{where}: by_width names {printable(name)[:40]!r}, expected widths in px; {REMEDY}')
    return int(name)


def config_of(run: dict[str, Any], where: Path) -> dict[str, Any]:
    """Read the config by dotted names, with all that tables need."""
    config = flatten(entry(run, 'config', dict, where))
    for name, kind in {'batch_size': int, 'num_steps': int, 'seed': int, 'scene_type': str, 'data.background': str}.items():
        entry(config, name, kind, where)
    return config


def scene_name(run: dict[str, Any], where: Path) -> str:
    """Return the name of the data's folder. The config's `scene` may be its default, and the data another's."""
    if run.get('data_dir', '') is None:
        return BUILT_IN
    return Path(entry(run, 'data_dir', str, where)).name.removesuffix('.npz')


def training_of(folder: Path, step: int) -> tuple[float | None, tuple[str, ...]]:
    """Seconds of training up to a step, and the hardware, as `nerf.train.training_time` kept them; None if it did not."""
    where = folder / 'training.json'
    if not where.is_file():
        return None, ()
    kept = read_json(str(where), 'the seconds of training up to each checkpoint')
    if str(step) not in kept:
        return None, ()
    found = entry(kept, str(step), dict, where)
    hardware = entry(found, 'hardware', list, where)
    seconds = entry(found, 'seconds', float, where)
    if not math.isfinite(seconds):
        raise UserError(f'{where}: seconds of step {step} is {seconds}, expected a finite number; remove the file')
    return seconds, tuple(printable(str(name)) for name in hardware)
