"""Physical numbers of a sample, by name: what physicists follow in time (Eqs. 2 to 4).

A benchmark names the quantities that make sense for it, and its constants; where nobody names any,
each field's integral over the domain is followed. `register_quantity` adds a user's own.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from surrlab.data.ensemble import Ensemble
from surrlab.data.fields import Grid
from surrlab.evaluation import metrics

Fields = Mapping[str, np.ndarray]
Numbers = Mapping[str, float]


@dataclass(frozen=True)
class Quantity:
    """A number of each sample.

    Parameters
    ----------
    name : str
        What code and tables call it.
    label, unit : str
        What people read; ``{time}`` in a unit stands for the ensemble's unit of time.
    function : callable
        ``(fields, parameters, constants, grid) -> (...)`` float64, with fields by name
        ``(..., *grid.shape)`` (0 in masked cells), the simulation's parameters and the benchmark's
        constants by name.
    better : {"lower", "higher"}
        Direction of the error's score.
    linear_in : str
        Field in which it is linear, given the others: `compress(keep=…)` can then keep it exactly.
    """

    name: str
    label: str
    unit: str
    function: Callable[[Fields, Numbers, Numbers, Grid], np.ndarray]
    better: str = "lower"
    linear_in: str = ""


_QUANTITIES: dict[str, Quantity] = {}


def register_quantity(quantity: Quantity) -> Quantity:
    """Let ensembles name a quantity.

    Examples
    --------
    >>> def heat(fields, parameters, constants, grid):
    ...     return (fields["energy"] * fields["density"]).sum((-2, -1)) * grid.cell_volume
    >>> register_quantity(Quantity("heat", "total heat", "J", heat)).name
    'heat'
    """
    _QUANTITIES[quantity.name] = quantity
    return quantity


INTEGRAL = "integral_"
"""What the name of a field's integral begins with."""


def quantities_of(ensemble: Ensemble, names: Sequence[str] = ()) -> dict[str, Quantity]:
    """Return the quantities that are followed in an ensemble, with its own unit of time.

    Parameters
    ----------
    ensemble : Ensemble
        Whose benchmark names some; where it names none: the integral of each field that is not
        static.
    names : sequence of str
        Others instead: registered names, ``integral_<field>``, or ``"module:name"`` of a
        `Quantity`, of a list of them, or of a function like `Quantity.function`.

    Raises
    ------
    KeyError
        If one of them is not known.
    ValueError
        If it cannot be imported, or is none.
    """
    benchmark = ensemble.metadata.get("benchmark", {})
    asked: Iterable[str] = names or benchmark.get("quantities", ())
    if not asked:
        asked = [INTEGRAL + field.name for field in ensemble.fields if not field.static]
    found = [quantity for name in asked for quantity in _quantities(name, ensemble)]
    unit = ensemble.time_unit
    return {q.name: replace(q, unit=q.unit.replace("{time}", unit)) for q in found}


def _quantities(name: str, ensemble: Ensemble) -> list[Quantity]:
    field = name.removeprefix(INTEGRAL)
    if ":" in name:
        return _import(name)
    if name in _QUANTITIES:
        return [_QUANTITIES[name]]
    if name.startswith(INTEGRAL) and field in ensemble.field_names:
        one = ensemble.fields[ensemble.index(field)]
        unit = " ".join(u for u in (one.unit, _volume_unit(ensemble.grid)) if u != "1") or "1"
        whole = partial(_integral, field)
        return [Quantity(name, f"integral of {one.label}", unit, whole, linear_in=field)]
    raise KeyError(
        f"{ensemble.name} names the quantity {name!r}, which nobody registered; there are "
        f"{', '.join(_QUANTITIES)}, and {INTEGRAL}<field> of {', '.join(ensemble.field_names)}"
    )


def _import(name: str) -> list[Quantity]:
    module, _, attribute = name.partition(":")
    try:
        found: Any = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # whatever the user's module does when it is imported
        raise ValueError(
            f"quantity {name!r} cannot be imported ({type(error).__name__}: {error}); is its "
            "module installed, or on PYTHONPATH?"
        ) from error
    if not isinstance(found, Quantity) and callable(found):
        found = Quantity(attribute, attribute.replace("_", " "), "1", found)
    several = [found] if isinstance(found, Quantity) else found
    if not isinstance(several, list | tuple) or not all(isinstance(q, Quantity) for q in several):
        raise ValueError(f"{name!r} is {type(found).__name__}, no Quantity, list of them, function")
    return list(several)


def _volume_unit(grid: Grid) -> str:
    units = [axis.unit for axis in grid.axes]
    if len(units) in (2, 3) and len(set(units)) == 1 and units[0].isalpha():
        return units[0] + "⁰¹²³"[len(units)]  # cm²
    return " ".join(unit for unit in units if unit != "1") or "1"


