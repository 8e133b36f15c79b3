"""Tables of numbers with notes, from rows of runs and published ones."""

import dataclasses
from collections.abc import Sequence

from nerf.render.metrics import METRICS
from nerf.tables.comparison import Method, by_dataset, differences, known, mean_of, training_differences
from nerf.tables.published import Dataset, Published
from nerf.tables.results import Result

SAMPLES = ('num_coarse', 'num_fine', 'num_proposal', 'num_samples')
# We do not know with which network and colours each paper measured: its LPIPS stands beside each of ours.
_LPIPS = 'published LPIPS may be of another network and range of colours: compare them with each other, not with ours'


@dataclasses.dataclass(frozen=True)
class Cell:
    """A number, None if there is none, and what must be said with it."""

    value: float | None = None
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Row:
    """A method, with what must be said about all of its numbers."""

    label: str
    is_ours: bool
    cells: tuple[Cell, ...]
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Table:
    """One metric of one data set; `remarks` are about the whole of it."""

    dataset: str
    metric: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    remarks: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """For people."""
        return f'{METRICS[self.metric].label}: {self.dataset}'

    def number(self, cell: Cell) -> str:
        """Format a cell's number, '' if there is none."""
        return '' if cell.value is None else f'{cell.value:.{METRICS[self.metric].decimals}f}'


@dataclasses.dataclass(frozen=True)
class Report:
    """All tables, how ours was measured, and a line about each run of ours."""

    tables: tuple[Table, ...]
    protocols: tuple[str, ...]
    runs: tuple[str, ...]


def report(results: Sequence[Result]) -> Report:
    """Everything about these results."""
    tables, runs = [], []
    for dataset, rows in by_dataset(results):
        tables += [table for metric in METRICS if (table := make_table(dataset, rows, metric)) is not None]
        runs += [describe(run, row.label) for row in rows for run in row.runs]
    protocols = list(dict.fromkeys(run.protocol for run in results))
    if len(protocols) > 1:
        protocols = [
            f'{", ".join(str(run.folder) for run in results if run.protocol == protocol)}: {protocol}' for protocol in protocols
        ]
    return Report(tuple(tables), tuple(protocols), tuple(runs))


def make_table(dataset: Dataset, methods: Sequence[Method], metric: str) -> Table | None:
    """Make the table of one metric of one data set, without empty columns; None if none of ours has it."""
    columns, rows, remarks = (_by_scale if dataset.is_multiscale else _by_scene)(dataset, methods, metric)
    rows = [row for row in rows if any(cell.value is not None for cell in row.cells)]
    if not any(row.is_ours for row in rows):
        return None
    kept = [i for i in range(len(columns)) if any(row.cells[i].value is not None for row in rows)]
    rows = [dataclasses.replace(row, cells=tuple(row.cells[i] for i in kept)) for row in rows]
    if dataset.rows:
        remarks.insert(0, f'published: {dataset.protocol}')
    if any(not row.is_ours and _is_lpips(metric) for row in rows):
        remarks.append(_LPIPS)
    return Table(dataset.title, metric, tuple(columns[i] for i in kept), tuple(rows), tuple(remarks))


def _by_scene(dataset: Dataset, methods: Sequence[Method], metric: str) -> tuple[list[str], list[Row], list[str]]:
    """Columns, rows and remarks: each scene, the mean of a row that has all, and the mean over what all of ours have."""
    count, columns, remarks = len(dataset.scenes), [*dataset.scenes, 'mean'], []
    ours = [_scene_row(method, dataset, metric) for method in methods]
    rows = [*(_published_row(row, dataset, metric, count) for row in dataset.rows), *ours]
    common = [i for i in range(count) if all(row.cells[i].value is not None for row in ours)]
    # A mean over fewer scenes may stand beside others only in a column in which all are means over these.
    if 1 < len(common) < count:
        rows = [dataclasses.replace(row, cells=(*row.cells, _mean([row.cells[i] for i in common]))) for row in rows]
        columns.append(f'mean of {len(common)}')
        remarks.append(f'mean of {len(common)}: {", ".join(columns[i] for i in common)}')
    return columns, rows, remarks


