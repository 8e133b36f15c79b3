"""The first cell of every notebook, which installs the code on Colab: its text lives in notebooks/first_cell.py.

python -m nerf.lessons.first_cell        writes it into all notebooks, after it was changed
"""

import json
from pathlib import Path

NOTEBOOKS = Path(__file__).parents[2] / 'notebooks'


def write(folder: Path = NOTEBOOKS) -> None:
    """Write the text of `first_cell.py` into the cell `colab` of every notebook of a folder."""
    text = (folder / 'first_cell.py').read_text(encoding='utf-8').removesuffix('\n')
    for path in sorted(folder.glob('*.ipynb')):
        notebook = json.loads(path.read_text(encoding='utf-8'))
        for cell in notebook['cells']:
            if cell.get('id') == 'colab':
                cell['source'] = text.splitlines(keepends=True)
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + '\n', encoding='utf-8')


if __name__ == '__main__':
    write()
