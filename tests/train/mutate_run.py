"""Folders of finished runs, damaged or forged at random: each loads as before, or older with a warning, or ends in a sentence.

Nothing outside of the folder is written, and no code of it is run.

python tests/train/mutate_run.py [--count=3000] [--start=0] [--only=N] [--mode=damaged|forged] [--part=run|renders]

Half of the cases are damaged: bits flipped, cut, emptied, removed. The others are forged, with checksums that fit. Each is
loaded, its time of training is noted, and its test views are rendered, by a stand-in for the renderer. `test_mutate_run.py`
tries a few.
"""

import argparse
import contextlib
import dataclasses
import json
import logging
import os
import pickle
import resource
import shutil
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault('JAX_PLATFORMS', 'cpu')
sys.path.append(str(Path(__file__).parents[1] / 'data'))

import jax
import mutations
import numpy as np
from mutations_binary import choose
from PIL import Image
from time_limits import Hang, time_limit

from configs import tiny
from nerf import tasks
from nerf.config import resolve
from nerf.data import procedural
from nerf.errors import UserError
from nerf.host import processes
from nerf.host.untrusted import checksum, checksum_of_arrays
from nerf.ray.occupancy import Occupancy
from nerf.render.image import Renderer
from nerf.train import run_folder
from nerf.train.checkpoints import MANIFEST, STATE, sha256_of
from nerf.train.saving import CheckpointWriter
from nerf.train.training_time import TrainingTime

SECONDS = 20  # for one case; usual are 0.1
MEMORY = 2**31
LONGEST = 800  # characters of a sentence
STEPS = (20, 40)
MODES, PARTS = ('damaged', 'forged'), ('run', 'renders')


