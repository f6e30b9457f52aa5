"""What a page shows as a file: a picture, its arrays, its numbers, or its sweep in time."""

from __future__ import annotations

import csv
import functools
import io
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import xarray as xr
from PIL import Image, ImageDraw, ImageFont

from surrlab.data.fields import Field, Grid
from surrlab.explorer.html import DIFFERENCE, FIELD
from surrlab.figures.style import plain_text

FORMATS = {
    "PNG": "image/png",
    "SVG": "image/svg+xml",
    "NetCDF": "application/x-netcdf",
    "CSV": "text/csv",
    "GIF": "image/gif",
}
"""What a view can be saved as, and the type of its link for a browser."""
MOST_FRAMES = 100
"""Frames of a sweep: of more times some are left out."""
_MARGIN, _LINE = 12, 18  # pixels


@dataclass(frozen=True, eq=False)
class Shown:
    """What a page shows.

    Parameters
    ----------
    panels : dict
        Name -> array (ny, nx), in the field's unit.
    field, grid : Field, Grid
        What it is, and where it lives.
    numbers : sequence of (str, float or str, str)
        Name, value and unit of each number.
    settings : dict
        What was chosen, by name.
    """

    panels: Mapping[str, np.ndarray]
    field: Field
    grid: Grid
    numbers: tuple[tuple[str, float | str, str], ...]
    settings: Mapping[str, Any]


class Frame(NamedTuple):
    """One picture of a sweep: a line of text, and rows of fields as PNG under their names."""

    caption: str
    rows: list[list[tuple[str, bytes]]]


def contents(page, kind: str) -> bytes:
    """The bytes of a page's file in one of `FORMATS`; ValueError where there is nothing to show."""
    if kind == "NetCDF":
        return bytes(dataset(page.shown()).to_netcdf(engine="h5netcdf"))
    if kind == "CSV":
        return numbers_csv(page.shown())
    if kind == "GIF":
        return animation(page.frames(), page.frame_size, page.shades().cmap)
    return picture(page.figure, kind.lower())


@plain_text()
def picture(make: Callable, kind: str) -> bytes:
    """A figure as PNG or SVG."""
    out = io.BytesIO()
    make().savefig(out, format=kind)
    return out.getvalue()


def ending(kind: str) -> str:
    """Ending of a file's name."""
    return ".nc" if kind == "NetCDF" else f".{kind.lower()}"


def dataset(shown: Shown) -> xr.Dataset:
    """The arrays over their axes; settings and numbers are attributes."""
    y, x = shown.grid.y, shown.grid.x
    coords = {a.name: (a.name, a.centres, {"units": a.unit}) for a in (y, x)}
    found: dict[str, Any] = {}
    for name, values in shown.panels.items():
        plain = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")
        key = plain if plain and plain not in (*found, *coords) else f"panel_{len(found)}"
        attributes = {"units": shown.field.unit, "long_name": f"{shown.field.label}: {name}"}
        found[key] = ((y.name, x.name), np.asarray(values), attributes)
    plain = {k: v if isinstance(v, int | float | str) else json.dumps(v) for k, v in
             shown.settings.items()}  # fmt: skip
    numbers = {f"{name} ({unit})" if unit else name: value for name, value, unit in shown.numbers}
    numbers = {name.replace("/", " per "): value for name, value in numbers.items()}
    return xr.Dataset(found, coords, plain | numbers)


def numbers_csv(shown: Shown) -> bytes:
    """Settings and numbers as UTF-8: name, value, unit."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["name", "value", "unit"])
    for name, value in shown.settings.items():
        flat = value if isinstance(value, int | float | str) else json.dumps(value)
        writer.writerow([name, flat, ""])
    writer.writerows(shown.numbers)
    return out.getvalue().encode()


def steps_of(n: int) -> range:
    """Which of n times a sweep shows: all, or every second, third …"""
    return range(0, n, max(1, math.ceil(n / MOST_FRAMES)))


def animation(frames: Iterable[Frame], size: tuple[int, int], cmap: str = FIELD) -> bytes:
    """Frames as GIF, four a second, for ever; each field has `size` pixels, width and height.

    `cmap` is the map of the fields.
    """
    images = [_draw(frame, size, cmap) for frame in frames]
    out = io.BytesIO()
    first, *others = images
    first.save(out, "GIF", save_all=True, append_images=others, duration=250, loop=0)
    return out.getvalue()


def _draw(frame: Frame, size: tuple[int, int], cmap: str) -> Image.Image:
    width, height = size
    cell = max(width, 130)  # room for the names
    n = max(map(len, frame.rows))
    total = n * (cell + _MARGIN) + _MARGIN, (height + 2 * _LINE + _MARGIN) * len(frame.rows) + 30
    image, font = Image.new("RGB", (max(total[0], 460), total[1]), "white"), _font()
    draw = ImageDraw.Draw(image)
    draw.text((_MARGIN, 8), frame.caption, "black", font)
    for i, line in enumerate(frame.rows):
        top = 30 + i * (height + 2 * _LINE + _MARGIN)
        for j, (name, png) in enumerate(line):
            left = _MARGIN + j * (cell + _MARGIN)
            draw.text((left, top), name.replace(" (", "\n("), "black", font, spacing=2)
            if not png:
                continue
            field = Image.open(io.BytesIO(png)).convert("RGBA")
            field = field.resize((width, height), Image.Resampling.NEAREST)
            image.paste(field, (left, top + 2 * _LINE), field)
    return image.quantize(palette=_palette(cmap), dither=Image.Dither.NONE)


@functools.cache
def _palette(cmap: str) -> Image.Image:
    """Half of each colour map, and greys for the text: the same for all frames."""
    maps = (matplotlib.colormaps[name](np.linspace(0, 1, 124)) for name in (cmap, DIFFERENCE))
    greys = np.repeat(np.linspace(0, 1, 8)[:, None], 4, axis=1)
    colors = np.concatenate([*maps, greys])[:, :3]
    palette = Image.new("P", (1, 1))
    palette.putpalette((255 * colors).round().astype(np.uint8).tobytes())
    return palette


def _font() -> ImageFont.FreeTypeFont:
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"  # has × and −
    return ImageFont.truetype(str(path), 12)
