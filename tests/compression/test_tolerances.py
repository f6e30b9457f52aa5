import shutil
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from surrlab.compression.search import find_tolerance
from surrlab.compression.tolerances import broadcast_to_ensemble, find_tolerances
from surrlab.data.ensemble import InMemoryEnsemble, Run
from surrlab.data.fields import Field, Grid
from surrlab.data.native import open_native


def spread(ensemble):
    """Standard deviation of each field."""
    samples = np.concatenate([ensemble.read_simulation(s) for s in ensemble.simulations])
    return samples.std(axis=(0, *range(2, samples.ndim)))


def labelled(ensemble, values):
    return xr.DataArray(values, dims=("sample", "field"), coords=ensemble.coords)


def model_errors(ensemble, level=0.1):
    """Errors such as a trained model's: they grow in time and scatter from sample to sample."""
    time = ensemble.samples.time / ensemble.samples.time.max()
    scatter = np.random.default_rng(0).lognormal(sigma=0.3, size=(len(time), 1))
    return labelled(ensemble, level * (0.3 + 0.7 * time)[:, None] * scatter * spread(ensemble))


@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture
def ragged():
    """Simulations of two and of three samples, two fields on a line."""
    values = np.random.default_rng(0).normal(size=(5, 2, 32)).astype(np.float32)
    return InMemoryEnsemble(
        name="ragged",
        fields=(Field("u", "m/s"), Field("p")),
        grid=Grid.uniform({"x": (32, 0.0, 1.0)}, unit="m"),
        input_names=("a", "time"),
        input_units=("1", "s"),
        runs=(Run(7, (0.5,), (0.0, 1.0)), Run(3, (1.5,), (0.0, 0.25, 0.5))),
        metadata={},
        arrays={7: values[:2], 3: values[2:]},
    )


def test_over_an_ensemble_in_two_and_a_half_calls(ensemble, pool):
    errors = model_errors(ensemble)
    table = find_tolerances(ensemble, errors, executor=pool)
    assert dict(table.sizes) == {"sample": 306, "field": 6}
    units = dict(zip(ensemble.field_names, table["unit"].values, strict=True))
    assert units["pressure"] == "g/(cm s²)"
    assert (table["error"] <= errors).all() and (table["max_error"] <= table["tolerance"]).all()
    assert float(table["n_encodes"].mean()) <= 2.5
    at = {"sample": ensemble.position(4, 30), "field": 2}
    alone = find_tolerance(ensemble.read(at["sample"])[2], float(errors[at]))
    assert table["tolerance"][at] == alone.tolerance and table["nbytes"][at] == alone.nbytes
    assert table["tolerance"].dtype == table["error"].dtype == np.float64


def test_over_an_ensemble_by_sample(ensemble, pool):
    train, _ = ensemble.split(0.7, seed=0)
    scale = spread(train)
    errors = model_errors(ensemble)
    table = find_tolerances(train, errors, rule="sample", scale=scale, executor=pool)
    np.testing.assert_array_equal(table["simulation"], train.samples.simulation)
    own = (table["error"] / scale).mean("field")
    wanted = broadcast_to_ensemble(errors, train, "error") / scale
    assert (own <= wanted.mean(axis=1) * (1 + 1e-12)).all()
    shared = np.log2(table["tolerance"] / 2 ** np.floor(np.log2(scale)))
    lossy = shared.where(table["tolerance"] > 0)
    assert (lossy.max("field") == lossy.min("field")).all()


def test_fixed_tolerances_are_in_units_of_the_scale(ensemble, pool):
    one, scale = ensemble.select([4]), spread(ensemble)
    table = find_tolerances(one, 0.1, rule="fixed", scale=scale, executor=pool)
    assert (table["tolerance"] == 2 ** np.floor(np.log2(0.1 * scale))).all()
    assert (table["max_error"] <= table["tolerance"]).all() and (table["n_encodes"] == 1).all()
    per_field = xr.DataArray([0.1, 0, 0, 0, 0, 0.5], {"field": list(one.field_names)})
    table = find_tolerances(one, per_field, rule="fixed", scale=scale, executor=pool)
    assert (table["tolerance"][:, 1:5] == 0).all() and (table["tolerance"][:, [0, 5]] > 0).all()