class Code:
    """What a pickle would do if it was loaded."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, 'w')


@dataclasses.dataclass
class Sandbox:
    """A folder with a whole run, a copy of it that is mutated, and files of someone else."""

    root: Path
    whole: Path
    run: Path
    victim: Path
    params: dict[int, Any]
    expected: Any
    shapes: dict[str, Any]

    def outside(self) -> dict[str, bytes | str]:
        """Whatever lies in the folder, but the run that is mutated."""
        found = {}
        for folder, below, names in os.walk(self.root):
            below[:] = [each for each in below if Path(folder, each) != self.run]
            found |= {folder: ','.join(sorted(below))}
            found |= {str(Path(folder, name)): Path(folder, name).read_bytes() for name in names}
        return found


# The stand-ins: a picture is a function of camera and parameters, and so is the grid


def picture_of(self, variables, camera, between=None, photo=None):
    height, width = int(camera.height), int(camera.width)
    first = np.ravel(jax.tree.leaves(variables)[0])[0]
    shade = np.abs(np.sin(np.linspace(0, 7, height * width) + camera.camera_to_world.sum() + first)).reshape(height, width)
    shade = shade.astype(np.float32)
    ones = np.ones_like(shade)
    return {'rgb': np.stack([shade] * 3, axis=-1), 'depth': 1 + shade, 'distance': 1 + shade, 'acc': ones}


def grid_of(model, variables, cameras, between=None):
    cells = np.zeros((64, 64, 64), np.uint8)
    cells[20:40, 20:40, 20:40] = 1
    return Occupancy(-np.ones(3, np.float32), np.ones(3, np.float32), cells)


@contextlib.contextmanager
def stand_ins(sandbox: Sandbox | None = None) -> Iterator[None]:
    """Render nothing, and trace each model once."""

    def shapes_of(config, cameras):
        key = json.dumps([config.to_dict(), str(jax.eval_shape(lambda: cameras)), float(cameras.near.min())], sort_keys=True)
        if sandbox is None or key not in sandbox.shapes:
            found = initial_shapes(config, cameras)
            if sandbox is None:
                return found
            sandbox.shapes[key] = found
        return sandbox.shapes[key]

    initial_shapes = run_folder.initial_shapes
    with (
        mock.patch.object(Renderer, 'image', picture_of),
        mock.patch('nerf.tasks.job.build_occupancy', grid_of),
        mock.patch.object(run_folder, 'initial_shapes', shapes_of),
    ):
        yield


def render(trained: run_folder.Trained, folder: Path) -> None:
    """Render the test views and the occupancy grid, as `render.py` does where the images are not there."""
    tasks.run_tasks(['test'], trained, trained.scene, str(folder), processes.Interruption())


def make_sandbox(root: Path) -> Sandbox:
    """Write a finished run."""
    config = tiny.get_config()
    config.data.width = config.model.width = 8
    scene = procedural.load(8)
    run = run_folder.Run(resolve(config), None, 'abc', scene)
    sandbox = Sandbox(root, root / 'whole', root / 'a/b/run', root / 'victim', {}, None, {})
    for folder in (sandbox.whole, sandbox.run.parent, sandbox.victim / 'test'):
        folder.mkdir(parents=True)
    for name in ('bashrc', 'thesis.tex', 'test/thesis.tex', 'settings.json'):
        (sandbox.victim / name).write_text('mine')
    run_folder.save_run(str(sandbox.whole), run)
    _, shapes = run_folder.initial_shapes(run.config, run.scene.cameras)
    rng = np.random.default_rng(1)
    writer = CheckpointWriter(str(sandbox.whole / 'checkpoints'), run=run_folder.identity(str(sandbox.whole)))
    timing = TrainingTime(str(sandbox.whole), 0)
    for step in STEPS:
        state = jax.tree.map(lambda leaf: rng.uniform(0, 1, leaf.shape).astype(leaf.dtype), shapes)
        timing.note(step)
        writer.save(state.replace(step=np.full((), step, np.int32)))
        sandbox.params[step] = state.params
    sandbox.expected = run_folder.load_run(str(sandbox.whole))
    with stand_ins(sandbox):
        render(run_folder.load(str(sandbox.whole)), sandbox.whole)
    return sandbox


# Mutations

DAMAGES = (
    *(mutations.cut, mutations.empty, mutations.remove, mutations.flip, mutations.flip, mutations.flip, mutations.overwrite),
    *(mutations.repeat, mutations.extend, mutations.noise),
)
KINDS = (mutations.to_link, mutations.to_folder, mutations.folder_gone, mutations.swap)
BY_ENDING = {**mutations.BY_ENDING, '.flax': DAMAGES}


def parts_of(folder: Path, part: str) -> list[Path]:
    """The files that are mutated."""
    files = [
        path for path in folder.rglob('*') if path.is_file() and not path.is_symlink()
    ]  # nothing is written through a link
    is_render = [
        ('render' in path.relative_to(folder).parts and path.suffix != '.npz') == (part == 'renders') for path in files
    ]
    return sorted(path for path, is_right in zip(files, is_render, strict=True) if is_right)


def damage(sandbox: Sandbox, rng: np.random.Generator, path: Path) -> str:
    return choose(rng, DAMAGES)(path, rng)


def forge(sandbox: Sandbox, rng: np.random.Generator, path: Path) -> str:
    """Change a file as someone could who has this program, and let the checksums fit."""
    kind = rng.random()
    if kind < 0.1:
        said = choose(rng, KINDS)(path, rng)
    elif kind < 0.2:
        said = link_to_victim(sandbox, rng, path)
    elif kind < 0.25:
        path.write_bytes(pickle.dumps(Code(sandbox.root / 'PWNED')))
        said = 'became code'
    elif path.name == 'cameras.npz' and kind < 0.6:
        said = rename(sandbox, rng, path)
    else:
        said = choose(rng, BY_ENDING.get(path.suffix, DAMAGES))(path, rng)
    with contextlib.suppress(Exception):  # of what is no file any more, or no JSON
        fit_checksums(path)
    return said


def link_to_victim(sandbox: Sandbox, rng: np.random.Generator, path: Path) -> str:
    """A file, or the folder it is in, becomes a link to what is someone else's; so do names that are only used for a moment."""
    which = rng.integers(3)
    if which == 0 and path.parent != sandbox.run:
        shutil.rmtree(path.parent)
        path.parent.symlink_to(sandbox.victim, target_is_directory=True)
        return 'is in a folder that became a link'
    if which == 1:
        path.with_name(f'.{path.stem}.partial{path.suffix}').symlink_to(sandbox.victim / 'bashrc')
        path.unlink()
        return 'is gone, and a link lies where it is written'
    path.unlink()
    path.symlink_to(sandbox.victim / 'bashrc')
    return 'became a link'


