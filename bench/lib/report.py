# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows of figures as one page: tables and bars, drawn here, which loads nothing from anywhere."""

import html

from . import figures

BAR, GAP, TEXT, WIDTH = 14, 3, 250, 560

STYLE = """
:root { color-scheme: light dark; --ours: #2a78d6; --peer: #b5b3ab; --native: #ded9cc; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1000px; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .15em .7em; text-align: right; white-space: pre; border-bottom: 1px solid #8884; }
th:first-child, td:first-child { text-align: left; }
.wide { overflow-x: auto; }
svg { max-width: 100%; height: auto; }
svg text { font: 12px system-ui, sans-serif; fill: currentColor; }
.c0 { fill: var(--ours); background: var(--ours); } .c1 { fill: var(--peer); background: var(--peer); }
.c2 { fill: var(--native); background: var(--native); }
.key { display: inline-block; width: .8em; height: .8em; margin: 0 .4em 0 1.2em; }
"""

NAMES = (figures.OURS, figures.PEER, figures.NATIVE)


def text(x, y, words, anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(words)}</text>'


def bars(row, top):
    """The bars of one figure, each as long as its share of the longest; returns them and their end."""
    longest = max(row.values.values()) or 1
    drawn = []
    for number, name in enumerate(NAMES):
        if name not in row.values:
            continue
        value = row.values[name]
        length = max(WIDTH * value / longest, 1)
        drawn.append(f'<rect class="c{number}" x="{TEXT}" y="{top}" width="{length:.1f}" '
                     f'height="{BAR}" rx="2"><title>{html.escape(name)}</title></rect>')
        drawn.append(text(TEXT + length + 6, top + BAR - 3, row.figure.written(value)))
        top += BAR + GAP
    return drawn, top


def plot(rows):
    drawn, top = [], 6
    for row in rows:
        drawn.append(text(TEXT - 10, top + BAR - 3, row.figure.title, "end"))
        more, top = bars(row, top)
        drawn += more
        top += 3 * GAP
    return (f'<svg viewBox="0 0 {TEXT + WIDTH + 90} {top}" width="{TEXT + WIDTH + 90}" role="img">'
            f'{"".join(drawn)}</svg>')


def table(delay, rows):
    def line(cells, kind):
        return "<tr>" + "".join(f"<{kind}>{html.escape(cell)}</{kind}>" for cell in cells) + "</tr>"
    body = "".join(line(figures.cells(row), "td") for row in rows)
    return f'<div class="wide"><table>{line(figures.head(delay), "th")}{body}</table></div>'


def page(title, facts, sections):
    """facts: pairs of words; sections: pairs of a delay and its rows. Returns the page's text."""
    key = "".join(f'<span class="key c{number}"></span>{html.escape(name)}'
                  for number, name in enumerate(NAMES))
    told = "".join(f"<tr><td>{html.escape(name)}</td><td>{html.escape(words)}</td></tr>"
                   for name, words in facts)
    parts = [f"<h2>A round trip of {delay:g} ms</h2>{table(delay, rows)}<p>{key}</p>{plot(rows)}"
             for delay, rows in sections]
    return (f'<!DOCTYPE html>\n<html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
            f"<meta name='viewport' content='width=device-width'><style>{STYLE}</style>"
            f"<h1>{html.escape(title)}</h1><p>Bars are as long as their share of the longest of the same "
            f"figure; shorter is better, except for those a second and of native.</p>"
            f"{''.join(parts)}<h2>What was measured</h2><table>{told}</table></html>\n")