@pytest.mark.parametrize(
    "arguments",
    [{"rule": "sample"}, {"rule": "fixed"}, {"scale": [1] * 6}, {"rule": "block"}],
)
def test_rule_and_scale_go_together(ensemble, arguments):
    with pytest.raises(ValueError, match="rule"):
        find_tolerances(ensemble, model_errors(ensemble), **arguments)


def test_a_scale_is_one_per_field(ensemble):
    with pytest.raises(ValueError, match="each of 6 fields"):
        find_tolerances(ensemble, 0.1, rule="sample", scale=[1.0] * 5)


def test_simulations_of_different_lengths_and_layouts_without_files(ragged, pool):
    errors = xr.DataArray([0.01, 0.1], {"field": ["u", "p"]})
    table = find_tolerances(ragged, errors, executor=pool)
    assert table["simulation"].values.tolist() == [7, 7, 3, 3, 3]
    assert table["step"].values.tolist() == [0, 1, 0, 1, 2]
    for sample in range(5):
        for i, error in enumerate((0.01, 0.1)):
            alone = find_tolerance(ragged.read(sample)[i], error)
            assert table["tolerance"][sample, i] == alone.tolerance


def test_values_come_in_the_ensembles_order_from_whatever_they_lie_over(ragged):
    whole = np.arange(10.0).reshape(5, 2)

    def broadcast(values):
        return broadcast_to_ensemble(values, ragged, "value")

    table = labelled(ragged, whole)
    np.testing.assert_array_equal(broadcast(table), whole)
    np.testing.assert_array_equal(broadcast(table[::-1, ::-1]), whole)
    np.testing.assert_array_equal(broadcast(table.T), whole)
    np.testing.assert_array_equal(broadcast(table.isel(field=1, drop=True)), whole[:, [1, 1]])
    np.testing.assert_array_equal(broadcast(2), np.full((5, 2), 2.0))
    per_field = xr.DataArray([1.0, 2.0, 3.0], {"field": ["other", "p", "u"]})
    np.testing.assert_array_equal(broadcast(per_field), [[3, 2]] * 5)
    per_simulation = xr.DataArray([1.0, 2.0], {"simulation": [3, 7]})
    np.testing.assert_array_equal(broadcast(per_simulation)[:, 0], [2, 2, 1, 1, 1])
    part = ragged.select([3])
    np.testing.assert_array_equal(broadcast_to_ensemble(table, part, "value"), whole[2:])


@pytest.mark.parametrize(
    "spoil, error, message",
    [
        (lambda e: e[e["simulation"] != 1], KeyError, "none for simulation 1, step 0"),
        (lambda e: e.isel(field=[1, 2]), KeyError, "none for field 'density'"),
        (lambda e: e[e["step"] >= 3], KeyError, "none for simulation 0, step 0"),
        (lambda e: e.drop_vars("field"), ValueError, "labelled"),
        (lambda e: e.drop_vars("step"), ValueError, "labelled"),
        (lambda e: e.expand_dims(seed=[1]), ValueError, "seed"),
        (lambda e: -e, ValueError, "simulation 0, step 0, field density"),
        (lambda e: e.where(e["field"] != "energy"), ValueError, "not nan .*field energy"),
        (lambda e: e.where(e["field"] != "energy", np.inf), ValueError, "not inf .*field energy"),
    ],
)
def test_model_errors_must_fit_the_ensemble(ensemble, spoil, error, message):
    with pytest.raises(error, match=message):
        find_tolerances(ensemble, spoil(model_errors(ensemble)))


def test_nan_in_a_file_is_named(ensemble, pool, tmp_path):
    shutil.copytree(ensemble.path, tmp_path / "copy")
    copy = open_native(tmp_path / "copy").select([3])
    with h5py.File(copy.file(3), "r+") as file:
        file["energy"][17, 5, 1] = np.nan
    with pytest.raises(ValueError, match=r"00003.h5: simulation 3, time 17, field energy"):
        find_tolerances(copy, model_errors(ensemble), executor=pool)


def test_nan_without_a_file_is_named(ragged, pool):
    ragged.arrays[3][1, 1, 5] = np.inf
    with pytest.raises(ValueError, match="ragged: simulation 3, time 1, field p"):
        find_tolerances(ragged, 0.1, executor=pool)


