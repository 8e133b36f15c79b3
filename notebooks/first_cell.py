import importlib.util
import subprocess
import sys
from pathlib import Path

REPOSITORY = 'https://github.com/USER/REPO'  # set to the address you cloned from

if 'google.colab' in sys.modules and importlib.util.find_spec('nerf') is None:
    if REPOSITORY.endswith('USER/REPO'):
        raise ValueError('REPOSITORY is still the placeholder: set it to the address of the code, then run this cell again')
    # A newer JAX needs the plugin of the same version for the accelerator that this machine has.
    plugins = {'jax_cuda12_plugin': 'cuda12', 'jax_cuda13_plugin': 'cuda13', 'libtpu': 'tpu'}
    extras = [extra for module, extra in plugins.items() if importlib.util.find_spec(module)]
    package = './repository' + (f'[{",".join(extras)}]' if extras else '')
    subprocess.run(['git', 'clone', '--depth=1', REPOSITORY, 'repository'], check=True)
    subprocess.run([sys.executable, '-m', 'pip', 'install', '--quiet', '-e', package], check=True)
    sys.path.insert(0, str(Path('repository').resolve()))  # this kernel started before the installation
