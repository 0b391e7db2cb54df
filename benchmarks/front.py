"""Measures the front door: what `POST /v1/chat/completions` adds to a provider's 50 ms, beside other gateways.

One upstream, everything up at once, one caller process at a time; the sides take turns at each concurrency, so that a
slow minute hits all. Added latency is a side's percentile less that of calls straight to the upstream.
"""

import statistics
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.bars import Bar
from benchmarks.gateways import PEERS_OF_THE_DOOR, Gateway, Missing
from benchmarks.meter import Meter, difference
from benchmarks.stage import BenchError, Stage
from benchmarks.yard import BenchYard, staged

DELAY_MS = 50.0
CALLS_IN_FLIGHT = 1024
SECONDS = {1: 5.0, 10: 5.0, 100: 12.0}
"""By concurrency; long enough that the last calls' tail is small against the rest."""
STREAMS, STREAM_S = 10, 6.0
MOST_ADDED_MS, MOST_CPU_MS, MOST_TOKEN_MS = 14.0, 3.0, 25.0
MOST_SHARE_OF_LITELLM, LEAST_SPEEDUP = 0.5, 9.0
MOST_TAIL_OF = {"LiteLLM": 1.0, "Portkey": 1.5}
DIRECT, YARD = "direct", "Tokenyard"


class Load(msgspec.Struct, frozen=True):
    """How a side is called."""

    concurrency: int
    seconds: float
    is_stream: bool = False


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One side at one concurrency."""

    side: str
    concurrency: int
    calls: int
    requests_per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cpu_ms: float
    """A request's, over all processes of the side; 0 for calls straight to the upstream."""
    token_p50_ms: float | None = None
    token_p99_ms: float | None = None
    """From leaving the provider to reaching the caller; streams only."""


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured, and what could not be."""

    cells: list[Cell]
    streams: list[Cell]
    missing: list[str]

    def cell(self, side: str, concurrency: int) -> Cell | None:
        """A side's figures; None when it was not there."""
        return next((c for c in self.cells if (c.side, c.concurrency) == (side, concurrency)), None)

    def added_p50_ms(self, side: str, concurrency: int) -> float | None:
        """Over direct calls."""
        return self._added(side, concurrency, "p50_ms")

    def added_p99_ms(self, side: str, concurrency: int) -> float | None:
        """Over direct calls."""
        return self._added(side, concurrency, "p99_ms")

    def bars(self) -> list[Bar]:
        """What the front door is held to; against a peer only where the peer was there."""
        found = [self._bar("added p50 at 1", self.added_p50_ms(YARD, 1), MOST_ADDED_MS, "ms")]
        ours = self.cell(YARD, 100)
        found.append(self._bar("CPU a request at 100", None if ours is None else ours.cpu_ms, MOST_CPU_MS, "ms"))
        stream = next((cell for cell in self.streams if cell.side == YARD), None)
        found.append(self._bar("token relay, p99", stream.token_p99_ms if stream else None, MOST_TOKEN_MS, "ms"))
        for peer in ("LiteLLM", "Portkey"):
            found += self._against(peer)
        return [bar for bar in found if bar is not None]

    def _bar(self, what: str, value: float | None, most: float, unit: str) -> Bar | None:
        if value is None:
            return None
        return Bar(f"front door, {what}", f"{value:.1f} {unit}", f"at most {most:.4g} {unit}", value <= most)

    def _against(self, peer: str) -> list[Bar | None]:
        """Ratios to one gateway."""
        ours, theirs = self.cell(YARD, 100), self.cell(peer, 100)
        if ours is None or theirs is None:
            return []
        tail, their_tail = self.added_p99_ms(YARD, 100) or 0.0, self.added_p99_ms(peer, 100) or 0.0
        most_tail = MOST_TAIL_OF[peer]
        found = [self._bar(f"added p99 at 100, to {peer}", tail / max(their_tail, 0.1), most_tail, "x")]
        if peer == "LiteLLM":
            share = (self.added_p50_ms(YARD, 1) or 0.0) / max(self.added_p50_ms(peer, 1) or 0.0, 0.1)
            found.append(self._bar(f"added p50 at 1, to {peer}", share, MOST_SHARE_OF_LITELLM, "x"))
            speedup = ours.requests_per_s / theirs.requests_per_s
            asked = f"at least {LEAST_SPEEDUP:.0f}x"
            found.append(
                Bar(f"front door, req/s at 100, to {peer}", f"{speedup:.1f}x", asked, speedup >= LEAST_SPEEDUP)
            )
        return found

    def _added(self, side: str, concurrency: int, figure: str) -> float | None:
        cell, direct = self.cell(side, concurrency), self.cell(DIRECT, concurrency)
        return None if cell is None or direct is None else float(getattr(cell, figure) - getattr(direct, figure))


