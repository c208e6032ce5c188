"""Colours for classes."""

import colorsys


def class_color(label: int) -> tuple[int, int, int]:
    """RGB of a class: hues by the golden ratio, so that neighbours differ, in three values."""
    label = int(label)
    hue = (0.58 + label * 0.618033988749895) % 1
    value = (0.95, 0.75, 0.85)[label % 3]
    saturation = (0.75, 0.9, 0.55)[label // 3 % 3]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)
