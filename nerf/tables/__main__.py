"""Many runs in one table beside the papers' numbers.

python -m nerf.tables FOLDER ... [--format=text|markdown|csv|latex] [--out=FILE]
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from nerf.errors import exit_with_sentence
from nerf.tables.assembling import report
from nerf.tables.formats import FORMATS
from nerf.tables.results import METRICS_FILE, read_results


@exit_with_sentence
def main(args: Sequence[str] | None = None) -> None:
    """Run the command: read the runs, name those without metrics, print the tables or write them to a file."""
    parser = argparse.ArgumentParser(prog='python -m nerf.tables', description='Compare runs with the papers.')
    parser.add_argument('folders', nargs='*', type=os.path.expanduser, help='of training runs: logs/*')
    parser.add_argument('--format', default='text', choices=FORMATS)
    parser.add_argument('--out', type=os.path.expanduser, help='a file to write the tables to')
    given = parser.parse_args(args)
    results, left_out = read_results(given.folders)
    if left_out:
        print(f'warning: left out, no {METRICS_FILE}: {", ".join(left_out)}', file=sys.stderr)
    text = FORMATS[given.format](report(results))
    if given.out is None:
        print(text, end='')
        return
    from nerf.host.files import write_atomically  # needs all that checkpoints need, which takes seconds

    write_atomically(Path(given.out), text.encode())


if __name__ == '__main__':
    main()