def rename(sandbox: Sandbox, rng: np.random.Generator, path: Path) -> str:
    """Names of images that lead elsewhere, or cannot be names."""
    with np.load(path) as stored:
        arrays = dict(stored)
    outside = ('../../../PWNED', str(sandbox.root / 'PWNED'), '..', '.bashrc', 'a/b', '..\\x', 'a\0b', 'a\nb', '', 'r_0', 'R_0')
    names = [str(name) for name in arrays['names']]
    name = choose(rng, outside)
    names[rng.integers(len(names))] = choose(rng, ('', 'test_', 'train_')) + name
    arrays['names'] = np.array(names)
    np.savez(path, **arrays)
    return f'names {name!a}'


def fit_checksums(path: Path) -> None:
    """Let the checksums say that a changed file is right."""
    if path.name == 'run.json':
        fit(path)
    elif path.name == 'cameras.npz' and path.is_file():
        with np.load(path) as stored:
            arrays = dict(stored)
        content = json.loads((path.parent / 'run.json').read_text())
        (path.parent / 'run.json').write_text(json.dumps({**content, 'cameras': [checksum_of_arrays(arrays)]}))
        fit(path.parent / 'run.json')
    elif path.name.startswith(STATE.partition('.')[0]):
        where = path.with_name(MANIFEST)
        content = json.loads(where.read_text())
        content['files'][path.name] = [path.stat().st_size, sha256_of(path)]
        where.write_text(json.dumps(content))
        fit(where)
    elif path.name == MANIFEST:
        fit(path)


def fit(path: Path) -> None:
    if not path.is_file():  # a mutation may have made a pipe of it, which would be waited for
        return
    content = json.loads(path.read_text())
    content.pop('sha256', None)
    path.write_text(json.dumps({**content, 'sha256': checksum(content)}))


def mutate(sandbox: Sandbox, rng: np.random.Generator, mode: str, part: str) -> str:
    """Mutate one or two files of a fresh copy of the run, and say what was done."""
    shutil.rmtree(sandbox.run, ignore_errors=True)
    shutil.copytree(sandbox.whole, sandbox.run)
    done: list[str] = []
    change: Callable[..., str] = damage if mode == 'damaged' else forge
    for _ in range(1 + (rng.random() < 0.2)):
        for _ in range(5):  # some mutations suit some files only
            files = parts_of(sandbox.run, part)
            if not files:
                break
            # By kind: there are many renders, and one run.json.
            names = sorted({path.suffix if part == 'renders' else path.name for path in files})
            name = choose(rng, names)
            path = choose(rng, [each for each in files if each.name.endswith(name)])
            with contextlib.suppress(Exception):
                with warnings.catch_warnings():
                    warnings.simplefilter('ignore')
                    said = change(sandbox, rng, path)
                done.append(f'{path.relative_to(sandbox.run)} {said}')
                break
    return '; '.join(done) or 'nothing'


# What is expected


