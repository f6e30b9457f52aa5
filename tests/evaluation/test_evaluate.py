import dataclasses

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from surrlab.data.ensemble import InMemoryEnsemble, Run
from surrlab.evaluation import evaluate, metrics, model_errors, quantities
from surrlab.evaluation import score_directions as directions
from surrlab.evaluation.evaluate import score_labels, score_ranges, score_units, scores
from surrlab.evaluation.quantities import Quantity

NAMES = ["density", "velocity_x", "velocity_y", "pressure", "energy", "material"]
TOTALS = ["mass", "momentum_x", "momentum_y"]


def predictions(truth, make):
    """What stands in for a model: `make` of each simulation's samples."""
    arrays = [make(truth.read_simulation(s)) for s in truth.simulations]
    return InMemoryEnsemble.like(truth, arrays, "predictions")


def of_models(*tables, seeds=(3, 8)):
    """Tables of several models, one after the other."""
    seed = ("model", list(seeds[: len(tables)]))
    return xr.concat(tables, "model", data_vars="all").assign_coords(seed=seed)


@pytest.fixture(scope="module")
def statistics(ensemble):
    samples = np.stack([ensemble.read_simulation(s) for s in ensemble.simulations]).astype(float)
    axes = (0, 1, 3, 4)
    columns = {"low": samples.min(axes), "high": samples.max(axes), "scale": samples.std(axes)}
    return xr.Dataset({name: ("field", values) for name, values in columns.items()})


@pytest.fixture(scope="module")
def shift(statistics):
    """A tenth of each field's range."""
    return 0.1 * (statistics["high"] - statistics["low"]).values[:, None, None]


@pytest.fixture(scope="module")
def shifted(ensemble, shift):
    return predictions(ensemble, lambda samples: samples + shift)


@pytest.fixture(scope="module")
def evaluated(ensemble, statistics, shifted):
    return evaluate(shifted, ensemble, statistics)


@pytest.fixture
def table(evaluated):
    """One that a test may spoil."""
    return evaluated.copy(deep=True)


def test_a_shift_of_a_tenth_of_the_range_is_20_decibels(table, statistics):
    assert table["psnr"].dims == ("sample", "field") and table["normalised_l1"].dims == ("sample",)
    np.testing.assert_allclose(table["psnr"], 20, atol=1e-3)
    shift = 0.1 * (statistics["high"] - statistics["low"])
    np.testing.assert_allclose(table["l1"], shift.broadcast_like(table["l1"]), rtol=1e-4)
    expected = float((shift / statistics["scale"]).mean())
    np.testing.assert_allclose(table["normalised_l1"], expected, rtol=1e-4)


def test_totals_are_of_the_prediction_and_of_the_truth(table, ensemble, statistics):
    area = 1 / 3  # of the domain, in cm²
    extra = 0.1 * float((statistics["high"] - statistics["low"])[0]) * area
    np.testing.assert_allclose(table["mass"] - table["truth_mass"], extra, rtol=1e-3)
    sample = ensemble.position(2, 9)
    density = ensemble.read(sample)[ensemble.index("density")]
    expected = metrics.total_mass(density, ensemble.grid.cell_volume)
    assert float(table["truth_mass"][sample]) == pytest.approx(float(expected))
    assert table["momentum_x"].attrs == {"long_name": "total x-momentum", "units": "g/s"}


def test_the_table_says_what_it_holds(table):
    """Names, labels and directions, once for all who draw and judge."""
    better, labels = directions(table), score_labels(table)
    psnr = [f"psnr_{name}" for name in NAMES]
    assert list(better) == list(labels) == ["l1", *psnr, *TOTALS, "thickness_correlation"]
    assert [name for name in better if better[name] == "lower"] == ["l1", *TOTALS]
    assert labels["psnr_energy"] == "PSNR of specific internal energy"
    assert labels["momentum_y"] == "error of total y-momentum"
    assert labels["thickness_correlation"] == "correlation of mixing-layer thickness"
    assert table.attrs == {"curve": "thickness", "momentum": "momentum_y"}
    assert all({"long_name", "units"} <= set(table[name].attrs) for name in table)
    assert score_units(table) == {"mass": "g/cm", "momentum_x": "g/s", "momentum_y": "g/s"}
    ranges = score_ranges(table)
    assert list(ranges) == ["mass", "momentum_y"]  # a symmetric flow has no sideways momentum
    assert ranges["mass"] == pytest.approx(float(np.ptp(table["truth_mass"].values)))


