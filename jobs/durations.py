"""How durations are written for people, on the page and in the commands."""


def span(seconds: float) -> str:
    """A duration in one unit or two.

    >>> span(0.0421), span(3.21), span(75), span(7260), span(200_000)
    ('42 ms', '3.2 s', '1 min 15 s', '2 h 1 min', '2 d 7 h')
    """
    if seconds < 1:
        return f"{max(0.0, seconds) * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit_s, unit, below_s, below in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit_s:
            rest = whole % unit_s // below_s
            return f"{whole // unit_s} {unit}" + (f" {rest} {below}" if rest else "")
    return f"{whole} s"
