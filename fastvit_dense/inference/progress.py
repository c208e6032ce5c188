"""State of a long job: count, rate, time to go; one line that is written over on a terminal."""

import sys
import time
from typing import TextIO

TERMINAL, FILE = 0.5, 30.0  # seconds between two lines


class Progress:
    """Lines on a long job.

    Args:
        total: Items in all; None where nobody knows.
        unit: Name of the items.
        stream: Where the lines go; by default what is the standard output now.
    """

    def __init__(self, total: int | None, unit: str, stream: TextIO | None = None) -> None:
        self.total, self.unit = total, unit
        self.stream = stream or sys.stdout
        self.done = 0
        self.start = self.last = time.monotonic()
        self.terminal = self.stream.isatty()

    def step(self) -> None:
        """Count one item; write a line where the last one is old enough."""
        self.done += 1
        now = time.monotonic()
        if now - self.last >= (TERMINAL if self.terminal else FILE):
            self.last = now
            ends = ('\r\x1b[K', '') if self.terminal else ('', '\n')
            self.stream.write(f'{ends[0]}{self.text(now)}{ends[1]}')
            self.stream.flush()

    def close(self) -> None:
        """Remove the line from a terminal."""
        if self.terminal:
            self.stream.write('\r\x1b[K')
            self.stream.flush()

    @property
    def rate(self) -> float:
        """Items a second until now."""
        return self.done / max(time.monotonic() - self.start, 1e-9)

    def text(self, now: float) -> str:
        """The line: what is done, how fast, what is left."""
        rate = self.done / max(now - self.start, 1e-9)
        if self.total is None:
            return f'{self.done} {self.unit}, {rate:.3g} a second'
        left = duration(max(0, self.total - self.done) / rate)
        return f'{self.done} of {self.total} {self.unit}, {rate:.3g} a second, {left} left'


def duration(seconds: float) -> str:
    """Seconds in words: '40 s', '12 min', '3 h 05 min'."""
    if seconds < 90:
        return f'{seconds:.0f} s'
    minutes = round(seconds / 60)
    return f'{minutes} min' if minutes < 90 else f'{minutes // 60} h {minutes % 60:02} min'