def _by_scale(dataset: Dataset, methods: Sequence[Method], metric: str) -> tuple[list[str], list[Row], list[str]]:
    """Columns, rows and remarks: each scale, the full size first."""
    count = max((len(run.by_width) for method in methods for run in method.runs), default=4)
    columns = ['full', *(f'1/{2**i}' for i in range(1, count))]
    rows = [_published_row(row, dataset, metric, count) for row in dataset.rows]
    return columns, [*rows, *(_scale_row(method, dataset, metric, count) for method in methods)], []


def _mean(cells: Sequence[Cell]) -> Cell:
    """The mean of cells, with all their notes; empty if one of them is."""
    value = mean_of(cell.value for cell in cells)
    return Cell() if value is None else Cell(value, tuple(dict.fromkeys(note for cell in cells for note in cell.notes)))


def _is_lpips(metric: str) -> bool:
    return metric.startswith('lpips_')


def _published_row(row: Published, dataset: Dataset, metric: str, count: int) -> Row:
    values = row.psnr if metric == 'psnr' else ()
    cells = [Cell(value) for value in (*values, *[None] * count)[:count]]
    if not dataset.is_multiscale:
        cells.append(Cell(row.means.get('lpips' if _is_lpips(metric) else metric)))
    return Row(row.label, False, tuple(cells), (row.note,) if row.note and metric == 'psnr' else ())


def _scene_row(method: Method, dataset: Dataset, metric: str) -> Row:
    """A row of ours: each scene, and their mean if there are several and it has all."""
    cells = []
    for scene in dataset.scenes:
        run = method.run_on(scene)
        value = known(run.mean[metric]) if run else None
        cells.append(Cell() if value is None else Cell(value, differences(run, dataset)))
    mean = _mean(cells) if len(cells) > 1 else Cell()
    return Row(method.label, True, (*cells, mean), training_differences(method, dataset))


def _scale_row(method: Method, dataset: Dataset, metric: str, count: int) -> Row:
    """A row of ours: means over its scenes at each scale, the widest first."""
    by_scale = [[known(means[metric]) for means in run.by_width.values()] + [None] * count for run in method.runs]
    cells = [Cell(mean_of(values)) for values in list(zip(*by_scale, strict=False))[:count]]
    notes = list(dict.fromkeys(note for run in method.runs for note in differences(run, dataset)))
    if len(method.runs) < len(dataset.scenes):
        notes.insert(0, f'{len(method.runs)} of {len(dataset.scenes)} scenes: {", ".join(run.scene for run in method.runs)}')
    return Row(method.label, True, tuple(cells), (*notes, *training_differences(method, dataset)))


def describe(run: Result, label: str) -> str:
    """Describe a run in a line: what it was, how it was trained and tested, how long and on what."""
    config = run.config
    samples = [f'{config[f"model.{name}"]} {name[4:]}' for name in SAMPLES if f'model.{name}' in config]
    facts = [
        run.model,
        f'step {run.step:,} of {config["num_steps"]:,}',
        f'{config["batch_size"]:,} rays a step',
        *([f'rays of {" + ".join(samples)}'] if samples else []),
        f'seed {config["seed"]}',
        'empty space skipped' if run.skip_empty else 'nothing skipped',
        f'{run.width} px',
        f'{len(run.images)} test images (list {run.digest})',
        'time not recorded' if run.seconds is None else f'{duration(run.seconds)} on {", then ".join(run.hardware)}',
    ]
    return f'{label}, {run.scene} ({run.folder}): {", ".join(facts)}'


def duration(seconds: float) -> str:
    """Hours, or minutes if it is less than one."""
    return f'{seconds / 3600:.2f} h' if seconds >= 3600 else f'{seconds / 60:.1f} min'