def test_the_table_lies_over_samples_and_test_simulations(table, ensemble):
    assert dict(table.sizes) == {"sample": 306, "field": 6, "test_simulation": 6}
    for name, expected in ensemble.coords.items():
        values = expected if isinstance(expected, list) else expected[1]
        np.testing.assert_array_equal(table[name], values)
    assert table["test_simulation"].values.tolist() == list(ensemble.simulations)
    assert table["thickness_correlation"].dims == ("test_simulation",)


def test_what_the_table_says_survives_joining_and_a_file(table, tmp_path):
    truth = [name for name in table if name.startswith("truth_")]
    joined = xr.concat([table.drop_vars(truth)] * 2, "model", data_vars="all").merge(table[truth])
    joined.assign_attrs(key="k").to_netcdf(tmp_path / "t.nc", engine="h5netcdf")
    back = xr.load_dataset(tmp_path / "t.nc", engine="h5netcdf").isel(model=[True, False])
    assert back.attrs == table.attrs | {"key": "k"}
    assert {name: back[name].attrs for name in back} == {name: table[name].attrs for name in table}
    assert directions(back) == directions(table)
    assert list(score_labels(back).items()) == list(score_labels(table).items())
    pd.testing.assert_frame_equal(
        scores(back.assign_coords(seed=("model", [3]))), scores(of_models(table))
    )


def test_quantities_are_the_benchmark_s(ensemble, statistics, shift, shifted, monkeypatch):
    """A benchmark of one total and another curve: nothing of Rayleigh-Taylor is left."""

    def measure(name, reduce):
        def function(fields, parameters, constants, grid):
            assert list(parameters) == ["density_ratio", "gamma", "v_init"]
            assert grid == ensemble.grid and constants == {"light": 2.0}
            return reduce(fields)

        return Quantity(name, name, "cm", function)

    monkeypatch.setattr(quantities, "_QUANTITIES", {})
    quantities.register_quantity(measure("jet", lambda f: f["density"].max((1, 2))))
    quantities.register_quantity(measure("push", lambda f: f["velocity_x"].mean((1, 2))))
    impact = {"quantities": ["push", "jet"], "curve": "jet", "momentum": "push"}
    metadata = {"benchmark": impact | {"constants": {"light": 2.0}}}
    truth = dataclasses.replace(ensemble, metadata=metadata)
    table = evaluate(shifted, truth, statistics)
    frame = scores(of_models(table))
    assert list(frame.columns)[-2:] == ["push", "jet_correlation"] and len(frame.columns) == 9
    assert frame["jet_correlation"].values == pytest.approx(1, abs=1e-6)
    assert frame["push"].values == pytest.approx(float(shift[1, 0, 0]), rel=1e-3)


def test_without_named_quantities_integrals_are_followed(ensemble, statistics, shifted):
    truth = dataclasses.replace(ensemble, metadata={})
    table = evaluate(shifted, truth, statistics)
    integrals = [f"integral_{name}" for name in NAMES]
    both = [each for name in integrals for each in (name, f"truth_{name}")]
    assert set(table) == {"l1", "psnr", "normalised_l1", *both} and table.attrs == {}
    psnr = [f"psnr_{name}" for name in NAMES]
    assert list(scores(of_models(table))) == ["l1", *psnr, *integrals]
    mass = quantities.quantities_of(ensemble, ["mass"])
    same = evaluate(shifted, truth, statistics, mass)
    np.testing.assert_allclose(table["integral_density"], same["mass"])
    none = evaluate(shifted, truth, statistics, {})
    assert list(none) == ["l1", "psnr", "normalised_l1"]
    followed = quantities.quantities_of(ensemble)
    chosen = evaluate(shifted, truth, statistics, {"mass": followed["mass"]})
    assert list(chosen)[3:] == ["mass", "truth_mass"]


