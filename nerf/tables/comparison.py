"""Which runs are one row, which numbers may stand beside published ones, and what must be said where they differ."""

import dataclasses
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from nerf.config import FREE
from nerf.models import MODELS, default_fields
from nerf.scene_types import scene_type_of
from nerf.tables.published import BLENDER, BLENDER_MULTISCALE, LLFF, UNBOUNDED, Dataset
from nerf.tables.results import Result

# Entries that may differ between the scenes of one row: which data, and how large (which `differences` names).
_OF_A_SCENE = ('scene', 'seed', 'data.factor', 'data.width', 'data.format', 'data.near', 'data.far')
# Formats as which a scene of the papers may be read, None: recognised.
_FORMATS = (
    (BLENDER, (None, 'blender')),
    (BLENDER_MULTISCALE, (None, 'multiscale_blender')),
    (LLFF, (None, 'llff', 'colmap')),
    (UNBOUNDED, (None, 'llff', 'colmap')),
)


@dataclasses.dataclass(frozen=True)
class Method:
    """Runs of the same settings, each on another scene: a row of ours."""

    label: str
    runs: tuple[Result, ...]

    def run_on(self, scene: str) -> Result | None:
        """Return the run on a scene, if there is one."""
        return next((run for run in self.runs if run.scene == scene), None)


def by_dataset(results: Sequence[Result]) -> list[tuple[Dataset, list[Method]]]:
    """Group the results of each data set as rows; the papers' data sets first."""
    left, found = list(results), []
    for dataset, formats in _FORMATS:
        inside = [run for run in left if _is_of(run, dataset, formats)]
        left = [run for run in left if run not in inside]
        found.append((dataset, inside))
    found.append(_unpublished('other scenes', [run for run in left if not run.is_multiscale], False))
    for scene in dict.fromkeys(run.scene for run in left if run.is_multiscale):
        runs = [run for run in left if run.is_multiscale and run.scene == scene]
        found.append(_unpublished(f'{scene}, multiscale', runs, True))
    return [(dataset, methods(dataset, runs)) for dataset, runs in found if runs]


def _is_of(run: Result, dataset: Dataset, formats: tuple[str | None, ...]) -> bool:
    if run.scene not in dataset.scenes or run.is_multiscale != dataset.is_multiscale:
        return False
    # `room` is a scene of two data sets.
    is_other_room = run.scene == 'room' and scene_type_of(run.config['scene_type']).is_ndc != (dataset is LLFF)
    return run.config.get('data.format') in formats and not is_other_room


def _unpublished(title: str, runs: list[Result], is_multiscale: bool) -> tuple[Dataset, list[Result]]:
    """A data set in which nothing is published: ours are compared with each other."""
    scenes = tuple(dict.fromkeys(run.scene for run in runs))

    def shared(values: Iterable[int]) -> int:
        """Return the value, or 0 if there are several."""
        values = set(values)
        return values.pop() if len(values) == 1 else 0

    widths = tuple(shared(run.width for run in runs if run.scene == scene) for scene in scenes)
    counts = tuple(shared(len(run.images) for run in runs if run.scene == scene) for scene in scenes)
    backgrounds = {run.config['data.background'] for run in runs}
    background = backgrounds.pop() if len(backgrounds) == 1 else 'several'
    return Dataset(title, scenes, widths, counts, background, is_multiscale=is_multiscale), runs


def differences(run: Result, dataset: Dataset) -> tuple[str, ...]:
    """List how the test of a run differs from the data set's: width (by more than 1 %), number of images, background."""
    index, background, notes = dataset.scenes.index(run.scene), run.config['data.background'], []
    width, count = dataset.widths[index], dataset.test_images[index]
    if abs(run.width - width) > 0.01 * width:
        notes.append(f'at {run.width} px')
    if len(run.images) != count:
        notes.append(f'{len(run.images)} test images')
    if dataset.background not in (None, background):
        notes.append(f'over {background}')
    return tuple(notes)


def training_differences(method: Method, dataset: Dataset) -> tuple[str, ...]:
    """List how a row's training differs from that of the published rows of its model (of all, where its model has none).

    The sizes of a published model are our defaults.
    """
    run, notes = method.runs[0], []
    rays, named = run.config['batch_size'], [row for row in dataset.rows if row.steps]
    same = [row for row in named if row.model == run.model] or named
    if same and (run.step, rays) not in {(row.steps, row.rays) for row in same}:
        theirs = ' or '.join(dict.fromkeys(f'{row.steps:,} of {row.rays:,}' for row in same))
        notes.append(f'{run.step:,} steps of {rays:,} rays (published: {theirs})')
    if run.model in MODELS and any(row.model == run.model for row in dataset.rows):
        sizes = {name: size for name, size in default_fields(run.model).items() if type(size) is int}
        changed = [name for name, size in sizes.items() if run.config.get(f'model.{name}', size) != size]
        if changed:
            ours = ', '.join(f'{name} {run.config[f"model.{name}"]}' for name in changed)
            notes.append(f'{ours} (by default: {", ".join(str(sizes[name]) for name in changed)})')
    return tuple(notes)


def methods(dataset: Dataset, runs: Sequence[Result]) -> list[Method]:
    """Group runs into rows: those that differ in scene and seed alone share one; a second run on a scene begins another."""
    rows: dict[str, list[list[Result]]] = {}
    for run in runs:
        rows_of_key = rows.setdefault(_settings(run, dataset), [])
        row = next((row for row in rows_of_key if run.scene not in {other.scene for other in row}), None)
        if row is None:
            rows_of_key.append([run])
        else:
            row.append(run)
    found: list[Method] = []
    for row in (row for rows_of_key in rows.values() for row in rows_of_key):
        stem = Path(row[0].folder).absolute().name.removesuffix(f'_{row[0].scene}')
        count = sum(method.label.startswith(f'{stem} (ours') for method in found)
        found.append(Method(f'{stem} (ours, {count + 1})' if count else f'{stem} (ours)', tuple(row)))
    return found


def _settings(run: Result, dataset: Dataset) -> str:
    """What runs must share to be one row, as text."""
    ignored = (*_OF_A_SCENE, *FREE)
    config = {name: value for name, value in run.config.items() if not {name, name.split('.')[0]} & set(ignored)}
    sizes = [note for note in differences(run, dataset) if note.startswith('at ')]
    return json.dumps([run.model, run.step, run.skip_empty, sizes, config], sort_keys=True)


def mean_of(values: Iterable[float | None]) -> float | None:
    """Compute the mean, None if any value is missing or there are none."""
    values = list(values)
    return float(np.mean(values)) if values and not any(value is None for value in values) else None


def known(value: float) -> float | None:
    """Return the value, None for NaN."""
    return None if math.isnan(value) else value
