"""The geometry of the plots: what is drawn adds up to what is said."""

from api.page import plots
from api.page.plots import HEIGHT, WIDTH, Series, ceiling, largest_first, sparkline, stacked


def words(value: float) -> str:
    return f"{value:g}"


def test_bars_stand_on_each_other_and_their_heights_are_the_figures():
    series = [Series("a", "hue0", [1, 0, 3]), Series("b", "hue1", [2, 0, 5])]
    chart = stacked(["x", "y", "z"], series, words, ("first", "last"))
    assert chart.scale == ("10", "5", "0")
    heights = [[bar.height for bar in column.bars] for column in chart.columns]
    assert heights == [[10, 20], [], [30, 50]]
    for column in chart.columns:
        level = float(HEIGHT)
        for bar in column.bars:
            level -= bar.height
            assert bar.y == level
            assert 0 <= bar.x < bar.x + bar.width <= WIDTH
    assert [column.hint for column in chart.columns] == ["x: a 1, b 2", "y: 0", "z: a 3, b 5"]
    assert chart.columns[1].figures == ("0", "0")
    assert chart.legend == (("hue0", "a", "4"), ("hue1", "b", "7"))
    assert not chart.is_empty


def test_a_plot_of_nothing_is_empty_and_has_an_axis():
    chart = stacked(["x"], [Series("a", "hue0", [0])], words, ())
    assert (chart.is_empty, chart.scale, chart.columns[0].bars) == (True, ("1", "0.5", "0"), ())


def test_the_top_of_an_axis_is_round_and_not_below_the_bars():
    for value in (1e-9, 0.0012, 0.1, 1, 1.0001, 7, 99.9, 100, 101, 123_456_789):
        assert value <= ceiling(value) * (1 + 1e-9) <= value * 2.6
    assert [ceiling(value) for value in (0, 3, 51, 0.0012)] == [1, 5, 100, 0.002]


def test_the_largest_get_colours_and_the_rest_share_one():
    sums = {f"m{n:02}": float(n) for n in range(12)}
    own, rest = largest_first(sums)
    assert own == [f"m{n:02}" for n in range(11, 4, -1)]
    assert rest == [f"m{n:02}" for n in range(4, -1, -1)]
    assert len(own) == plots.HUES - 1
    assert largest_first({"a": 1.0}) == (["a"], [])


def test_a_line_has_gaps_where_there_is_no_figure():
    assert sparkline([1.0, None, 1.0, 0.5]) == "M0.0 2.0h4M72.7 2.0L108.0 12.0"
    assert sparkline([None] * 3) == sparkline([]) == ""
    assert "nan" not in sparkline([0.0, 0.0])