class Warnings(logging.Handler):
    """The warnings of the program since the list was emptied."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@contextlib.contextmanager
def listening() -> Iterator[list[str]]:
    """Yield the list that the warnings of the program are added to."""
    log, handler = logging.getLogger('nerf'), Warnings()
    before = log.level
    log.setLevel(logging.WARNING)
    log.addHandler(handler)
    try:
        yield handler.said
    finally:
        log.removeHandler(handler)
        log.setLevel(before)


def outcome(sandbox: Sandbox, mode: str, said: list[str]) -> str:
    """'refused', 'older' or 'same', or 'loaded' if it was forged.

    Raises:
        AssertionError: it is none of these as it should be.
    """
    try:
        trained = run_folder.load(str(sandbox.run))
    except UserError as error:
        expect_sentence(str(error))
        # Training goes on or ends in a sentence.
        with contextlib.suppress(UserError):
            run_folder.prepare(str(sandbox.run))
            run_folder.save_run(str(sandbox.run), sandbox.expected)
        return 'refused'
    if mode == 'damaged':
        expect_same(trained, sandbox, said)
    TrainingTime(str(sandbox.run), trained.step).note(trained.step + 1)
    try:
        render(trained, sandbox.run)
    except UserError as error:
        expect_sentence(str(error))
        return 'refused'
    if mode == 'forged':
        return 'loaded'
    if trained.step == STEPS[-1]:
        expect_renders(sandbox)
    return 'same' if trained.step == STEPS[-1] else 'older'


def expect_sentence(message: str) -> None:
    assert message.isprintable(), f'no sentence: {message!a}'
    assert 20 < len(message) < LONGEST, f'{len(message)} characters'


def expect_same(trained: run_folder.Trained, sandbox: Sandbox, said: list[str]) -> None:
    """Config and cameras are as they were, and the parameters are those of a step, of an older one with a warning."""
    expected = sandbox.expected
    assert trained.config.to_dict() == expected.config.to_dict(), 'another config'
    assert (trained.run.digest, trained.run.data_dir) == (expected.digest, expected.data_dir), 'other data'
    assert (trained.scene.names, trained.scene.split) == (expected.scene.names, expected.scene.split), 'other names'
    assert trained.step in STEPS, 'another step'
    assert trained.step == STEPS[-1] or said or not (sandbox.run / f'checkpoints/step_{STEPS[-1]:08d}').exists(), 'no warning'
    for one, other in ((trained.scene.cameras, expected.scene.cameras), (trained.params, sandbox.params[trained.step])):
        leaves = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
        assert all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in leaves), 'other cameras or parameters'


def expect_renders(sandbox: Sandbox) -> None:
    """The finished renders are what they were: what was damaged is made again, in another folder if its settings were too."""
    for path in sandbox.whole.rglob('*.png'):
        folder = sandbox.run / path.parent.relative_to(sandbox.whole)
        newest = max(folder.parent.glob(f'{folder.name}*'), key=lambda each: len(each.name))
        assert (newest / path.name).is_file(), f'{path.name} is missing'
        try:  # bytes behind its end make no difference
            is_same = np.array_equal(*(np.asarray(Image.open(each)) for each in (newest / path.name, path)))
        except (OSError, ValueError, SyntaxError):
            is_same = False
        assert is_same, f'{path.name} is damaged'


def try_runs(sandbox: Sandbox, numbers: range, modes=MODES, parts=PARTS) -> tuple[Counter, list[str]]:
    """How many cases ended in which way, and a report of each failure."""
    counts, failures, before = Counter(), [], sandbox.outside()
    with listening() as said, stand_ins(sandbox):
        for number in numbers:
            rng = np.random.default_rng([7, number])
            mode, part = choose(rng, modes), choose(rng, parts)
            done = mutate(sandbox, rng, mode, part)
            said.clear()
            try:
                with time_limit(SECONDS), warnings.catch_warnings():
                    warnings.simplefilter('ignore')
                    end = outcome(sandbox, mode, said)
            except (Exception, Hang) as error:
                end = 'failed'
                where = traceback.extract_tb(error.__traceback__)[-1]
                text = ' '.join(f'{type(error).__name__}: {error}'.split())[:300]
                failures.append(f'{number} ({mode}, {done}): {text!a} [{Path(where.filename).name}:{where.lineno}]')
            counts[mode, part, end] += 1
            if sandbox.outside() != before:
                failures.append(f'{number} ({mode}, {done}): something outside was written or removed')
                before = sandbox.outside()
    return counts, failures


def limit_memory() -> None:
    """What is in use now, and MEMORY more."""
    pages = int(Path('/proc/self/statm').read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--count', type=int, default=3000, help='cases')
    parser.add_argument('--start', type=int, default=0, help='the number of the first; others are mutated in other ways')
    parser.add_argument('--only', type=int, help='only the case of this number')
    parser.add_argument('--mode', choices=MODES, action='append', help='only this one')
    parser.add_argument('--part', choices=PARTS, action='append', help='only these files')
    options = parser.parse_args()
    first = options.start if options.only is None else options.only
    numbers = range(first, first + (options.count if options.only is None else 1))
    logging.getLogger('nerf').propagate = False
    with tempfile.TemporaryDirectory(prefix='mutations-') as work:
        sandbox = make_sandbox(Path(work))  # by which all is compiled and imported
        limit_memory()
        counts, failures = try_runs(sandbox, numbers, options.mode or MODES, options.part or PARTS)
    print('\n'.join(failures))
    for key in sorted(counts):
        print(f'{", ".join(key)}: {counts[key]}')
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f'{len(numbers)} cases, {len(failures)} failures, {peak:.2f} GiB of memory at most')
    sys.exit(bool(failures))


if __name__ == '__main__':
    main()
