"""What people install: the light package, its lower bounds, Colab's own packages, and the newest releases on other Pythons.

Each test makes a virtual environment of its own and prints what was installed in it, and how long that took (`pytest -s`).
Pythons that are not on the PATH are skipped.
"""

import configparser
import os
import re
import shutil
import subprocess
import sys
import time

import pytest
from commands import ROOT, finish, start

KERNEL = ['ipykernel', 'nbclient', 'nbformat']
# Of Colab's runtimes for TPUs in November 2026; those of CPUs and GPUs have TensorFlow besides.
COLAB = {'jax': '0.7.2', 'jaxlib': '0.7.2', 'libtpu': '0.0.21.1', 'flax': '0.11.2', 'numpy': '2.1.3', 'absl-py': '1.4.0'}
COLAB_MODULE = 'import sys, types\nsys.modules["google.colab"] = types.ModuleType("google.colab")\n'
NOTEBOOK = """
import sys, nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
for cell in notebook.cells:
    if 'parameters' in cell.metadata.get('tags', []):
        cell.source = sys.argv[2]
kernel = AsyncKernelManager(kernel_name='python3', kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
NotebookClient(notebook, km=kernel, timeout=600).execute(cwd=sys.argv[3])
"""
SMALL = 'SIZE, SAMPLES, BATCH, STEPS = 16, 16, 256, 120'


class Environment:
    """A virtual environment; none of its commands sees the packages of the one that runs the tests."""

    def __init__(self, folder, python):
        self.folder = folder
        subprocess.run([python, '-m', 'venv', str(folder)], check=True)

    def run(self, *words, path='', cwd=ROOT):
        variables = {**os.environ, 'PYTHONPATH': str(path), 'JAX_PLATFORMS': 'cpu', 'VIRTUAL_ENV': str(self.folder)}
        command = [str(self.folder / 'bin' / words[0]), *map(str, words[1:])]
        return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True)

    def succeed(self, *words, **options):
        done = self.run(*words, **options)
        assert done.returncode == 0, f'{words}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}'
        return done.stdout

    def install(self, *packages):
        begin = time.monotonic()
        self.succeed('pip', 'install', '--quiet', *packages)
        return time.monotonic() - begin

    def versions(self):
        lines = self.succeed('pip', 'list', '--format=freeze').split()
        return dict(line.lower().replace('_', '-').split('==') for line in lines if '==' in line)

    def megabytes(self):
        return sum(file.stat().st_size for file in self.folder.rglob('*') if file.is_file()) / 1e6

    def print_versions(self):
        found = self.versions()
        names = ('jax', 'jaxlib', 'flax', 'optax', 'numpy', 'tensorflow-cpu', 'clu', 'tensorflow-datasets')
        print(
            self.succeed('python', '--version').strip(), *(f'{name} {found[name]}' for name in names if name in found), sep=', '
        )

    def run_notebook(self, path='', name='one_ray', cwd=ROOT / 'notebooks'):
        self.succeed('python', '-c', NOTEBOOK, ROOT / 'notebooks' / f'{name}.ipynb', SMALL, cwd, path=path)


def python_of(version):
    """The interpreter of a version, e.g. 3.13."""
    found = shutil.which(f'python{version}')
    if found is None or subprocess.run([found, '--version'], capture_output=True).returncode:
        pytest.skip(f'there is no Python {version} on the PATH')
    return found


def copy_of_project(folder):
    """What a user downloads: all files that are in the repository."""
    shutil.copytree(
        ROOT, folder, ignore=shutil.ignore_patterns('.git', 'logs', 'build', '*.egg-info', '__pycache__', '.*cache')
    )
    return folder


def requirements(section, option):
    setup = configparser.ConfigParser()
    setup.read(ROOT / 'setup.cfg')
    return setup[section][option].split('\n')[1:]


def test_light(tmp_path):
    finish(start(tmp_path / 'run', "--config.final_tasks=('test',)"))
    project = copy_of_project(tmp_path / 'project')
    light = Environment(tmp_path / 'light', sys.executable)
    seconds = light.install(str(project))
    print(f'pip install .: {seconds:.0f} s, {light.megabytes():.0f} MB')
    light.print_versions()
    assert not {'tensorflow', 'tensorflow-cpu', 'clu', 'tensorflow-datasets', 'tensorboard'} & light.versions().keys()
    tasks = '--task=test,video,mesh,points,cameras,geometry'
    options = ['--num_frames=3', '--level=0.1', '--resolution=32', '--bounds=-1,-1,-1,1,1,1']
    light.succeed('python', 'render.py', f'--model_dir={tmp_path / "run"}', tasks, *options, cwd=project)
    for made in (
        'test/step_40/metrics.json',
        'video/spherical_step_40/rgb.mp4',
        'mesh/step_40/mesh.ply',
        'points/step_40/points.ply',
    ):
        assert (tmp_path / 'run' / 'render' / made).is_file()
    done = light.run('python', 'main.py', '--config=configs/tiny.py', f'--model_dir={tmp_path / "other"}', cwd=project)
    said = "error: tensorflow is not installed, which training needs: pip install -e '.[train]' in the folder of this project\n"
    assert (done.returncode, done.stderr) == (1, said)
    assert not (tmp_path / 'other').exists()
    light.install(*KERNEL)
    light.run_notebook()


def test_lower_bounds(tmp_path):
    lowest = Environment(tmp_path / 'lowest', sys.executable)
    lowest.install('pytest', 'pytest-xdist', 'beartype', *KERNEL)
    pins = [line.replace('>=', '==') for line in requirements('options', 'install_requires')]
    lowest.install(*pins)
    lowest.install('--no-deps', '--no-build-isolation', '--editable', str(copy_of_project(tmp_path / 'project')))
    lowest.print_versions()
    tests = ['tests/test_lifting.py', 'tests/train/test_step.py', 'tests/ray', 'tests/fields', 'tests/models', 'tests/render']
    print(lowest.succeed('python', '-m', 'pytest', '-q', *tests, cwd=tmp_path / 'project').strip().splitlines()[-1])
    lowest.run_notebook()


def test_colab(tmp_path):
    """Nothing that Colab's accelerators need changes, and the notebook runs from its first cell on."""
    colab = Environment(tmp_path / 'colab', python_of('3.13'))
    colab.install(*(f'{name}=={version}' for name, version in COLAB.items()), 'pandas', 'matplotlib', 'pillow', *KERNEL)
    before = colab.versions()
    project = copy_of_project(tmp_path / 'content' / 'project')
    (tmp_path / 'path').mkdir()
    (tmp_path / 'path' / 'sitecustomize.py').write_text(COLAB_MODULE)
    colab.run_notebook(path=tmp_path / 'path', cwd=project.parent)
    after = colab.versions()
    colab.print_versions()
    assert 'nerf-one-ray' in after
    assert {name: version for name, version in after.items() if before.get(name, version) != version} == {}
    assert COLAB.items() <= after.items()


@pytest.mark.parametrize('version', ['3.11', '3.12', '3.13'])
def test_newest(version, tmp_path):
    """The whole suite, with what `pip install` gives to a new user."""
    newest = Environment(tmp_path / 'newest', python_of(version))
    project = copy_of_project(tmp_path / 'project')
    seconds = newest.install('--editable', f'{project}[test]')
    print(f"pip install -e '.[test]': {seconds:.0f} s, {newest.megabytes():.0f} MB")
    newest.print_versions()
    done = newest.succeed('python', '-m', 'pytest', cwd=project)
    print(re.findall(r'=+ (.* passed.*) =+', done)[-1])