def test_what_never_changes_is_not_scored(ensemble, statistics, shifted):
    of_density = [name == "density" for name in NAMES]
    apart = statistics.assign(scored=("field", np.logical_not(of_density)))
    table = evaluate(shifted, ensemble, apart)
    assert table["psnr"].isnull().all("sample").values.tolist() == of_density
    error = table["l1"] / statistics["scale"].values
    expected = error.isel(field=np.flatnonzero(apart["scored"])).mean("field")
    np.testing.assert_allclose(table["normalised_l1"], expected)
    names = list(scores(of_models(table)))
    assert "psnr_density" not in names and "psnr_pressure" in names
    assert names == list(directions(table)) and set(names) == set(score_labels(table))
    # One number everywhere: by default not scored.
    flat = statistics.assign(high=statistics["high"].where(np.logical_not(of_density), -9e9))
    flat["low"] = flat["low"].where(np.logical_not(of_density), -9e9)
    xr.testing.assert_equal(evaluate(shifted, ensemble, flat)["psnr"], table["psnr"])


def test_scores_of_a_table(table):
    frame = scores(of_models(table, table))
    assert frame.index.names == ["seed", "simulation"]
    assert list(frame.index) == [(seed, s) for seed in (3, 8) for s in range(6)]
    assert list(frame.columns) == list(directions(table))
    assert frame["psnr_pressure"].values == pytest.approx(20, abs=1e-3)
    error = (table["mass"] - table["truth_mass"]).values.reshape(6, 51)
    assert frame.loc[8, "mass"].values == pytest.approx(error.mean(axis=1), rel=1e-4)


def test_what_is_not_a_number_is_not_averaged_away(table):
    table["normalised_l1"][0] = table["mass"][0] = np.nan
    table["thickness_correlation"][1] = table["psnr"][0, 3] = np.nan
    frame = scores(of_models(table))
    lost = {"l1", "mass", "thickness_correlation", "psnr_pressure"}
    assert set(frame.columns[frame.isna().any()]) == lost
    assert np.argwhere(frame["mass"].isna().values).tolist() == [[0]]
    assert "mass" in score_ranges(table)  # so that it is judged, and refused
    assert np.argwhere(frame["thickness_correlation"].isna().values).tolist() == [[1]]


def test_a_flat_mixing_layer_follows_nothing(ensemble, statistics):
    table = evaluate(predictions(ensemble, np.ones_like), ensemble, statistics)
    assert (table["thickness_correlation"] == 0).all()


def test_model_errors_are_in_each_field_s_unit(table, ensemble, shifted):
    errors = model_errors(shifted, ensemble)["model_error"]
    assert errors.dims == ("sample", "field")
    xr.testing.assert_allclose(errors, table["l1"].drop_vars("scored"))


def test_a_truth_that_never_changes_is_not_followed(table):
    models = of_models(table)
    assert "thickness_correlation" in scores(models)
    models["truth_thickness"][..., models["simulation"].values == 2] = 0.25
    models["thickness_correlation"][..., 2] = np.nan
    frame = scores(models)
    assert "thickness_correlation" not in frame and not frame.isna().any(axis=None)
    assert list(frame.columns) == list(directions(models)) == list(score_labels(models))


# ------------------------------------------------------------------------- models and ensembles


@pytest.fixture(scope="module")
def surrogate(ensemble, statistics):
    """An untrained network with statistics of its data."""
    import torch

    from surrlab.training import Generator, Normaliser, Surrogate
    from surrlab.training.surrogate import interface

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Generator(4, 6, (24, 8), (3, 1), 8, 8).eval()
    inputs = ensemble.inputs.mean(axis=0), ensemble.inputs.std(axis=0)
    fields = statistics["low"].values, statistics["scale"].values
    normaliser = Normaliser(*(tuple(values.tolist()) for values in (*inputs, *fields)))
    return Surrogate(network, normaliser, {"interface": interface(ensemble)}, [])


