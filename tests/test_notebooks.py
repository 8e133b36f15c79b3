"""The notebook runs, learns something, shows what it should, and repeats nothing that `nerf` has."""

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

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / 'notebooks' / 'one_ray.ipynb'
LARGEST = 600_000  # bytes

SMALL = 'SIZE, SAMPLES, BATCH, STEPS = 16, 16, 256, 120'
REPORT = """
import json, sys
json.dumps({
    'blank_psnr': blank_psnr, 'final_psnr': final_psnr, 'lift_difference': lift_difference, 'steps': len(training_mse),
    'surface': (ray.origin + true_t * ray.direction).tolist(), 'weights': trained_levels[-1].weights.tolist(),
    'by_hand': by_hand.tolist(), 'rendered': rendering.rgb.tolist(), 'tensorflow': 'tensorflow' in sys.modules,
})
"""
CELLS_WITH_PICTURES = {
    'scene', 'pixel', 'truth', 'samples', 'other-view', 'model-plot', 'row', 'image', 'batch', 'snapshots', 'curve', 'again',
    'pictures', 'geometry',
}  # fmt: skip


def read() -> nbformat.NotebookNode:
    """The notebook as it is committed."""
    return nbformat.read(NOTEBOOK, as_version=4)


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Its cells of code."""
    return [cell for cell in notebook.cells if cell.cell_type == 'code']


def cells_with_pictures(notebook: nbformat.NotebookNode) -> list[str]:
    """The id of the cell of each picture, in order."""
    outputs = [(cell.id, output) for cell in code_cells(notebook) for output in cell.outputs]
    return [cell for cell, output in outputs if 'image/png' in output.get('data', {})]


@pytest.fixture(scope='module')
def executed() -> nbformat.NotebookNode:
    """The notebook after a small run, with a cell at its end that reports values as JSON."""
    notebook = read()
    (parameters,) = [cell for cell in code_cells(notebook) if 'parameters' in cell.metadata.get('tags', [])]
    assert {name.id for name in ast.walk(ast.parse(SMALL)) if isinstance(name, ast.Name)} == {
        name.id for name in ast.walk(ast.parse(parameters.source)) if isinstance(name, ast.Name)
    }
    parameters.source = SMALL
    notebook.cells.append(nbformat.v4.new_code_cell(REPORT))
    # Without kernel folders, `python3` is the interpreter that runs this test, whatever else is installed.
    kernel = AsyncKernelManager(kernel_name='python3', kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    client = NotebookClient(notebook, km=kernel, timeout=300)
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    return client.execute(cwd=str(NOTEBOOK.parent), env=environment, cleanup_kc=True)


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
    shown = cells_with_pictures(executed)
    assert len(shown) == len(CELLS_WITH_PICTURES)
    assert set(shown) == CELLS_WITH_PICTURES


def test_is_committed_with_the_outputs_of_one_full_run() -> None:
    notebook = read()
    assert [cell.execution_count for cell in code_cells(notebook)] == list(range(1, len(code_cells(notebook)) + 1))
    assert set(cells_with_pictures(notebook)) == CELLS_WITH_PICTURES
    assert not [output for cell in code_cells(notebook) for output in cell.outputs if output.output_type == 'error']
    (training,) = [cell for cell in code_cells(notebook) if cell.id == 'train']
    printed = ''.join(output.text for output in training.outputs)
    psnr = [float(number) for number in re.findall(r': ([\d.]+) dB', printed)]
    assert psnr[-1] > psnr[0] + 8
    assert NOTEBOOK.stat().st_size < LARGEST


def test_says_nothing_that_nerf_says() -> None:
    def definitions(source: str) -> set[str]:
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        return {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)}

    code = '\n'.join(cell.source for cell in code_cells(read()))
    in_nerf = set().union(*(definitions(path.read_text()) for path in (ROOT / 'nerf').rglob('*.py')))
    assert {'cast', 'Renderer', 'image'} <= in_nerf
    assert definitions(code) == {'show_pictures', 'print_fields', 'plot_along_ray'}
    assert not definitions(code) & in_nerf
    assert not re.search(r'vmap|pmap|lax\.map', code)


def run_colab_cell(patch: pytest.MonkeyPatch, folder: Path, address: str = '', modules: Sequence[str] = ()) -> list[str]:
    """The words that pip would be run with by the first cell in `folder` on a Colab where `modules` are installed."""
    commands = []
    patch.setitem(sys.modules, 'google.colab', types.ModuleType('google.colab'))
    patch.setattr(sys, 'path', list(sys.path))
    patch.setattr(importlib.util, 'find_spec', lambda name: name in modules or None)
    patch.setattr(subprocess, 'run', lambda command, check: commands.extend(command))
    patch.chdir(folder)
    exec(code_cells(read())[0].source.replace("ADDRESS = ''", f'ADDRESS = {address!r}'), {})
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
    assert f"ADDRESS = '{url and 'git+' + url}'" in code_cells(read())[0].source


def test_first_cell_does_nothing_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, 'run', lambda *args, **options: pytest.fail('ran a command outside Colab'))
    exec(code_cells(read())[0].source, {})
