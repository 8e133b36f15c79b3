"""The viewer in a real browser, where there is one."""

import io
import re
import subprocess
import sys
import time

import imageio.v3 as imageio
import numpy as np
import pytest
from browser import opened, program
from commands import ROOT, finish, start, start_python

pytest.importorskip('viser')
pytestmark = pytest.mark.skipif(program() is None, reason='no browser found')

SEEN = r'\d+ x \d+ px in [\d.]+ s'


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp('run')
    finish(start(folder, '--config.final_tasks=()'))
    return folder


@pytest.fixture
def url(trained):
    command = [sys.executable, '-u', 'render.py', f'--model_dir={trained}', '--task=view', '--port=0']
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = []
    for line in process.stdout:
        said.append(line)
        if found := re.search(r'open (http://localhost:\d+) in a browser', line):
            break
    else:
        pytest.fail(''.join(said))
    yield found.group(1)
    process.send_signal(2)  # Ctrl-C
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 0, output
    assert 'Traceback' not in output


def picture(tab):
    """The part of a screenshot that no control covers, once the picture is as fine as it becomes."""
    tab.wait_for(SEEN)
    before = None
    while True:
        shot = imageio.imread(io.BytesIO(tab.screenshot()))[250:, 50:600, :3]
        if before is not None and np.array_equal(shot, before):
            return shot.astype(float)
        before = shot
        time.sleep(3)


def test_looking_around_and_saving_a_path(url, trained):
    with opened(url, (1200, 800)) as tab:
        first = picture(tab)
        assert np.ptp(first) > 20  # something is seen
        tab.drag(300, 500, 150, 40)
        moved = picture(tab)
        assert np.abs(moved - first).mean() > 1
        tab.mouse('Wheel', 300, 500, deltaX=0, deltaY=600)
        assert np.ptp(picture(tab)) > 20  # it does not vanish from afar
        tab.click_text('First view')
        again = picture(tab)
        assert np.abs(again - first).mean() < 0.1 * np.abs(moved - first).mean()
        moved = again
        tab.choose('colour', 'depth')
        depth = picture(tab)
        assert np.abs(depth - moved).mean() > 5
        tab.click_text('Add keyframe')
        tab.wait_for('1 keyframe')
        tab.drag(300, 500, -150, 20)
        tab.click_text('Add keyframe')
        tab.wait_for('2 keyframes')
        tab.click_text('Save path')
        tab.wait_for('Saved ')
    flags = ('--task=video', '--path=file', f'--path_file={trained / "path.json"}', '--width=16', '--show=rgb')
    output = finish(start_python('render.py', f'--model_dir={trained}', *flags))[0]
    assert 'video: ' in output
    assert (next(trained.glob('render/video/*/rgb.mp4'))).stat().st_size > 0
