# On Colab this installs the code: from the folder of the project that lies here or on Drive, or else from its address.
import importlib.util
import subprocess
import sys
from pathlib import Path

ADDRESS = ''  # of the project, once it is published: git+https://...

if 'google.colab' in sys.modules and importlib.util.find_spec('nerf') is None:
    here, drive = Path.cwd(), Path('/content/drive/MyDrive')
    folders = [here, *here.parents, *here.glob('*'), *drive.glob('*'), *drive.glob('*/*')]
    found = [folder for folder in folders if (folder / 'nerf' / 'lifting.py').is_file()]
    if not found and not ADDRESS:
        raise FileNotFoundError(
            'upload the folder of the project, clone it, or mount the Drive it lies on; then run this cell again'
        )
    source = ['--editable', str(found[0])] if found else [ADDRESS]
    subprocess.run([sys.executable, '-m', 'pip', 'install', '--quiet', *source], check=True)
    sys.path[:0] = map(str, found[:1])  # this kernel started before the installation
