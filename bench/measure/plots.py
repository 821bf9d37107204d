"""Plots as SVG, written by hand: two logarithmic axes, a line with points for each series."""

import math
from html import escape

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 76, 132, 44, 56
# Told apart in daylight, in print and by the colour-blind; the marks differ, too.
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]
MARKS = ["circle", "square", "diamond", "triangle", "circle", "square"]


class Axis:
    """Logarithmic, from one value to another, on so many pixels."""

    def __init__(self, low, high, begin, end):
        if low == high:
            low, high = low / 2, high * 2
        self.low, self.high, self.begin, self.end = math.log10(low), math.log10(high), begin, end

    def at(self, value):
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self.begin + share * (self.end - self.begin)

    def ticks(self):
        """Powers of ten; 2 and 5 times them where there are few."""
        decades = self.high - self.low
        steps = (1, 2, 5) if decades < 2.5 else (1,)
        values = [step * 10.0**power for power in range(math.floor(self.low), math.ceil(self.high) + 1)
                  for step in steps]
        return [value for value in values if self.low - 1e-9 <= math.log10(value) <= self.high + 1e-9]


def short(value):
    for size, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{name}"
    return f"{value:g}"


def mark(kind, x, y, colour):
    if kind == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>'
    shape = {"square": "M-4-4H4V4H-4Z", "diamond": "M0-5L5 0L0 5L-5 0Z", "triangle": "M0-5L5 4H-5Z"}[kind]
    return f'<path transform="translate({x:.1f} {y:.1f})" d="{shape}" fill="{colour}"/>'


def svg(title, x_label, y_label, series, note=""):
    """`series`: name -> [(x, y)], all values positive."""
    points = [point for line in series.values() for point in line]
    if not points:
        return None
    xs, ys = [x for x, _ in points], [y for _, y in points]
    across = Axis(min(xs), max(xs), LEFT, WIDTH - RIGHT)
    up = Axis(min(ys) / 1.3, max(ys) * 1.3, HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="sans-serif" font-size="12" fill="#222">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="24" font-size="15" font-weight="bold">{escape(title)}</text>',
    ]
    for value in across.ticks():
        x = across.at(value)
        parts.append(f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#ddd"/>'
                     f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{short(value)}</text>')
    for value in up.ticks():
        y = up.at(value)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
                     f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{short(value)}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 14}" text-anchor="middle">{escape(x_label)}'
                 f'{escape(note)}</text>')
    parts.append(f'<text transform="translate(18 {middle}) rotate(-90)" text-anchor="middle">{escape(y_label)}</text>')
    labels = []
    for index, (name, line) in enumerate(series.items()):
        if not line:
            continue
        colour, kind = COLOURS[index % len(COLOURS)], MARKS[index % len(MARKS)]
        line = sorted(line)
        path = "L".join(f"{across.at(x):.1f} {up.at(y):.1f}" for x, y in line)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [mark(kind, across.at(x), up.at(y), colour) for x, y in line]
        labels.append([up.at(line[-1][1]), name, colour])
    # The names stand where the lines end, apart from each other.
    labels.sort()
    for before, label in zip(labels, labels[1:]):
        label[0] = max(label[0], before[0] + 15)
    parts += [f'<text x="{WIDTH - RIGHT + 12}" y="{y + 4:.1f}" fill="{colour}" font-weight="bold">{escape(name)}</text>'
              for y, name, colour in labels]
    return "\n".join([*parts, "</svg>"]) + "\n"
