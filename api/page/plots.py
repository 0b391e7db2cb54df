"""The geometry of the page's plots; templates draw it as SVG. Pure: figures in, coordinates out."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

WIDTH = 600
HEIGHT = 100
"""Of a plot's own coordinates: it is stretched to the room there is, so words stand outside of it."""
GAP = 1.5
SPARK_WIDTH = 110
SPARK_HEIGHT = 24
SPARK_MARGIN = 2
HUES = 8
"""Colours a plot can tell apart; the last one is for all the rest together."""


class Series(NamedTuple):
    """One colour of a plot: `values` has a figure for each column."""

    name: str
    hue: str
    values: Sequence[float]


class Bar(NamedTuple):
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float
    hue: str


class Column(NamedTuple):
    """The bars above one mark of the axis, and what a pointer over them says."""

    label: str
    x: float
    width: float
    bars: tuple[Bar, ...]
    figures: tuple[str, ...]
    """What the table says: a text for each series."""
    hint: str


class Chart(NamedTuple):
    """A stacked bar chart."""

    columns: tuple[Column, ...]
    legend: tuple[tuple[str, str, str], ...]
    """(hue, name, total) of each series."""
    scale: tuple[str, str, str]
    """Words beside the axis: top, middle, bottom."""
    marks: tuple[str, ...]
    """Words below it, evenly spaced."""
    is_empty: bool


def stacked(
    labels: Sequence[str], series: Sequence[Series], write: Callable[[float], str], marks: Sequence[str]
) -> Chart:
    """Stack the series over the columns; `write` words a figure."""
    sums = [sum(one.values[place] for one in series) for place in range(len(labels))]
    top = ceiling(max(sums, default=0))
    step = WIDTH / max(1, len(labels))
    columns = []
    for place, label in enumerate(labels):
        bars, level, said = [], 0.0, []
        for one in series:
            value = one.values[place]
            if value > 0:
                height = HEIGHT * value / top
                level += height
                bars.append(
                    Bar(
                        round(place * step, 2),
                        round(HEIGHT - level, 2),
                        round(step - GAP, 2),
                        round(height, 2),
                        one.hue,
                    )
                )
                said.append(f"{one.name} {write(value)}")
        hint = f"{label}: {', '.join(said) or write(0)}"
        figures = tuple(write(one.values[place]) for one in series)
        columns.append(Column(label, round(place * step, 2), round(step, 2), tuple(bars), figures, hint))
    legend = tuple((one.hue, one.name, write(sum(one.values))) for one in series)
    return Chart(tuple(columns), legend, (write(top), write(top / 2), write(0)), tuple(marks), not any(sums))


def ceiling(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, ... (and tenths of them) that is not below the value; 1 for nothing.

    >>> ceiling(0), ceiling(3), ceiling(51), ceiling(0.0012)
    (1.0, 5.0, 100.0, 0.002)
    """
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    nice = next(factor for factor in (1, 2, 5, 10) if value <= factor * power * (1 + 1e-9))
    return float(f"{nice * power:.3g}")


def largest_first(sums: Mapping[str, float], most: int = HUES) -> tuple[list[str], list[str]]:
    """Names that get a colour of their own, and those that share the last one; the largest first.

    >>> largest_first({"a": 1, "b": 3, "c": 2}, most=2)
    (['b'], ['c', 'a'])
    """
    names = sorted(sums, key=lambda name: (-sums[name], name))
    return (names, []) if len(names) <= most else (names[: most - 1], names[most - 1 :])


def sparkline(values: Sequence[float | None]) -> str:
    """The path of a small line plot: from 0 to the largest value, with a gap where there is None."""
    top = max((value for value in values if value is not None), default=0.0) or 1.0
    step = (SPARK_WIDTH - 2 * SPARK_MARGIN) / max(1, len(values) - 1)
    room = SPARK_HEIGHT - 2 * SPARK_MARGIN
    path, is_down = [], False
    for place, value in enumerate(values):
        if value is None:
            is_down = False
            continue
        x, y = SPARK_MARGIN + place * step, SPARK_MARGIN + room * (1 - value / top)
        lonely = not is_down and (place + 1 == len(values) or values[place + 1] is None)
        path.append(f"M{x - SPARK_MARGIN:.1f} {y:.1f}h4" if lonely else f"{'L' if is_down else 'M'}{x:.1f} {y:.1f}")
        is_down = True
    return "".join(path)
