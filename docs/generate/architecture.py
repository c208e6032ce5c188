"""docs/images/architecture.svg: the package's rooms and who imports whom, drawn from the code.

The rooms stand above each other, the highest layer on top. Each room that is imported has a line
of its own, which starts at the first room that imports it and ends in an arrow at its wall; a dot
is an import.
"""

import colorsys
import textwrap
from collections.abc import Iterator
from html import escape

from .code import PACKAGE, ROOT, read_arrows, read_layers, read_modules

PATH = ROOT / 'docs/images/architecture.svg'
WIDTH, TOP, MARGIN = 800, 74, 20
ROOM_WIDTH, ROOM_HEIGHT, ROOM_GAP, LAYER_GAP = 440, 38, 4, 11
LANES = (ROOM_WIDTH + MARGIN + 30, WIDTH - MARGIN - 14)  # where the lines of the rooms stand
CHARACTERS = 52  # of a room's summary in one line
INK = '#0f172a'
FONT = "Inter, 'Segoe UI', Helvetica, Arial, 'DejaVu Sans', sans-serif"


def render() -> str:
    """Draw the picture of the package as it is now, as SVG."""
    modules = read_modules()
    layers = [[room for room in layer if room in modules] for layer in read_layers()]
    layers = [[room for room in layer if room[0] != '_'] for layer in layers]
    layers = [layer for layer in layers if layer]
    rooms = [room for layer in layers for room in layer]
    arrows = read_arrows(modules, rooms)
    tops = _tops(layers)
    height = tops[rooms[-1]] + ROOM_HEIGHT + 52
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" font-family="{escape(FONT)}">',
        f'<title>The rooms of {PACKAGE} and what they import</title>',
        f'<desc>{escape(_in_words(rooms, arrows))}</desc>',
        f'<rect width="{WIDTH}" height="{height}" rx="10" fill="#ffffff"/>',
        _text(MARGIN, 34, PACKAGE, size=20, weight=700),
        _text(MARGIN, 54, 'A room per layer; imports go down, never up.', size=12, fill='#64748b'),
        *_floors(layers, tops),
        *_lines(rooms, arrows, tops),
        *(_room(room, modules[room].summary, tops[room], _hue(rooms, room)) for room in rooms),
        *_legend(height - 22),
        '</svg>',
    ]
    return '\n'.join(parts) + '\n'


def _tops(layers: list[list[str]]) -> dict[str, int]:
    """Upper edge of each room."""
    tops, y = {}, TOP
    for layer in layers:
        for room in layer:
            tops[room] = y
            y += ROOM_HEIGHT + ROOM_GAP
        y += LAYER_GAP - ROOM_GAP
    return tops


def _floors(layers: list[list[str]], tops: dict[str, int]) -> Iterator[str]:
    """A pale plate behind the rooms of each layer."""
    for layer in layers:
        y, height = tops[layer[0]] - 4, tops[layer[-1]] - tops[layer[0]] + ROOM_HEIGHT + 8
        yield (
            f'<rect x="{MARGIN - 5}" y="{y}" width="{WIDTH - 2 * MARGIN + 10}" '
            f'height="{height}" rx="7" fill="#f3f5f9"/>'
        )


def _room(name: str, summary: str, top: int, hue: float) -> str:
    lines = _wrapped(summary.replace('`', '').rstrip('.'))
    middle = top + ROOM_HEIGHT / 2
    first = middle + 4 - 6.5 * (len(lines) - 1)
    return '\n'.join(
        [
            f'<rect x="{MARGIN}" y="{top}" width="{ROOM_WIDTH}" height="{ROOM_HEIGHT}" rx="5" '
            f'fill="#ffffff" stroke="{_color(hue, 0.62)}" stroke-width="1.2"/>',
            f'<rect x="{MARGIN}" y="{top}" width="6" height="{ROOM_HEIGHT}" rx="3" '
            f'fill="{_color(hue, 0.48)}"/>',
            _text(MARGIN + 16, middle + 5, name, size=14, weight=600),
            *(
                _text(MARGIN + 124, first + 13 * i, line, size=10.5, fill='#475569')
                for i, line in enumerate(lines)
            ),
        ]
    )


def _wrapped(words: str) -> list[str]:
    """Lines of about the same length, as few as can be."""
    count = len(textwrap.wrap(words, CHARACTERS))
    ways = (textwrap.wrap(words, width) for width in range(20, CHARACTERS + 1))
    return next(lines for lines in ways if len(lines) == count)


def _lines(rooms: list[str], arrows: list[tuple[str, str]], tops: dict[str, int]) -> Iterator[str]:
    """A line out of each room that imports, and a coloured one down to each that is imported."""
    wall = MARGIN + ROOM_WIDTH
    targets = [room for room in rooms if any(b == room for _, b in arrows)]
    step = (LANES[1] - LANES[0]) / (len(targets) - 1)
    lane = {room: round(LANES[0] + step * i, 1) for i, room in enumerate(targets)}
    leaves = {room: tops[room] + 13 for room in rooms}
    enters = {room: tops[room] + 26 for room in rooms}
    for room in rooms:
        if reached := [lane[b] for a, b in arrows if a == room]:
            yield f'<path d="M{wall} {leaves[room]}H{max(reached)}" stroke="#b6c0cf" fill="none"/>'
    for room in targets:
        color, x = _color(_hue(rooms, room), 0.48), lane[room]
        starts = [leaves[a] for a, b in arrows if b == room]
        yield (
            f'<path d="M{x} {min(starts)}V{enters[room] - 5}q0 5 -5 5H{wall + 7}" '
            f'stroke="{color}" stroke-width="1.7" fill="none"/>'
            f'<path d="M{wall + 1} {enters[room]}l8 -4v8z" fill="{color}"/>'
        )
        for y in starts:
            yield f'<circle cx="{x}" cy="{y}" r="3.4" fill="{color}"/>'


def _legend(y: int) -> Iterator[str]:
    yield f'<path d="M{MARGIN + 2} {y - 4}h26" stroke="#b6c0cf" fill="none"/>'
    yield f'<circle cx="{MARGIN + 15}" cy="{y - 4}" r="3.4" fill="#64748b"/>'
    words = 'a dot: the room at the left imports the room at whose wall the coloured line ends'
    yield _text(MARGIN + 38, y, words, size=11, fill='#64748b')


def _in_words(rooms: list[str], arrows: list[tuple[str, str]]) -> str:
    imports = {room: [b for a, b in arrows if a == room] for room in rooms}
    return ' '.join(
        f'{room} imports {", ".join(names) or "no other room"}.' for room, names in imports.items()
    )


def _text(
    x: float, y: float, words: str, size: float, weight: int = 400, fill: str = '#0f172a'
) -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" font-weight="{weight}" '
        f'fill="{fill}">{escape(words)}</text>'
    )


def _hue(rooms: list[str], room: str) -> float:
    """From blue on top over green to red at the bottom."""
    return (0.64 - 0.66 * rooms.index(room) / (len(rooms) - 1)) % 1


def _color(hue: float, lightness: float) -> str:
    return '#' + ''.join(f'{round(255 * v):02x}' for v in colorsys.hls_to_rgb(hue, lightness, 0.6))
