# SPDX-License-Identifier: GPL-2.0-or-later
"""Sections of figures as one page: tables and bars, drawn here, which loads nothing from anywhere."""

import html

BAR, GAP, TEXT, WIDTH = 14, 3, 250, 560

STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .15em .7em; text-align: right; white-space: pre; border-bottom: 1px solid #8884; }
th:first-child, td:first-child { text-align: left; }
.wide { overflow-x: auto; }
svg { max-width: 100%; height: auto; }
svg text { font: 12px system-ui, sans-serif; fill: currentColor; }
.key { display: inline-block; width: .8em; height: .8em; margin: 0 .4em 0 1.2em; }
"""

# By client, in the order in which they first come; ours are blue, and those beside them are not.
COLOURS = ("#2a78d6", "#7db2ef", "#b5b3ab", "#d9a05b", "#8fb57a", "#b08bc4", "#ded9cc")
OURS, OTHERS = COLOURS[:2], COLOURS[2:]


def colours(sections):
    names = list(dict.fromkeys(name for section in sections for row in section.rows
                               for name in row.values))
    ours = [name for name in names if name.startswith("ours")]
    others = [name for name in names if name not in ours]
    return {**{name: OURS[number % len(OURS)] for number, name in enumerate(ours)},
            **{name: OTHERS[number % len(OTHERS)] for number, name in enumerate(others)}}


def text(x, y, words, anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(words)}</text>'


def bars(row, colour, top):
    """The bars of one figure, each as long as its share of the longest; returns them and their end."""
    longest = max(row.values.values()) or 1
    drawn = []
    for name in colour:
        if name not in row.values:
            continue
        length = max(WIDTH * row.values[name] / longest, 1)
        drawn.append(f'<rect fill="{colour[name]}" x="{TEXT}" y="{top}" width="{length:.1f}" '
                     f'height="{BAR}" rx="2"><title>{html.escape(name)}</title></rect>')
        drawn.append(text(TEXT + length + 6, top + BAR - 3, row.written(name)))
        top += BAR + GAP
    return drawn, top


def plot(rows, colour):
    drawn, top = [], 6
    for row in rows:
        drawn.append(text(TEXT - 10, top + BAR - 3, row.figure.title, "end"))
        more, top = bars(row, colour, top)
        drawn += more
        top += 3 * GAP
    return (f'<svg viewBox="0 0 {TEXT + WIDTH + 90} {top}" width="{TEXT + WIDTH + 90}" role="img">'
            f'{"".join(drawn)}</svg>')


def table(section):
    def line(cells, kind):
        return "<tr>" + "".join(f"<{kind}>{html.escape(cell)}</{kind}>" for cell in cells) + "</tr>"
    head, *lines = section.cells()
    body = "".join(line(cells, "td") for cells in lines)
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in section.notes())
    return f'<div class="wide"><table>{line(head, "th")}{body}</table></div>{notes}'


def keys(section, colour):
    named = {name for row in section.rows for name in row.values}
    return "".join(f'<span class="key" style="background: {shade}"></span>{html.escape(name)}'
                   for name, shade in colour.items() if name in named)


def page(title, facts, sections):
    """facts: pairs of words. Returns the page's text."""
    colour = colours(sections)
    told = "".join(f"<tr><td>{html.escape(name)}</td><td>{html.escape(words)}</td></tr>"
                   for name, words in facts)
    parts = [f"<h2>{html.escape(section.title)}</h2>{table(section)}<p>{keys(section, colour)}</p>"
             f"{plot(section.rows, colour)}" for section in sections]
    return (f'<!DOCTYPE html>\n<html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
            f"<meta name='viewport' content='width=device-width'><style>{STYLE}</style>"
            f"<h1>{html.escape(title)}</h1><p>Bars are as long as their share of the longest of the same "
            f"figure; shorter is better, except for speeds (MB/s, M/s) and shares of native.</p>"
            f"{''.join(parts)}<h2>What was measured</h2><table>{told}</table></html>\n")
