"""All notebooks have one form, are committed with the outputs of one run, and run; the first learns something.

`SMALL` is the table of them, with the settings of a small run.
"""

import ast
import configparser
import importlib.util
import json
import os
import re
import subprocess
import sys
import types
from collections.abc import Sequence
from pathlib import Path

import nbformat
import numpy as np
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from nerf.data.built_in.still_life import CORAL
from nerf.lessons import checks, faults, first_cell

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / 'notebooks'
LARGEST = 600_000  # bytes

SMALL = {
    '00_one_ray': 'SIZE, SAMPLES, BATCH, STEPS = 16, 16, 256, 120',
    '01_a_pixel_sees_a_line': 'SIZE, NOISE = 32, 0.3',
    '02_density_to_colour': 'PHOTONS, STEPS = 500, 100',
    '03_where_to_sample': 'KEYS, DRAWS = 50, 500',
    '04_what_a_network_can_see': 'STEPS, RUN = 30, 10',
    '05_mip_nerf': 'POINTS, NODES = 20_000, 60',
    '06_all_of_space': 'STEPS, POINTS = 20, 500',
    '07_hash_grids': 'STEPS, WIDTH = 10, 16',
    '08_the_lift': 'RAYS, STEPS = 128, 2',
}
FAST = ('00_one_ray', '02_density_to_colour', '05_mip_nerf')  # the others are run by `pytest -m slow`
PATHS = sorted(FOLDER.glob('*.ipynb'))
FORM = (
    *('Question', 'Guess', 'Derive', 'Compute', 'Check', 'Break it', 'Exercises'),
    *('What you may believe now that is false', 'Where next'),
)
DRAWINGS = {'show', 'show_pictures', 'sliders', 'along_ray'}
REPORT = """
import json, sys
json.dumps({
    'blank_psnr': blank_psnr, 'final_psnr': final_psnr, 'lift_difference': lift_difference, 'steps': len(training_mse),
    'surface': (ray.origin + true_t * ray.direction).tolist(), 'weights': trained_levels[-1].weights.tolist(),
    'by_hand': by_hand.tolist(), 'rendered': rendering.rgb.tolist(), 'tensorflow': 'tensorflow' in sys.modules,
})
"""

each_notebook = pytest.mark.parametrize('path', PATHS, ids=lambda path: path.stem)


def read(path: Path) -> nbformat.NotebookNode:
    """A notebook as it is committed."""
    return nbformat.read(path, as_version=4)


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Its cells of code."""
    return [cell for cell in notebook.cells if cell.cell_type == 'code']


def exercise_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Its cells that wait for the reader's answer."""
    return [cell for cell in code_cells(notebook) if 'exercise' in cell.metadata.get('tags', [])]