def test_predictions_are_judged_as_the_model_that_made_them(ensemble, statistics, surrogate):
    from surrlab.training import predict

    truth = ensemble.select([4, 1])
    arrays = [predict(surrogate, truth.inputs[np.array(truth.of(s))]) for s in (4, 1)]
    made = InMemoryEnsemble.like(truth, arrays, "predictions")
    xr.testing.assert_identical(
        evaluate(made, truth, statistics), evaluate(surrogate, truth, statistics)
    )
    xr.testing.assert_identical(model_errors(made, truth), model_errors(surrogate, truth))
    assert float(model_errors(made, truth)["model_error"].min()) > 0


def test_predictions_may_hold_more_simulations_than_are_asked_for(
    ensemble, statistics, shifted, evaluated
):
    test = ensemble.select([5, 2])
    table = evaluate(shifted, test, statistics)
    rows = np.concatenate([ensemble.of(5), ensemble.of(2)])
    xr.testing.assert_identical(table, evaluated.isel(sample=rows, test_simulation=[5, 2]))
    with pytest.raises(KeyError, match="predictions has no simulation 0"):
        evaluate(shifted.select([5, 2]), ensemble, statistics)


def test_a_model_of_something_else_is_refused(ensemble, statistics, shifted, surrogate):
    from surrlab.data.fields import Grid

    fields = (*ensemble.fields[:5], dataclasses.replace(ensemble.fields[5], name="dye"))
    later = [Run(r.simulation, r.parameters, tuple(t + 1 for t in r.times)) for r in ensemble.runs]
    wider = Grid.uniform({"y": (24, 0, 1), "x": (8, 0, 1)}, "cm")
    changes = {
        "other field_names": {"fields": fields},
        "other grid": {"grid": wider},
        "other input_names": {"input_names": ("a", "b", "c", "time")},
        "simulation 0 has other parameters or times": {"runs": tuple(later)},
    }
    for message, change in changes.items():
        other = dataclasses.replace(shifted, **change)
        for compare in (model_errors, lambda m, e: evaluate(m, e, statistics)):
            with pytest.raises(ValueError, match=message):
                compare(other, ensemble)
    other = dataclasses.replace(ensemble, fields=fields)
    for compare in (model_errors, lambda m, e: evaluate(m, e, statistics)):
        with pytest.raises(ValueError, match="the model was trained on fields"):
            compare(surrogate, other)


def test_simulations_of_different_lengths():
    """Two of three and of one sample: every table keeps their order."""
    from ragged import FIELDS, GRIDS

    rng = np.random.default_rng(0)
    runs = tuple(Run(s, (), tuple(map(float, range(n)))) for s, n in ((4, 3), (2, 1)))
    truth = InMemoryEnsemble(
        name="truth",
        fields=FIELDS,
        grid=GRIDS[1],
        input_names=("time",),
        input_units=("s",),
        runs=runs,
        dtype="float64",
        metadata={"benchmark": {"quantities": ["top"], "curve": "top", "momentum": "none"}},
        arrays={r.simulation: rng.normal(size=(len(r.times), 2, 7)) for r in runs},
    )
    top = {"top": Quantity("top", "largest u", "m/s", lambda fields, *_: fields["u"].max(-1))}
    statistics = xr.Dataset(
        {n: ("field", [v, v]) for n, v in (("low", -1.0), ("high", 1.0), ("scale", 0.5))}
    )
    made = predictions(truth, lambda samples: samples + 0.2)
    table = evaluate(made, truth, statistics, top)
    assert table["simulation"].values.tolist() == [4, 4, 4, 2]
    np.testing.assert_allclose(table["psnr"], 20)
    np.testing.assert_allclose(table["normalised_l1"], 0.4)
    expected = [truth.read(sample)[0].max() for sample in range(4)]
    np.testing.assert_array_equal(table["truth_top"], expected)
    assert table["top_correlation"].values == pytest.approx([1, 0])  # one sample follows nothing
    assert table.attrs == {"curve": "top"}
    frame = scores(of_models(table))
    assert list(frame.index) == [(3, 4), (3, 2)] and "top_correlation" not in frame
