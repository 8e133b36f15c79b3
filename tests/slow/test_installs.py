"""What people install: the light package, its lower bounds, Colab's own packages, and the newest releases on other Pythons.

Each test makes a virtual environment of its own and prints what was installed in it, and how long that took (`pytest -s`).
Pythons that are not on the PATH are skipped.
"""

import configparser
import re
import shutil
import subprocess
import sys

import pytest
from commands import ROOT, finish, start
from environments import Environment, copy_of_project

KERNEL = ['ipykernel', 'nbclient', 'nbformat']
# Of Colab's runtimes for TPUs in November 2026; those of CPUs and GPUs have TensorFlow besides.
COLAB = {'jax': '0.7.2', 'jaxlib': '0.7.2', 'libtpu': '0.0.21.1', 'flax': '0.11.2', 'numpy': '2.1.3', 'absl-py': '1.4.0'}
COLAB_MODULE = """
import sys, types
colab = sys.modules['google.colab'] = types.ModuleType('google.colab')
colab.output = types.ModuleType('google.colab.output')
"""


def python_of(version):
    """The interpreter of a version, e.g. 3.13."""
    found = shutil.which(f'python{version}')
    if found is None or subprocess.run([found, '--version'], capture_output=True).returncode:
        pytest.skip(f'there is no Python {version} on the PATH')
    return found


def requirements(section, option):
    setup = configparser.ConfigParser()
    setup.read(ROOT / 'setup.cfg')
    return setup[section][option].split('\n')[1:]


def test_light(tmp_path):
    finish(start(tmp_path / 'run', '--config.num_steps=300', "--config.final_tasks=('test',)"))
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
        'test/step_300/metrics.json',
        'video/spherical_step_300/rgb.mp4',
        'mesh/step_300/mesh.ply',
        'points/step_300/points.ply',
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
    lowest.install('--no-deps', '--editable', str(copy_of_project(tmp_path / 'project')))
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


@pytest.mark.parametrize(('platform', 'topology'), [('tpu', 'v5e:2x4'), ('gpu', 'h100')])
def test_compiled_ahead_of_time(platform, topology, tmp_path):
    ahead = Environment(tmp_path / 'ahead', sys.executable)
    ahead.install(f'{copy_of_project(tmp_path / "project")}[aot-{platform}]')
    ahead.print_versions()
    options = ['--what=compile', f'--platform={platform}', f'--topology={topology}', '--config=configs/tiny.py']
    printed = ahead.succeed('python', '-m', 'nerf.benchmark', *options, cwd=tmp_path / 'project')
    print(printed)
    assert re.search(r'^train: fits +yes', printed, re.MULTILINE)
    assert re.search(r'^render: fits +yes', printed, re.MULTILINE)


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
