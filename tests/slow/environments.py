"""Virtual environments and copies of the project for tests of what people install and type."""

import os
import shutil
import signal
import subprocess
import time

from commands import ROOT

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

    def run_notebook(self, path='', name='00_one_ray', cwd=ROOT / 'notebooks'):
        self.succeed('python', '-c', NOTEBOOK, ROOT / 'notebooks' / f'{name}.ipynb', SMALL, cwd, path=path)

    def start(self, line, cwd, **options):
        """Start a line as a shell in which the environment is active."""
        variables = {**os.environ, 'PATH': f'{self.folder / "bin"}:{os.environ["PATH"]}', 'VIRTUAL_ENV': str(self.folder)}
        variables |= {'TFDS_DATA_DIR': str(self.folder / 'tensorflow_datasets'), 'PYTHONPATH': ''}
        return subprocess.Popen(['bash', '-c', line], cwd=cwd, env=variables, text=True, start_new_session=True, **options)

    def interrupt(self, started):
        """Press Ctrl-C."""
        os.killpg(started.pid, signal.SIGINT)

    def succeed_in_shell(self, line, cwd):
        started = self.start(line, cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output = started.communicate(timeout=1200)[0]
        assert started.returncode == 0, f'{line}:\n{output[-3000:]}'


def copy_of_project(folder):
    """What a user downloads: all files that are in the repository."""
    shutil.copytree(
        ROOT, folder, ignore=shutil.ignore_patterns('.git', 'logs', 'build', '*.egg-info', '__pycache__', '.*cache')
    )
    return folder
