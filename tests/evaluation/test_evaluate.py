import numpy as np
import pytest
import xarray as xr

from surrlab import evaluation
from surrlab.evaluation import metrics
from surrlab.simulation import scenario


class Truthful:
    """Stands in for a model: predicts the simulation itself, shifted by 10 % of each range."""

    def __init__(self, ensemble, statistics):
        self.ensemble = ensemble
        self.shift = 0.1 * (statistics["high"] - statistics["low"]).values[:, None, None]

    def require(self, ensemble):
        assert ensemble.grid == self.ensemble.grid

    def predict(self, surrogate, inputs):
        (row,) = np.flatnonzero((self.ensemble.inputs == inputs).all(axis=(1, 2)))
        return self.ensemble.read(self.ensemble.simulations[row]) + self.shift


@pytest.fixture
def statistics(ensemble):
    samples = np.stack([ensemble.read(s) for s in ensemble.simulations]).astype(float)
    axes = (0, 1, 3, 4)
    columns = {"low": samples.min(axes), "high": samples.max(axes), "scale": samples.std(axes)}
    return xr.Dataset({name: ("field", values) for name, values in columns.items()})


@pytest.fixture
def table(ensemble, statistics, monkeypatch):
    model = Truthful(ensemble, statistics)
    monkeypatch.setattr(training, "predict", model.predict)
    return evaluation.evaluate(model, ensemble, statistics)


def test_a_shift_of_a_tenth_of_the_range_is_20_decibels(table, statistics):
    np.testing.assert_allclose(table["psnr"], 20, atol=1e-3)
    shift = 0.1 * (statistics["high"] - statistics["low"])
    np.testing.assert_allclose(table["l1"], shift.broadcast_like(table["l1"]), rtol=1e-4)
    expected = float((shift / statistics["scale"]).mean())
    np.testing.assert_allclose(table["normalised_l1"], expected, rtol=1e-4)


def test_totals_are_of_the_prediction_and_of_the_truth(table, ensemble, statistics):
    area = 1 / 3  # of the domain, in cm²
    extra = 0.1 * float((statistics["high"] - statistics["low"])[0]) * area
    np.testing.assert_allclose(table["mass"] - table["truth_mass"], extra, rtol=1e-3)
    density = ensemble.read(2, 9)[scenario.NAMES.index("density")]
    expected = metrics.total_mass(density, ensemble.grid.cell_area)
    assert float(table["truth_mass"].sel(simulation=2)[9]) == pytest.approx(float(expected))
    assert table["momentum_x"].attrs == {"long_name": "total x-momentum", "units": "g/s"}


def test_the_table_says_what_it_holds(table):
    """Names, labels and directions, once for all who draw and judge."""
    better, labels = evaluation.better(table), evaluation.labels(table)
    psnr = [f"psnr_{name}" for name in scenario.NAMES]
    totals = ["mass", "momentum_x", "momentum_y"]
    assert list(better) == list(labels) == ["l1", *psnr, *totals, "thickness_correlation"]
    assert [name for name in better if better[name] == "lower"] == ["l1", *totals]
    assert labels["psnr_energy"] == "PSNR of specific internal energy"
    assert labels["momentum_y"] == "error of total y-momentum"
    assert labels["thickness_correlation"] == "correlation of mixing-layer thickness"
    assert table.attrs == {"curve": "thickness", "momentum": "momentum_y"}
    assert all({"long_name", "units"} <= set(table[name].attrs) for name in table)


def test_what_the_table_says_survives_joining_and_a_file(table, tmp_path):
    truth = [name for name in table if name.startswith("truth_")]
    joined = xr.concat([table.drop_vars(truth)] * 2, "model", data_vars="all").merge(table[truth])
    joined.assign_attrs(key="k").to_netcdf(tmp_path / "t.nc", engine="h5netcdf")
    back = xr.load_dataset(tmp_path / "t.nc", engine="h5netcdf").isel(model=[True, False])
    assert back.attrs == table.attrs | {"key": "k"}
    assert {name: back[name].attrs for name in back} == {name: table[name].attrs for name in table}
    assert evaluation.better(back) == evaluation.better(table)
    assert list(evaluation.labels(back).items()) == list(evaluation.labels(table).items())


def test_quantities_are_the_scenario_s(ensemble, statistics, monkeypatch):
    """A benchmark of one total and another curve: nothing of Rayleigh-Taylor is left."""

    class Impact:
        curve, momentum = "jet", "push"

        @property
        def quantities(self):
            return {name: metrics.Quantity(name, "cm") for name in ("push", "jet")}

        def measure(self, samples, parameters, grid):
            assert parameters.shape == (3,) and grid == ensemble.grid
            return {"jet": samples[:, 0].max((1, 2)), "push": samples[:, 1].mean((1, 2))}

    monkeypatch.setattr(native, "scenario_of", lambda ensemble: Impact())
    model = Truthful(ensemble, statistics)
    monkeypatch.setattr(training, "predict", model.predict)
    table = evaluation.evaluate(model, ensemble, statistics)
    models = table.expand_dims("model").assign_coords(seed=("model", [3]))
    frame = evaluation.scores(models)
    assert list(frame.columns)[-2:] == ["push", "jet_correlation"] and len(frame.columns) == 9
    assert frame.loc[3, "jet_correlation"] == pytest.approx(1, abs=1e-6)
    assert frame.loc[3, "push"] == pytest.approx(float(model.shift[1, 0, 0]), rel=1e-3)


def test_scores_of_a_table(table):
    models = xr.concat([table, table], "model").assign_coords(seed=("model", [3, 8]))
    frame = evaluation.scores(models)
    assert list(frame.index) == [3, 8] and list(frame.columns) == list(evaluation.better(table))
    assert frame.loc[3, "psnr_pressure"] == pytest.approx(20, abs=1e-3)
    expected = float((table["mass"] - table["truth_mass"]).mean())
    assert frame.loc[8, "mass"] == pytest.approx(expected, rel=1e-4)


def test_what_is_not_a_number_is_not_averaged_away(table):
    table["normalised_l1"][0, 0] = table["mass"][0, 0] = np.nan
    table["thickness_correlation"][1] = table["psnr"][0, 0, 3] = np.nan
    frame = evaluation.scores(table.expand_dims("model").assign_coords(seed=("model", [3])))
    lost = {"l1", "mass", "thickness_correlation", "psnr_pressure"}
    assert set(frame.columns[frame.isna().all()]) == lost


def test_a_flat_mixing_layer_follows_nothing(ensemble, statistics, monkeypatch):
    def flat(surrogate, inputs):
        return np.ones((51, 6, 24, 8), np.float32)

    monkeypatch.setattr(training, "predict", flat)
    table = evaluation.evaluate(Truthful(ensemble, statistics), ensemble, statistics)
    assert (table["thickness_correlation"] == 0).all()


def test_model_errors_are_in_each_field_s_unit(table, ensemble, statistics, monkeypatch):
    errors = evaluation.model_errors(Truthful(ensemble, statistics), ensemble)["model_error"]
    assert errors.dims == ("simulation", "time", "field")
    xr.testing.assert_allclose(errors, table["l1"])


def test_a_truth_that_never_changes_is_not_followed(table):
    models = table.expand_dims("model").assign_coords(seed=("model", [3]))
    models["thickness_correlation"][0, 0] = np.nan
    models["truth_thickness"][0, 0] = 0.25
    frame = evaluation.scores(models)
    assert np.isfinite(frame.loc[3, "thickness_correlation"])
    models["truth_thickness"][0, :] = 0.25
    assert np.isnan(evaluation.scores(models).loc[3, "thickness_correlation"])