# ---------------------------------------------------------------------------- tables of pandas


def frame_of(ensemble, errors, *places):
    """The same errors as a table, one row per sample, in another order."""
    table = {name: errors[name].values for name in places}
    table |= dict(zip(ensemble.field_names, errors.values.T, strict=True))
    return pd.DataFrame(table).sample(frac=1, random_state=0)


@pytest.mark.parametrize("places", [("simulation", "step"), ("simulation", "time")])
@pytest.mark.parametrize("indexed", [False, True])
def test_a_table_by_step_or_time_is_the_same(ensemble, places, indexed):
    errors = model_errors(ensemble)
    frame = frame_of(ensemble, errors, *places)
    if "time" in places:
        frame["time"] = frame["time"].round(4)  # as somebody printed it
    frame = frame.set_index(list(places)) if indexed else frame
    found = broadcast_to_ensemble(frame, ensemble, "error")
    np.testing.assert_array_equal(found, errors.values)
    part = ensemble.select(ensemble.simulations[2:4])
    positions = np.isin(errors["simulation"], part.simulations)
    np.testing.assert_array_equal(
        broadcast_to_ensemble(frame, part, "error"), errors.values[positions]
    )


def test_a_search_takes_a_table(ensemble, pool):
    part = ensemble.select([0])
    errors = model_errors(part)
    frame = frame_of(part, errors, "simulation", "step")
    ours, theirs = (find_tolerances(part, e, executor=pool) for e in (errors, frame))
    xr.testing.assert_equal(ours, theirs)


def test_series_by_any_of_their_names(ensemble):
    names, samples = list(ensemble.field_names), ensemble.samples
    of_field = pd.Series(range(1, 7), index=names)
    found = broadcast_to_ensemble(of_field, ensemble, "error")
    assert (found == [1, 2, 3, 4, 5, 6]).all()
    of_simulation = pd.Series({s: 0.5 + s for s in ensemble.simulations}, name="error")
    found = broadcast_to_ensemble(of_simulation.rename_axis("simulation"), ensemble, "error")
    assert (found == (0.5 + samples.simulation)[:, None]).all()
    errors = model_errors(ensemble)
    frame = frame_of(ensemble, errors, "simulation", "step").set_index(["simulation", "step"])
    long = frame.rename_axis(columns="field").stack()
    np.testing.assert_array_equal(broadcast_to_ensemble(long, ensemble, "error"), errors.values)


def test_other_numbers_of_times_and_other_simulations(ragged):
    errors = labelled(ragged, np.arange(1.0, 1 + np.prod(ragged.shape[:2])).reshape(-1, 2))
    frame = frame_of(ragged, errors, "simulation", "time")
    more = pd.concat([frame, frame.assign(simulation=999)])
    np.testing.assert_array_equal(broadcast_to_ensemble(more, ragged, "e"), errors.values)


@pytest.mark.parametrize(
    ("change", "kind", "match"),
    [
        (lambda f: f.rename(columns={"energy": "enrgy"}), ValueError, "no field 'enrgy'; it has"),
        (lambda f: f.drop(columns="energy"), KeyError, "e.csv: none for field 'energy'"),
        (lambda f: f.drop(columns="simulation"), ValueError, "a column simulation is needed"),
        (lambda f: pd.concat([f, f[:1]]), ValueError, r"simulation \d, step \d+ appears twice"),
        (lambda f: f[f["simulation"] != 3], KeyError, "none for simulation 3, step 0"),
        (lambda f: f[f["time"] > 1], KeyError, "none for simulation 0, step 0"),
        (lambda f: f.assign(time=f["time"] + 0.07), ValueError, "no sample at time .*nearest is"),
        (lambda f: f.assign(energy="much"), ValueError, r"'much' is no number \(row 0, column e"),
        (lambda f: f.assign(energy=np.nan), ValueError, "nan is no number"),
        (lambda f: f.assign(energy=-1.0), ValueError, "a finite number ≥ 0 is needed, not -1"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(ensemble, change, kind, match):
    frame = frame_of(ensemble, model_errors(ensemble), "simulation", "time")
    with pytest.raises(kind, match=match):
        broadcast_to_ensemble(change(frame), ensemble, "e.csv")
