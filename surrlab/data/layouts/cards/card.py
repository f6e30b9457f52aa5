"""What is known of somebody's ensemble: from the headers of its files, and from its owner.

A `Card` is JSON. A layout fills it in from headers; what no file says (names, units, parameters,
times, a mask) its owner adds in ``surrlab.json`` beside the data, or as ``card=``. What files do
say may not be contradicted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from surrlab.data.fields import Field, Grid, Run

RUN, TIME = "run", "time"
UNKNOWN = "?"
"""Stands in a card to fill in for what no file says."""


class Source(NamedTuple):
    """Where a field lies in every file of an ensemble.

    Parameters
    ----------
    dataset : str
        Name of the array.
    axes : tuple of str or int
        What each of its axes is, as stored: ``"run"``, ``"time"``, an axis of the grid, or, for
        channels and components of vectors, the index to take.
    fill : tuple of float
        Values that stand for no value.
    """

    dataset: str
    axes: tuple[str | int, ...]
    fill: tuple[float, ...] = ()

    @property
    def n_grid(self) -> int:
        """Number of the grid's axes; 0 unless they come last."""
        lead = [axis for axis in self.axes if axis in (RUN, TIME) or isinstance(axis, int)]
        return len(self.axes) - len(lead) if list(self.axes[: len(lead)]) == lead else 0

    def lead(self, run: int, steps: Any) -> tuple[Any, ...]:
        """Index of some steps of a run: numbers before the grid's axes, which it leaves out."""
        lead = self.axes[: len(self.axes) - self.n_grid]
        return tuple(run if a == RUN else steps if a == TIME else int(a) for a in lead)


class Part(NamedTuple):
    """Consecutive samples of one simulation that lie in one file.

    Parameters
    ----------
    file : int
        Position in the card's ``files``.
    rows : tuple of int
        Index of each sample on the arrays' axis ``"time"``.
    run : int
        Index on the arrays' axis ``"run"``.
    group : str
        What comes before the datasets' names in the file, with its ``/``.
    """

    file: int
    rows: tuple[int, ...]
    run: int = 0
    group: str = ""


@dataclass(frozen=True, kw_only=True)
class Card:
    """Everything that reading an ensemble takes, as a JSON-able value.

    Parameters
    ----------
    layout : str
        Name of the layout.
    fields, sources : tuple of Field, tuple of Source
        What the fields are and where they lie.
    grid : Grid
        Axes in stored order.
    inputs : dict of str
        Unit of each input: the parameters, then ``time``.
    runs, parts : tuple of Run, tuple of tuple of Part
        The simulations, and where their samples lie, in time.
    files, sizes : tuple of str, tuple of int
        Paths within the folder, and bytes.
    dtype : str
        ``"float32"`` or ``"float64"``: the smaller one that holds all stored numbers.
    benchmark : dict
        Name, constants, description, as JSON.
    unknown : tuple of str
        What no file says: ``"fields"``, ``"unit of density"``, ``"axis y"``, ``"time"`` …
    left_out : dict of str
        Arrays that are not fields, and why not.
    library : str
        Why samples are read through a library; empty if stored chunks can be read in place.
    checksums : bool
        Whether all stored chunks have checksums.
    """

    layout: str
    fields: tuple[Field, ...]
    sources: tuple[Source, ...]
    grid: Grid
    inputs: dict[str, str]
    runs: tuple[Run, ...]
    parts: tuple[tuple[Part, ...], ...]
    files: tuple[str, ...]
    sizes: tuple[int, ...]
    dtype: str
    benchmark: dict[str, Any] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)
    library: str = ""
    checksums: bool = False

    def __post_init__(self):
        if len(self.inputs) != 1 + len(self.runs[0].parameters):
            raise ValueError(
                f"{len(self.runs[0].parameters)} parameters a simulation are not the "
                f"{len(self.inputs) - 1} named {', '.join(list(self.inputs)[:-1])}"
            )

    def config(self) -> dict[str, Any]:
        """Return the card as JSON; `from_config` rebuilds it."""
        return {
            **{name: getattr(self, name) for name in self.__dataclass_fields__},
            "fields": [f.config() for f in self.fields],
            "grid": self.grid.config(),
            "runs": [[r.simulation, r.parameters, r.times] for r in self.runs],
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return the card whose `config` this is."""
        tuples = ("files", "sizes", "unknown")
        parts = [[Part(f, tuple(rows), *rest) for f, rows, *rest in p] for p in config["parts"]]
        return cls(**{
            **config,
            **{name: tuple(config[name]) for name in tuples},
            "fields": tuple(Field(**f) for f in config["fields"]),
            "sources": tuple(Source(d, tuple(a), tuple(fill)) for d, a, fill in config["sources"]),
            "grid": Grid.from_config(config["grid"]),
            "runs": tuple(Run(s, tuple(p), tuple(t)) for s, p, t in config["runs"]),
            "parts": tuple(map(tuple, parts)),
        })  # fmt: skip

    def template(self) -> dict[str, Any]:
        """Return what a user may add, as ``surrlab.json`` holds it; ``"?"`` where nobody says."""

        def known(what: str, value):
            return UNKNOWN if what in self.unknown else value

        parameters = list(self.inputs.items())[:-1]
        return {
            "layout": self.layout,
            "benchmark": self.benchmark.get("name", UNKNOWN),
            "fields": {
                f.name: {
                    "name": known("fields", f.name),
                    "unit": known(f"unit of {f.name}", f.unit),
                    "label": f.label,
                }
                for f in self.fields
            },
            "parameters": {
                name: {
                    "name": known("parameters", name),
                    "unit": known(f"unit of {name}", unit),
                }
                for name, unit in parameters
            },
            "axes": {
                a.name: {
                    "unit": known(f"unit of {a.name}", a.unit),
                    "low": known(f"axis {a.name}", a.low),
                    "high": known(f"axis {a.name}", a.high),
                }
                for a in self.grid.axes
            },
            "time": {
                "unit": known("unit of time", self.inputs["time"]),
                **({"values": UNKNOWN} if "time" in self.unknown else {}),
            },
        }