def _integral(field: str, fields, parameters, constants, grid):
    return metrics.total_mass(fields[field], grid.cell_volume, grid.ndim)


def measure(
    quantities: Mapping[str, Quantity], ensemble: Ensemble, simulation: int, samples: np.ndarray
) -> dict[str, np.ndarray]:
    """Return each quantity of samples of one simulation, from the simulation or predicted.

    Parameters
    ----------
    quantities : mapping
        From `quantities_of`.
    ensemble : Ensemble
        Says names, parameters, constants and grid.
    simulation : int
        Whose parameters hold.
    samples : array (T, n_fields, *grid.shape)
        In the ensemble's order of fields.

    Returns
    -------
    dict of str to array (T,), float64

    Raises
    ------
    KeyError
        If a quantity needs a field, a parameter or a constant that the ensemble lacks.
    ValueError
        If it is not one number per sample, or does not hold on such a grid.
    """
    if ensemble.valid is not None:  # sums leave them out
        samples = np.where(ensemble.valid, samples, 0)
    fields = {name: samples[:, i] for i, name in enumerate(ensemble.field_names)}
    values = ensemble.run(simulation).parameters
    parameters = dict(zip(ensemble.input_names[:-1], values, strict=True))
    constants = ensemble.metadata.get("benchmark", {}).get("constants", {})
    measured = {}
    for name, one in quantities.items():
        try:
            value = one.function(fields, parameters, constants, ensemble.grid)
        except KeyError as error:
            known = ", ".join([*fields, *parameters, *constants])
            raise KeyError(
                f"the quantity {name!r} needs {error}, which {ensemble.name} lacks; it has {known}"
            ) from error
        measured[name] = np.asarray(value, np.float64)
        if measured[name].shape != (len(samples),):
            raise ValueError(
                f"the quantity {name!r} must be one number for each of {len(samples)} samples, "
                f"not an array {measured[name].shape}"
            )
    return measured


# ------------------------------------------------------------------------------ the paper's own


def _mass(fields, parameters, constants, grid):
    return metrics.total_mass(fields["density"], grid.cell_volume, grid.ndim)


def _momentum(component: int, fields, parameters, constants, grid):
    velocity = fields["velocity_x"], fields["velocity_y"]
    both = metrics.total_momentum(fields["density"], *velocity, grid.cell_volume, grid.ndim)
    return both[component]


def _even(grid: Grid) -> Grid:
    if grid.ndim != 2 or not grid.is_uniform:
        raise ValueError(
            f"this quantity is defined on two axes of equal cells, not on {', '.join(grid.names)}"
        )
    return grid


def _thickness(fields, parameters, constants, grid):
    light = constants["light"]
    heavy = light * parameters["density_ratio"]
    return metrics.mixing_layer_thickness(fields["density"], light, heavy, _even(grid).y.width)


def _copper(fields, constants):
    """Density of the copper alone: the mixture's without the air, taken at its first density.

    Shocked air is up to 6 times as dense, which counts less than 0.3 % of the copper's mass as
    copper.
    """
    density, material = (fields[n].astype(np.float64) for n in ("density", "material"))
    return density - (1.0 - material) * constants["air_density"]


def _copper_mass(fields, parameters, constants, grid):
    return metrics.total_mass(_copper(fields, constants), grid.cell_volume, grid.ndim)


def _copper_momentum(component: int, fields, parameters, constants, grid):
    vx, vy = (fields[f"velocity_{c}"].astype(np.float64) for c in "xy")
    copper = _copper(fields, constants)
    return metrics.total_momentum(copper, vx, vy, grid.cell_volume, grid.ndim)[component]


def _jet_length(fields, parameters, constants, grid):
    return metrics.jet_length(fields["material"], _even(grid).x.width)


for _one in (
    Quantity("mass", "total mass", "g/cm", _mass, linear_in="density"),
    *(
        Quantity(
            f"momentum_{axis}",
            f"total {axis}-momentum",
            "g/{time}",
            partial(_momentum, component),
            linear_in=f"velocity_{axis}",
        )
        for component, axis in enumerate("xy")
    ),
    Quantity("thickness", "mixing-layer thickness", "cm", _thickness),
    Quantity("copper_mass", "mass of copper", "g/cm", _copper_mass, linear_in="density"),
    *(
        Quantity(
            f"copper_momentum_{axis}",
            f"{axis}-momentum of copper",
            "g/{time}",
            partial(_copper_momentum, component),
            linear_in=f"velocity_{axis}",
        )
        for component, axis in enumerate("xy")
    ),
    Quantity("jet_length", "jet length", "cm", _jet_length),
):
    register_quantity(_one)
