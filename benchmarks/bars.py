"""What is to be reached."""

import msgspec


class Bar(msgspec.Struct, frozen=True):
    """One thing that was to be reached: what was measured, what was asked, and whether they agree."""

    what: str
    reached: str
    asked: str
    is_met: bool

    @property
    def line(self) -> str:
        """The bar as printed."""
        return f"{self.what:<44}{self.reached:<52}{self.asked:<28}{'ok' if self.is_met else 'missed'}"
