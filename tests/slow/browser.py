"""A headless browser by Chrome's own debugging protocol, which needs no package beside the viewer's."""

import base64
import contextlib
import itertools
import json
import re
import shutil
import subprocess
import tempfile
import time

NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
FLAGS = '--headless=new --no-sandbox --use-angle=swiftshader --enable-unsafe-swiftshader --hide-scrollbars'


def program():
    return next(filter(None, map(shutil.which, NAMES)), None)


class Tab:
    """One page."""

    def __init__(self, socket):
        self.socket, self.numbers = socket, itertools.count(1)

    def call(self, method, **params):
        number = next(self.numbers)
        self.socket.send(json.dumps({'id': number, 'method': method, 'params': params}))
        while (answer := json.loads(self.socket.recv(timeout=60))).get('id') != number:
            pass
        assert 'result' in answer, answer
        return answer['result']

    def run(self, script):
        result = self.call('Runtime.evaluate', expression=script, returnByValue=True, awaitPromise=True)
        assert 'exceptionDetails' not in result, result
        return result['result'].get('value')

    def text(self):
        return self.run('document.body?.innerText ?? ""')

    def wait_for(self, pattern, seconds=60):
        """Until the page's text, or the value of an input, matches; the match and how long that took."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            if found := re.search(pattern, self.text()):
                return found
            time.sleep(0.02)
        raise AssertionError(f'{pattern!r} is not in {self.text()!r}')

    def mouse(self, kind, x, y, **more):
        self.call('Input.dispatchMouseEvent', type=f'mouse{kind}', x=x, y=y, button='left', clickCount=1, **more)

    def click(self, x, y):
        self.mouse('ViewChanged', x, y, buttons=0)
        self.mouse('Pressed', x, y, buttons=1)
        self.mouse('Released', x, y, buttons=0)

    def click_text(self, text):
        """Click the innermost element of just this text."""
        where = self.run(
            f"""(() => {{
                const found = [...document.querySelectorAll('*')].filter(e => e.innerText?.trim() === {json.dumps(text)});
                const box = found.at(-1)?.getBoundingClientRect();
                return box ? [box.x + box.width / 2, box.y + box.height / 2] : null;
            }})()"""
        )
        assert where, f'{text!r} is not in {self.text()!r}'
        self.click(*where)

    def choose(self, before, after):
        """Choose another entry of the list that shows `before`."""
        where = self.run(
            f"""(() => {{
                const found = [...document.querySelectorAll('input')].find(e => e.value === {json.dumps(before)});
                const box = found.getBoundingClientRect();
                return [box.x + box.width / 2, box.y + box.height / 2];
            }})()"""
        )
        self.click(*where)
        time.sleep(0.7)  # the list unfolds
        self.click_text(after)

    def drag(self, x, y, dx, dy):
        self.mouse('ViewChanged', x, y, buttons=0)
        self.mouse('Pressed', x, y, buttons=1)
        for i in range(1, 6):
            self.mouse('ViewChanged', x + dx * i / 5, y + dy * i / 5, buttons=1)
            time.sleep(0.03)
        self.mouse('Released', x + dx, y + dy, buttons=0)

    def screenshot(self):
        return base64.b64decode(self.call('Page.captureScreenshot', format='png')['data'])


@contextlib.contextmanager
def opened(url, size=(900, 600)):
    """A browser's tab with a page."""
    import urllib.request

    from websockets.sync.client import connect

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        size = f'--window-size={size[0]},{size[1]}'
        command = [program(), *FLAGS.split(), size, f'--user-data-dir={home}', '--remote-debugging-port=0', 'about:blank']
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            port = next(filter(None, (re.search(r'listening on ws://[^:]+:(\d+)', line) for line in process.stderr))).group(1)
            tabs = json.load(urllib.request.urlopen(f'http://127.0.0.1:{port}/json/list'))
            address = next(tab for tab in tabs if tab['type'] == 'page')['webSocketDebuggerUrl']
            with connect(address, max_size=None) as socket:
                tab = Tab(socket)
                tab.call('Page.navigate', url=url)
                yield tab
        finally:
            process.terminate()
            process.wait()