def pictures_of(cell: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The outputs of a cell that are pictures."""
    return [output for output in cell.outputs if 'image/png' in output.get('data', {})]


def cells_with_pictures(notebook: nbformat.NotebookNode) -> list[str]:
    """The id of the cell of each picture, in order."""
    return [cell.id for cell in code_cells(notebook) for _ in pictures_of(cell)]


def run_small(path: Path, *more: str) -> nbformat.NotebookNode:
    """Run a notebook at small settings, with further cells at its end."""
    notebook = read(path)
    (parameters,) = [cell for cell in code_cells(notebook) if 'parameters' in cell.metadata.get('tags', [])]
    names = [
        {name.id for name in ast.walk(ast.parse(source)) if isinstance(name, ast.Name)}
        for source in (SMALL[path.stem], parameters.source)
    ]
    assert names[0] == names[1]
    parameters.source = SMALL[path.stem]
    notebook.cells.extend(nbformat.v4.new_code_cell(source) for source in more)
    # Without kernel folders, `python3` is the interpreter that runs this test, whatever else is installed.
    kernel = AsyncKernelManager(kernel_name='python3', kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    client = NotebookClient(notebook, km=kernel, timeout=300)
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    return client.execute(cwd=str(FOLDER), env=environment, cleanup_kc=True)


@pytest.fixture(scope='module')
def executed() -> nbformat.NotebookNode:
    """Notebook 00 after a small run, with a cell at its end that reports values as JSON."""
    return run_small(FOLDER / '00_one_ray.ipynb', REPORT)


@pytest.fixture(scope='module')
def report(executed: nbformat.NotebookNode) -> dict:
    """The values that the small run ended with."""
    return json.loads(ast.literal_eval(executed.cells[-1].outputs[0].data['text/plain']))


def test_a_small_run_learns(report: dict) -> None:
    assert report['steps'] == 120
    assert report['final_psnr'] > report['blank_psnr'] + 3


def test_the_ray_meets_the_ball_it_is_aimed_at(report: dict) -> None:
    from_centre = np.array(report['surface']) - np.array(CORAL[:3])
    np.testing.assert_allclose(np.linalg.norm(from_centre), CORAL[3], rtol=1e-4)


def test_one_ray_is_its_copy_in_the_row_and_the_sum_by_hand(report: dict) -> None:
    assert report['lift_difference'] < 1e-5
    np.testing.assert_allclose(report['by_hand'], report['rendered'], atol=1e-5)
    assert 0 < sum(report['weights']) <= 1 + 1e-5


def test_needs_no_tensorflow(report: dict) -> None:
    assert report['tensorflow'] is False


def test_every_picture_is_shown(executed: nbformat.NotebookNode) -> None:
    assert cells_with_pictures(executed) == cells_with_pictures(read(FOLDER / '00_one_ray.ipynb'))


@pytest.mark.parametrize(
    'path',
    [pytest.param(path, marks=[] if path.stem in FAST else pytest.mark.slow) for path in PATHS if path.stem != '00_one_ray'],
    ids=lambda path: path.stem,
)
def test_a_lesson_runs_and_shows_its_pictures(path: Path) -> None:
    heavy = "import sys\n[name for name in ('tensorflow', 'clu', 'pandas', 'tensorflow_datasets') if name in sys.modules]"
    done = run_small(path, heavy)
    assert done.cells[-1].outputs[0].data['text/plain'] == '[]'
    assert cells_with_pictures(done) == cells_with_pictures(read(path))


@each_notebook
def test_has_a_number_a_badge_and_the_one_first_cell(path: Path) -> None:
    notebook = read(path)
    title, setup, first = notebook.cells[:3]
    assert title.id == 'title'
    assert title.source.startswith(f'# {path.stem[:2]} ')
    assert (
        f'colab-badge.svg)](https://colab.research.google.com/github/USER/REPO/blob/main/notebooks/{path.name})' in title.source
    )
    assert setup.source == read(PATHS[0]).cells[1].source
    assert first.source == (FOLDER / 'first_cell.py').read_text().removesuffix('\n'), 'run python -m nerf.lessons.first_cell'


@each_notebook
def test_has_the_form_of_a_lesson(path: Path) -> None:
    headings = re.findall(
        r'^## (.+)$', '\n'.join(cell.source for cell in read(path).cells if cell.cell_type == 'markdown'), re.M
    )
    wanted = ['Exercises', 'Where next'] if path.stem == '00_one_ray' else list(FORM)
    assert [heading for heading in headings if heading in wanted] == wanted


@each_notebook
def test_is_committed_with_the_outputs_of_one_full_run(path: Path) -> None:
    cells = code_cells(read(path))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [output for cell in cells for output in cell.outputs if output.output_type == 'error']
    assert not [output for cell in cells for output in cell.outputs if output.get('name') == 'stderr']
    assert path.stat().st_size < LARGEST
    # What draws has its pictures, all of them with a text.
    for cell in cells:
        calls = [node.func.attr for node in ast.walk(ast.parse(cell.source)) if is_of_pictures(node)]
        assert bool(pictures_of(cell)) == bool(DRAWINGS & set(calls)), cell.id
        for output in pictures_of(cell):
            assert len(output.metadata['image/png']['alt']) > 40, f'{cell.id} needs a text that says what its picture shows'


def is_of_pictures(node: ast.AST) -> bool:
    """Whether a node calls a function of `nerf.lessons.pictures`."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == 'pictures'


@each_notebook
def test_exercises_wait_for_an_answer_and_all_of_them_are_there(path: Path) -> None:
    cells = exercise_cells(read(path))
    found = [re.search(r"^check\('([\d.]+)', answer\)$", cell.source, re.M).group(1) for cell in cells]
    assert found == list(checks.exercises(path.stem[:2]))
    for cell in cells:
        (output,) = cell.outputs
        assert 'has no answer yet' in output.text


def test_every_lesson_has_a_notebook_and_a_solution() -> None:
    assert [path.stem[:2] for path in PATHS] == list(checks.LESSONS)
    assert [path.stem for path in sorted((FOLDER / 'solutions').glob('*.py'))] == list(checks.LESSONS)
    assert set(SMALL) == {path.stem for path in PATHS}


def test_the_first_notebook_learned_when_it_was_run() -> None:
    (training,) = [cell for cell in code_cells(read(PATHS[0])) if cell.id == 'train']
    psnr = [float(number) for number in re.findall(r': ([\d.]+) dB', ''.join(output.text for output in training.outputs))]
    assert psnr[-1] > psnr[0] + 8


@each_notebook
def test_says_nothing_that_nerf_says(path: Path) -> None:
    def definitions(source: str) -> set[str]:
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        return {node.name for node in ast.parse(source).body if isinstance(node, kinds)}

    cells = code_cells(read(path))
    code = '\n'.join(cell.source for cell in cells if cell not in exercise_cells(read(path)))
    of_one_ray = set().union(*(definitions(each.read_text()) for each in (ROOT / 'nerf/ray').glob('*.py')))
    assert {'cast', 'weights', 'integrated'} <= of_one_ray
    assert not definitions(code) & of_one_ray
    assert not re.search(r'vmap|pmap|lax\.map', code)


def test_every_planted_fault_is_revealed_by_a_cell() -> None:
    code = '\n'.join(cell.source for path in PATHS for cell in code_cells(read(path)))
    assert not [name for name in faults.FAULTS if repr(name) not in code]


def test_the_first_cell_is_written_into_every_notebook(tmp_path: Path) -> None:
    (tmp_path / 'first_cell.py').write_text("print('new')\n")
    (tmp_path / 'a.ipynb').write_text(PATHS[0].read_text())
    first_cell.write(tmp_path)
    new, old = read(tmp_path / 'a.ipynb'), read(PATHS[0])
    assert new.cells[2].source == "print('new')"
    assert new.cells[3:] == old.cells[3:]


FIRST_CELL = FOLDER / 'first_cell.py'


def run_colab_cell(patch: pytest.MonkeyPatch, folder: Path, address: str = '', modules: Sequence[str] = ()) -> list[str]:
    """The words that pip would be run with by the first cell in `folder` on a Colab where `modules` are installed."""
    commands = []
    patch.setitem(sys.modules, 'google.colab', types.ModuleType('google.colab'))
    patch.setattr(sys, 'path', list(sys.path))
    patch.setattr(importlib.util, 'find_spec', lambda name: name in modules or None)
    patch.setattr(subprocess, 'run', lambda command, check: commands.extend(command))
    patch.chdir(folder)
    exec(FIRST_CELL.read_text().replace("ADDRESS = ''", f'ADDRESS = {address!r}'), {})
    assert commands[:5] == [sys.executable, '-m', 'pip', 'install', '--quiet'][: len(commands)]
    return commands[5:]


@pytest.mark.parametrize('where', ['.', 'notebooks', '..'])
def test_colab_cell_installs_the_folder_that_it_lies_in_or_beside(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str
) -> None:
    project = tmp_path / 'project'
    for folder in ('nerf', 'notebooks'):
        (project / folder).mkdir(parents=True)
    (project / 'nerf' / 'lifting.py').touch()
    found = run_colab_cell(monkeypatch, (project / where).resolve(), 'git+https://example.org/a/b')
    assert found == ['--editable', str(project)]
    assert sys.path[0] == str(project)


def test_colab_cell_installs_from_the_address_where_there_is_no_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert run_colab_cell(monkeypatch, tmp_path, 'git+https://example.org/a/b') == ['git+https://example.org/a/b']
    with pytest.raises(FileNotFoundError, match='upload the folder of the project'):
        run_colab_cell(monkeypatch, tmp_path)
    assert run_colab_cell(monkeypatch, tmp_path, modules=['nerf']) == []


def test_colab_cell_has_the_address_of_the_project() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / 'setup.cfg')
    url = setup['metadata'].get('url', '')
    assert f"ADDRESS = '{url and 'git+' + url}'" in FIRST_CELL.read_text()


def test_first_cell_does_nothing_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, 'run', lambda *args, **options: pytest.fail('ran a command outside Colab'))
    exec(FIRST_CELL.read_text(), {})