def front(folder: Path) -> Door:
    """All sides in turn. Raises BenchError when a side answers anything but 200."""
    with staged(folder, DELAY_MS, CALLS_IN_FLIGHT) as (yard, _):
        yard.start_interactive_worker()
        sides, missing = _sides(yard)
        cells, streams = [], []
        for concurrency, seconds in SECONDS.items():
            for side in sides:
                cells += _taken(missing, yard.stage, side, Load(concurrency, seconds))
        for side in sides:
            streams += _taken(missing, yard.stage, side, Load(STREAMS, STREAM_S, is_stream=True))
    return Door(cells=cells, streams=streams, missing=missing)


def _taken(missing: list[str], stage: Stage, side: Gateway, load: Load) -> list[Cell]:
    """The side's figures; none where a peer fails at this, which is then told. Raises BenchError where we fail."""
    try:
        return [_cell(stage, side, load)]
    except BenchError as error:
        if side.name in (DIRECT, YARD):
            raise
        missing.append(str(error)[:300])
        return []


def _sides(yard: BenchYard) -> tuple[list[Gateway], list[str]]:
    stage = yard.stage
    ours = tuple(pid for name, pids in stage.pids.items() if name != "upstream" for pid in pids)
    headers = {"authorization": f"Bearer {yard.caller['YARD_KEY']}"}
    sides = [
        Gateway(DIRECT, f"{stage.upstream_url}/chat/completions", {}, ()),
        Gateway(YARD, f"{yard.caller['YARD_URL']}/v1/chat/completions", headers, ours),
    ]
    missing = []
    for start in PEERS_OF_THE_DOOR:
        try:
            sides.append(start(stage))
        except Missing as why:
            missing.append(f"{start.__name__} was left out: {why}")
    return sides, missing


def _cell(stage: Stage, side: Gateway, load: Load) -> Cell:
    named = [part for name, value in side.headers.items() for part in ("--header", f"{name}={value}")]
    options = ["--concurrency", str(load.concurrency), "--seconds", str(load.seconds), *named]
    driver = stage.driver("benchmarks.callers", side.url, *options, *["--stream"] * load.is_stream, environment={})
    meter = Meter({"side": side.pids})
    before = meter.cpu_ms()
    driver.go()
    facts = driver.mark()
    spent_ms = difference(before, meter.cpu_ms())["side"]
    stage.stop("submitter")
    if facts["failed"] or not facts["latencies_ms"]:
        what = "streams" if load.is_stream else "calls"
        raise BenchError(f"{side.name}: {facts['failed']} {what} at {load.concurrency} failed: {facts['failures'][:1]}")
    latencies, delays = facts["latencies_ms"], facts["token_delays_ms"]
    p50, p95, p99 = percentiles(latencies)
    return Cell(
        side=side.name,
        concurrency=load.concurrency,
        calls=len(latencies),
        requests_per_s=len(latencies) / facts["elapsed_s"],
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        cpu_ms=spent_ms / len(latencies),
        token_p50_ms=percentiles(delays)[0] if delays else None,
        token_p99_ms=percentiles(delays)[2] if delays else None,
    )


def percentiles(values: Sequence[float]) -> tuple[float, float, float]:
    """The 50th, 95th and 99th, interpolated; of one value itself."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return cuts[49], cuts[94], cuts[98]


def lines(door: Door) -> list[str]:
    """The table: each side at each concurrency, its percentiles over those of direct calls."""
    head = (
        f"{'front door':<12}{'at once':>8}{'calls':>8}{'req/s':>8}{'CPU ms':>8}{'added p50':>11}{'p95':>8}{'p99 ms':>8}"
    )
    rows = [_row(cell, door.cell(DIRECT, cell.concurrency)) for cell in door.cells]
    spoken = [
        f"{cell.side:<12}{cell.concurrency:>8} streams: a token takes {cell.token_p50_ms:.1f} ms (p50),"
        f" {cell.token_p99_ms:.1f} ms (p99); {cell.cpu_ms:.1f} CPU ms a stream"
        for cell in door.streams
        if cell.token_p50_ms is not None
    ]
    return [head, *rows, *spoken, *door.missing]


def _row(cell: Cell, direct: Cell | None) -> str:
    told = f"{cell.side:<12}{cell.concurrency:>8}{cell.calls:>8,}{cell.requests_per_s:>8.0f}{cell.cpu_ms:>8.2f}"
    if direct is None or cell.side == DIRECT:
        return f"{told}{cell.p50_ms:>9.1f} *{cell.p95_ms:>8.1f}{cell.p99_ms:>8.1f}"
    added = (cell.p50_ms - direct.p50_ms, cell.p95_ms - direct.p95_ms, cell.p99_ms - direct.p99_ms)
    return f"{told}{added[0]:>11.1f}{added[1]:>8.1f}{added[2]:>8.1f}"
