"""README's commands, all of them, in order, as a user would type them into a fresh environment in a fresh copy of the project.

None fails, and no file that one made is missing after another; frames and tables aside, none changes either. Only what
`REPLACED` says is other than in README: step counts, data folders, and the time that a page is looked at.
"""

import re
import subprocess
import sys
import time
import urllib.request

import imageio.v3 as imageio
from commands import ROOT
from environments import Environment, copy_of_project
from room import room_view

REPLACED = {
    'pytest': 'pytest tests/test_lifting.py',  # all of it: tests/slow/test_installs.py
    # The papers' networks learn nothing in few steps, and without a surface there is no mesh.
    'configs/mipnerf_blender.py:lego': 'configs/instant_small.py:lego --config.num_steps=300',
    'configs/nerf_blender.py:lego': 'configs/nerf_small.py:lego --config.num_steps=20',
    'configs/tiny.py --debug_ray': 'configs/tiny.py --debug_ray',
    'configs/tiny.py': 'configs/tiny.py --config.num_steps=40',
    'configs/photos.py': 'configs/photos.py --config.num_steps=40 --config.data.width=48',
    '--step=250000': '--step=300',
    '--num_frames=240': '--num_frames=3',
    '--width=200': '--width=12',
    '--what=compile --platform=tpu --topology=v5e:2x4 --config=configs/mipnerf_small.py': (
        '--what=compile --platform=tpu --topology=v5e:2x4 --config=configs/tiny.py'
    ),
    'benchmark --config=configs/mipnerf_small.py': 'benchmark --config=configs/tiny.py --pairs=3',
}
PAGES = ('tensorboard', '--task=view', '--viewer')  # commands that show a page until Ctrl-C
FOLDERS = ('nerf_synthetic', 'photos', 'my_scene', 'logs')
MAY_CHANGE = re.compile(r'frames/|events\.out|run\.json|training\.json|\.training_lock')


def commands_of_readme():
    """The lines of all blocks of bash, without their comments; those with `...` are forms, not commands."""
    blocks = re.findall(r'^```bash\n(.*?)^```', (ROOT / 'README.md').read_text(), re.MULTILINE | re.DOTALL)
    lines = [line.split('  #')[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and '...' not in line]


def replaced(line):
    """The line with what `REPLACED` says, each part of it once, the longest first."""
    pattern = '|'.join(re.escape(part) for part in sorted(REPLACED, key=len, reverse=True))
    return re.sub(rf'(?<![\w/.])(?:{pattern})(?!\w)', lambda found: REPLACED[found[0]], line)


def files_of(project):
    found = [path for name in FOLDERS for path in (project / name).rglob('*')]
    return {str(path.relative_to(project)): path.read_bytes() for path in found if path.is_file()}


def look_at_the_page(environment, line, project):
    """Start a command that serves a page, fetch that, and press Ctrl-C."""
    log = project / 'page.log'
    with log.open('w') as out:
        served = environment.start(line, cwd=project, stdout=out, stderr=subprocess.STDOUT)
        end = time.monotonic() + 240
        while not (found := re.search(r'https?://[\w.\[\]]+:\d+', log.read_text())):
            assert served.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.5)
        assert urllib.request.urlopen(found[0] + '/', timeout=60).status == 200
        environment.interrupt(served)
        served.wait(timeout=240)
    assert 'Traceback' not in log.read_text(), log.read_text()


def test_all_commands_in_order_leave_what_the_others_made(tmp_path):
    environment = Environment(tmp_path / 'environment', sys.executable)
    project = copy_of_project(tmp_path / 'project')
    (project / 'photos').mkdir()
    for i in range(8):
        imageio.imwrite(project / 'photos' / f'{i}.png', room_view(i))
    before = files_of(project)
    for line in map(replaced, commands_of_readme()):
        begin = time.monotonic()
        if any(word in line for word in PAGES):
            look_at_the_page(environment, line, project)
        else:
            environment.succeed_in_shell(line, cwd=project)
        after = files_of(project)
        missing = before.keys() - after.keys()
        changed = [name for name in before if after.get(name) != before[name] and not MAY_CHANGE.search(name)]
        print(f'{time.monotonic() - begin:5.0f} s  {line}  (+{len(after) - len(before)} files)')
        assert not missing, (line, missing)
        assert not changed, (line, changed)
        if 'nerf_synthetic' not in map(str, (path.name for path in project.iterdir())):  # needs the first installation
            environment.succeed('python', '-m', 'nerf.data.procedural', '--out=nerf_synthetic/lego', '--width=16', cwd=project)
            after = files_of(project)
        before = after
    assert len(commands_of_readme()) > 20


def test_every_replacement_is_used_and_none_hides_another():
    lines = '\n'.join(commands_of_readme())
    assert [part for part in REPLACED if part not in lines] == []
    assert replaced('python main.py --config=configs/tiny.py --debug_ray=a,1,2') == (
        'python main.py --config=configs/tiny.py --debug_ray=a,1,2'
    )
    assert replaced("pip install -e '.[test]' && pytest") == "pip install -e '.[test]' && pytest tests/test_lifting.py"
