"""A report as text, Markdown, CSV or LaTeX."""

import re
from collections.abc import Callable, Sequence

import pandas as pd

from nerf.tables.assembling import Report, Row, Table

# One pass over the text, so that what an escape brings with it is not escaped again.
_LATEX = str.maketrans(
    {
        **{letter: f'\\{letter}' for letter in '&%$#_{}'},
        '\\': r'\textbackslash{}',
        '~': r'\textasciitilde{}',
        '^': r'\textasciicircum{}',
        '<': r'\textless{}',
        '>': r'\textgreater{}',
    }
)
OURS, RUNS = 'Protocol of ours', 'Runs'


def footnotes(table: Table) -> dict[tuple[str, ...], str]:
    """Assign a mark to each set of notes, in reading order: a, b, ..., z, aa, ..."""
    marks: dict[tuple[str, ...], str] = {}
    for row in table.rows:
        for notes in (row.notes, *(cell.notes for cell in row.cells)):
            if notes and notes not in marks:
                marks[notes] = _letters(len(marks))
    return marks


def _letters(number: int) -> str:
    return (_letters(number // 26 - 1) if number >= 26 else '') + chr(ord('a') + number % 26)


def as_frame(table: Table, escape: Callable[[str], str], raised: Callable[[str], str], empty: str) -> pd.DataFrame:
    """Convert the table to texts: labels as index, numbers followed by their marks."""
    marks = footnotes(table)

    def marked(text: str, notes: tuple[str, ...]) -> str:
        return text + (raised(marks[notes]) if notes else '')

    cells = [[marked(table.number(cell) or empty, cell.notes) for cell in row.cells] for row in table.rows]
    labels = [marked(escape(row.label), row.notes) for row in table.rows]
    return pd.DataFrame(cells, index=labels, columns=[escape(column) for column in table.columns])


def remarks(table: Table, escape: Callable[[str], str], raised: Callable[[str], str]) -> list[str]:
    """List the lines under a table: remarks about all of it, then footnotes."""
    notes = [f'{raised(mark).strip()} {escape("; ".join(texts))}' for texts, mark in footnotes(table).items()]
    return [*map(escape, table.remarks), *notes]


def as_text(report: Report) -> str:
    """Format tables for a terminal: numbers right-aligned, marks in a column of their own behind them."""
    blocks = []
    for table in report.tables:
        frame = as_frame(table, str, lambda mark: f' {mark}', '-')
        width = max(map(len, frame.index))
        columns = {i: _with_room(name, texts) for i, (name, texts) in enumerate(frame.items())}
        padded = pd.DataFrame(columns).set_axis([label.ljust(width) for label in ('', *frame.index)])
        lines = [f'  {line}' for line in remarks(table, str, lambda mark: f'{mark}:')]
        blocks.append('\n'.join([table.title, padded.to_string(header=False), *lines]))
    blocks.append('\n'.join([f'{OURS}:', *(f'  {line}' for line in report.protocols)]))
    blocks.append('\n'.join([f'{RUNS}:', *(f'  {line}' for line in report.runs)]))
    return '\n\n'.join(blocks) + '\n'


def _with_room(name: str, texts: Sequence[str]) -> list[str]:
    """A column and its name, with as much room behind each number as the longest mark takes."""
    marks = [text[len(text.split()[0]) :] for text in texts]
    room = max(map(len, marks))
    return [name + room * ' ', *(text + (room - len(mark)) * ' ' for text, mark in zip(texts, marks, strict=True))]


def as_markdown(report: Report) -> str:
    """Format tables for a README: numbers right-aligned."""
    blocks = []
    for table in report.tables:
        frame = as_frame(table, escape_markdown, lambda mark: f' <sup>{mark}</sup>', '')
        lines = [f'| {" | ".join(["", *frame.columns])} |', f'|---|{"---:|" * len(frame.columns)}']
        lines += [f'| {" | ".join([label, *cells])} |' for label, *cells in frame.itertuples()]
        below = remarks(table, escape_markdown, lambda mark: f'<sup>{mark}</sup>')
        lines += ['', *(f'- {line}' for line in below)] if below else []
        blocks.append('\n'.join([f'### {escape_markdown(table.title)}', '', *lines]))
    for title, entries in ((OURS, report.protocols), (RUNS, report.runs)):
        blocks.append('\n'.join([f'### {title}', '', *(f'- {escape_markdown(entry)}' for entry in entries)]))
    return '\n\n'.join(blocks) + '\n'


def escape_markdown(text: str) -> str:
    """Escape the characters that Markdown would take for markup."""
    return re.sub(r'([\\`*_|<#\[\]])', r'\\\1', text)


def as_latex(report: Report) -> str:
    """Format tables for a paper: `table` environments in the style of booktabs, ours under a rule."""

    def raised(mark: str) -> str:
        return f'\\rlap{{\\textsuperscript{{{mark}}}}}'

    blocks = ['% needs \\usepackage{booktabs}']
    for table in report.tables:
        frame = as_frame(table, escape_latex, raised, '--')
        lines = [f'\\begin{{tabular}}{{l{"r" * len(frame.columns)}}}', '\\toprule']
        lines += [' & '.join(['', *frame.columns]).strip() + r' \\', '\\midrule']
        for i, (label, *cells) in enumerate(frame.itertuples()):
            if i and table.rows[i].is_ours and not table.rows[i - 1].is_ours:
                lines.append('\\midrule')
            lines.append(' & '.join([label, *cells]) + r' \\')
        lines += ['\\bottomrule', '\\end{tabular}']
        below = remarks(table, escape_latex, lambda mark: f'\\textsuperscript{{{mark}}}')
        caption = f'\\caption{{{escape_latex(table.title)}.}}'
        lines += ['', '\\smallskip\\footnotesize', *(f'{line}.\\\\' for line in below)] if below else []
        blocks.append('\n'.join(['\\begin{table}', '\\centering', caption, *lines, '\\end{table}']))
    for title, entries in ((OURS, report.protocols), (RUNS, report.runs)):
        items = [f'\\item {escape_latex(entry)}.' for entry in entries]
        blocks.append('\n'.join([f'\\paragraph{{{title}}}', '\\begin{itemize}', *items, '\\end{itemize}']))
    return '\n\n'.join(blocks) + '\n'


def escape_latex(text: str) -> str:
    """Escape the characters that LaTeX would take for commands."""
    return text.translate(_LATEX)


def as_csv(report: Report) -> str:
    """Format tables for programs: a line for each number, with all its notes; without the lines about runs."""

    def line(table: Table, row: Row, i: int) -> dict[str, object]:
        return {
            'dataset': table.dataset,
            'metric': table.metric,
            'method': row.label,
            'is_ours': row.is_ours,
            'column': table.columns[i],
            'value': table.number(row.cells[i]),
            'notes': '; '.join((*row.notes, *row.cells[i].notes)),
        }

    rows = [(table, row, i) for table in report.tables for row in table.rows for i in range(len(table.columns))]
    return pd.DataFrame([line(*each) for each in rows if each[1].cells[each[2]].value is not None]).to_csv(index=False)


FORMATS: dict[str, Callable[[Report], str]] = {
    'text': as_text,
    'markdown': as_markdown,
    'csv': as_csv,
    'latex': as_latex,
}
