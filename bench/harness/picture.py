"""results.svg: a bar for every contender, in units of the first of its contest."""

from html import escape

from .contest import ratio
from .report import digits

WIDTH, NAMES, NUMBERS = 920, 360, 150
BAR, GAP, HEAD, BETWEEN = 15, 5, 30, 22
KILN, OTHERS, INK, FAINT = "#c2410c", "#94a3b8", "#1e293b", "#cbd5e1"


def svg(held):
    parts, y = [], 16
    for contest, results in held:
        results = [r for r in results if r.samples and results[0].samples]
        if results:
            parts += panel(contest, results, y)
            y += HEAD + len(results) * (BAR + GAP) + BETWEEN
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" '
        f'viewBox="0 0 {WIDTH} {y}" font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{y}" fill="#ffffff"/>', *parts, "</svg>", ""])


def panel(contest, results, y):
    ratios = [ratio(result, results[0]) for result in results]
    largest = max([1.0, *(r.high for r in ratios if r)])
    room = WIDTH - NAMES - NUMBERS
    bottom = y + HEAD + len(results) * (BAR + GAP)
    one = NAMES + room / largest
    lines = [text(12, y + 14, contest.title, size=14, weight="bold"),
             f'<line x1="{one:.1f}" y1="{y + HEAD - 4}" x2="{one:.1f}" y2="{bottom}" '
             f'stroke="{FAINT}" stroke-dasharray="3 3"/>']
    for n, (result, found) in enumerate(zip(results, ratios, strict=True)):
        if found:
            lines += bar(result, found, y + HEAD + n * (BAR + GAP), room / largest)
    return lines


def bar(result, found, y, unit):
    """The median as a bar, the lowest and the highest round as a line on it."""
    colour = KILN if result.name.startswith("kiln") else OTHERS
    middle, end = y + BAR / 2, NAMES + found.high * unit
    label = f"{digits(found.median)} · {result.items_per_second:,.0f}/s"
    return [
        text(NAMES - 8, y + BAR - 3, result.name, anchor="end"),
        f'<rect x="{NAMES}" y="{y}" width="{max(1, found.median * unit):.1f}" height="{BAR}" '
        f'fill="{colour}"/>',
        f'<line x1="{NAMES + found.low * unit:.1f}" y1="{middle}" x2="{end:.1f}" y2="{middle}" '
        f'stroke="{INK}"/>',
        text(end + 6, y + BAR - 3, label),
    ]


def text(x, y, words, size=12, anchor="start", weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
            f'font-weight="{weight}" fill="{INK}">{escape(words)}</text>')
