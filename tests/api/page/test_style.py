"""The style's contrast, light and dark, by WCAG 2.1 AA: words 4.5 to 1, marks in plots 3 to 1."""

import re
from importlib.resources import files

import pytest

CSS = files("api.page").joinpath("static/page.css").read_text(encoding="utf-8")
WORDS = ("ink", "quiet", "accent", "good", "warn", "bad")
GROUNDS = ("paper", "panel")
NOT_MARKS = {*WORDS, *GROUNDS, "line", "track", "focus"}
"""The rest colour bars and lines of plots."""


def palettes() -> dict[str, dict[str, str]]:
    light, dark = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    found = [dict(re.findall(r"--([a-z0-9]+): (#[0-9a-f]{6});", block)) for block in (light, dark)]
    return {"light": found[0], "dark": found[0] | found[1]}


def luminance(colour: str) -> float:
    """Relative luminance: https://www.w3.org/TR/WCAG21/#dfn-relative-luminance."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_black_on_white_is_21_to_1():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_and_marks_can_be_told_from_their_ground(scheme: str):
    colours = palettes()[scheme]
    weak = [
        f"{word} on {ground}: {contrast(colours[word], colours[ground]):.2f}"
        for word in WORDS
        for ground in GROUNDS
        if contrast(colours[word], colours[ground]) < 4.5
    ]
    marks = colours.keys() - NOT_MARKS
    assert len(marks) > 10
    weak += [
        f"{mark}: {contrast(colours[mark], colours['panel']):.2f}"
        for mark in marks
        if contrast(colours[mark], colours["panel"]) < 3
    ]
    assert weak == []
