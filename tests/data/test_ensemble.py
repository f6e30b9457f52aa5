"""What every layout inherits, on ensembles that are arrays."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from surrlab.data.ensemble import Ensemble, InMemoryEnsemble
from surrlab.data.fields import Axis, Field, Grid, Run

GRID = Grid.uniform({"y": (2, 0.0, 1.0), "x": (3, 0.0, 1.0)}, unit="m")


def invented(lengths=(3, 1, 4), *, parameters=2, dtype="float32", **changes):
    """Simulations 7, 6, 5 … with different numbers of times."""
    rng, names = np.random.default_rng(0), [f"p{i}" for i in range(parameters)]
    runs = tuple(
        Run(
            7 - i,
            tuple(rng.uniform(size=parameters).tolist()),
            tuple((np.arange(n) + i / 4).tolist()),
        )
        for i, n in enumerate(lengths)
    )
    attributes = {
        "name": "invented",
        "fields": (Field("u", "m/s"), Field("rho", "kg/m³", "density")),
        "grid": GRID,
        "input_names": (*names, "time"),
        "input_units": ("1",) * parameters + ("h",),
        "runs": runs,
        "dtype": dtype,
        "metadata": {},
        "arrays": {
            run.simulation: rng.normal(size=(len(run.times), 2, 2, 3)).astype(dtype) for run in runs
        },
    }
    return InMemoryEnsemble(**attributes | changes)


def test_samples_count_through_simulations_of_different_lengths():
    ensemble = invented()
    assert ensemble.simulations == (7, 6, 5) and len(ensemble.samples) == 8
    assert ensemble.samples.simulation.tolist() == [7, 7, 7, 6, 5, 5, 5, 5]
    assert ensemble.samples.step.tolist() == [0, 1, 2, 0, 0, 1, 2, 3]
    assert ensemble.samples.time.tolist() == [0, 1, 2, 0.25, 0.5, 1.5, 2.5, 3.5]
    dtypes = [a.dtype for a in vars(ensemble.samples).values()]
    assert dtypes == [np.int64, np.int64, np.float64]
    assert [list(ensemble.of(s)) for s in (7, 6, 5)] == [[0, 1, 2], [3], [4, 5, 6, 7]]
    assert ensemble.position(5, 2) == 6 and ensemble.where(6) == (ensemble.run(5), 2)
    assert ensemble.shape == (8, 2, 2, 3) and ensemble.sample_shape == (2, 2, 3)
    assert ensemble.raw_nbytes == 8 * 12 * 4 and ensemble.file_nbytes is None
    assert repr(ensemble) == (
        "<InMemoryEnsemble invented: 3 simulations of an unnamed benchmark, 8 samples, 2 fields "
        "on 2 x 3>"
    )


def test_inputs_are_the_parameters_and_then_time():
    ensemble = invented()
    assert ensemble.inputs.shape == (8, 3) and ensemble.inputs.dtype == np.float32
    assert ensemble.parameters.shape == (3, 2) and ensemble.parameters.dtype == np.float64
    for sample, row in enumerate(ensemble.inputs):
        run, step = ensemble.where(sample)
        np.testing.assert_array_equal(row, np.float32([*run.parameters, run.times[step]]))


def test_without_parameters_time_is_the_only_input():
    ensemble = invented(parameters=0)
    assert ensemble.parameters.shape == (3, 0) and ensemble.inputs.shape == (8, 1)
    np.testing.assert_array_equal(ensemble.inputs[:, 0], ensemble.samples.time)
    assert ensemble.input_names == ("time",) and ensemble.time_unit == "h"
    train, test = ensemble.split(0.34, seed=0)
    assert train.inputs.shape[1] == test.inputs.shape[1] == 1


def test_an_ensemble_of_one_sample():
    ensemble = invented((1,))
    assert ensemble.shape[0] == 1 and ensemble.read_simulation(7).shape == (1, 2, 2, 3)


def test_samples_are_read_one_by_one_or_by_simulation():
    ensemble = invented()
    for simulation in ensemble.simulations:
        whole = np.stack([ensemble.read(sample) for sample in ensemble.of(simulation)])
        np.testing.assert_array_equal(whole, ensemble.read_simulation(simulation))
        np.testing.assert_array_equal(Ensemble.read_simulation(ensemble, simulation), whole)


def test_a_view_counts_from_0_in_the_order_asked_for():
    ensemble = invented()
    view = ensemble.select([5, 7])
    assert view.simulations == (5, 7) and view.samples.simulation.tolist() == [5] * 4 + [7] * 3
    np.testing.assert_array_equal(view.read(5), ensemble.read(1))
    np.testing.assert_array_equal(view.inputs[4:], ensemble.inputs[:3])
    np.testing.assert_array_equal(view.parameters, ensemble.parameters[[2, 0]])
    again = view.select(np.array([7]))
    assert again.simulations == (7,) and type(again.simulations[0]) is int
    assert ensemble.simulations == (7, 6, 5)


def test_what_a_view_lacks_is_named():
    ensemble = invented()
    view = ensemble.select([7])
    for ask in (view.run, view.of, view.read_simulation, lambda s: view.select([s])):
        with pytest.raises(KeyError, match="no simulation 6 here; it has 1, from 7 to 7"):
            ask(6)
    with pytest.raises(KeyError, match="no simulation 6 here; it has 0"):
        view.select([]).run(6)
    for sample in (-1, 3):
        with pytest.raises(IndexError, match=f"no sample {sample}; it has 3"):
            view.read(sample)
    for step in (-1, 3):
        with pytest.raises(IndexError, match=f"no time step {step}; it has 3, from 0"):
            view.position(7, step)
    with pytest.raises(KeyError, match="no field 'temperature'; it has u, rho"):
        view.index("temperature")
    assert [view.index(name) for name in view.field_names] == [0, 1]
    with pytest.raises(ValueError, match="selected twice"):
        ensemble.select([5, 7, 5])
    with pytest.raises(ValueError, match="invented: samples are read through a library"):
        ensemble.chunks(Path("x"))
    assert ensemble.files == () and ensemble.failed == {}


def test_coordinates_of_a_table():
    import xarray as xr

    ensemble = invented()
    values = np.arange(16.0).reshape(8, 2)
    table = xr.Dataset({"v": (("sample", "field"), values)}, ensemble.coords)
    assert table["time"].attrs == {"units": "h"} and table["time"].dims == ("sample",)
    assert table["unit"].values.tolist() == ["m/s", "kg/m³"]
    assert table["label"].values.tolist() == ["u", "density"]
    one = table.isel(sample=table["simulation"].values == 5)
    np.testing.assert_array_equal(one["v"], values[4:])
    assert one["step"].values.tolist() == [0, 1, 2, 3]


def test_split_is_by_whole_simulations_of_any_length():
    ensemble = invented((3, 1, 4, 2, 2, 6))
    train, test = ensemble.split(0.34, seed=5)
    assert len(test.simulations) == 2
    assert sorted(train.simulations + test.simulations) == sorted(ensemble.simulations)
    assert len(train.samples) + len(test.samples) == 18
    for side in (train, test):
        assert side.simulations == tuple(sorted(side.simulations))
        for s in side.simulations:
            np.testing.assert_array_equal(side.read_simulation(s), ensemble.read_simulation(s))
    with pytest.raises(ValueError, match="leaves 6 of 6"):
        ensemble.split(1.0, seed=0)


def test_the_digest_is_of_what_a_model_sees():
    ensemble = invented()
    run, arrays = ensemble.runs[0], ensemble.arrays
    later = Run(run.simulation, run.parameters, tuple(t + 1 for t in run.times))
    other = Run(run.simulation, (0.5, 0.25), run.times)
    changed = {
        "parameters": invented(runs=(other, *ensemble.runs[1:])),
        "times": invented(runs=(later, *ensemble.runs[1:])),
        "field's name": invented(fields=(Field("v", "m/s"), ensemble.fields[1])),
        "field's unit": invented(fields=(Field("u", "km/s"), ensemble.fields[1])),
        "input's name": invented(input_names=("p0", "q", "time")),
        "unit of time": invented(input_units=("1", "1", "s")),
        "grid": invented(grid=Grid.uniform({"y": (2, 0, 1), "x": (3, 0, 2)}, unit="m")),
        "unit of the grid": invented(grid=Grid.uniform({"y": (2, 0, 1), "x": (3, 0, 1)}, "cm")),
        "contents": invented(arrays=arrays | {6: arrays[6] + 1}),
        "view": ensemble.select([7, 5]),
        "order": ensemble.select([5, 6, 7]),
    }
    digests = {what: one.digest for what, one in changed.items()} | {"same": ensemble.digest}
    assert len(set(digests.values())) == len(digests), digests
    same = invented(name="elsewhere", metadata={"request": {"seed": 3}})
    assert same.digest == ensemble.digest == invented().digest
    assert ensemble.select([7, 6, 5]).digest == ensemble.digest


def test_twenty_thousand_simulations():
    n, times = 20_000, tuple(range(10))
    runs = tuple(Run(s, (float(s),), times) for s in range(n))
    values = np.zeros((10, 2, 2, 3), np.float32)
    ensemble = invented(
        runs=runs, arrays=dict.fromkeys(range(n), values), input_names=("p", "time"),
        input_units=("1", "s"),
    )  # fmt: skip
    views = [ensemble.select([s]) for s in ensemble.simulations]
    assert [views[-1].samples.simulation[0], len(views[-1].samples)] == [n - 1, 10]
    _ = ensemble.inputs, views[7].inputs  # cached, but not sent
    sent = pickle.dumps(views[7])
    assert len(sent) < 10_000
    assert pickle.loads(sent).digest == views[7].digest


def test_a_pickled_ensemble_is_the_same():
    ensemble = invented(parameters=0, dtype="float64")
    again = pickle.loads(pickle.dumps(ensemble))
    assert again.digest == ensemble.digest and again.coords.keys() == ensemble.coords.keys()
    np.testing.assert_array_equal(again.read(5), ensemble.read(5))


def test_the_cache_lies_outside(ensemble, tmp_path, monkeypatch):
    folder = ensemble.cache_folder
    assert folder.is_dir() and folder == ensemble.select([1]).cache_folder
    assert not folder.is_relative_to(ensemble.path) and not ensemble.path.is_relative_to(folder)
    monkeypatch.chdir(tmp_path)
    assert invented().cache_folder != folder
    assert not list(tmp_path.iterdir())
    # Nor where the user's cache cannot be written.
    (tmp_path / "file").touch()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    assert ensemble.cache_folder.is_relative_to(tmp_path / "tmp")
    assert ensemble.cache_folder.is_dir()


@pytest.mark.parametrize("shape", [(5,), (4, 3), (2, 4, 3)])
def test_an_array_is_an_ensemble_of_one_sample(shape):
    values = np.random.default_rng(0).normal(size=shape)
    ensemble = InMemoryEnsemble.of_field(values, Field("t", "K"), name="a field")
    assert ensemble.shape == (1, 1, *shape) and ensemble.dtype == "float64"
    assert ensemble.grid.names == ("z", "y", "x")[-len(shape) :]
    assert ensemble.grid.is_uniform and ensemble.grid.cell_volume == 1
    np.testing.assert_array_equal(ensemble.read(0)[0], values)
    assert ensemble.inputs.tolist() == [[0.0]] and ensemble.name == "a field"


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        *(("f4", "float32"), ("f8", "float64"), (">f4", "float32"), (">f8", "float64")),
        *(("i2", "float32"), ("?", "float32")),
    ],
)
def test_an_array_is_read_in_native_floats(dtype, expected):
    values = np.array([[0, 1], [1, 0]], dtype)
    sample = InMemoryEnsemble.of_field(values, Field("t")).read(0)
    assert sample.dtype == np.dtype(expected) and sample.dtype.isnative
    np.testing.assert_array_equal(sample[0], values)


def test_arrays_that_are_no_fields_are_refused():
    for shape in ((), (2, 2, 2, 2), (0, 3)):
        with pytest.raises(ValueError, match="one to three axes"):
            InMemoryEnsemble.of_field(np.zeros(shape), Field("t"))
    for values in (np.zeros((2, 2), complex), np.array([["a"]])):
        with pytest.raises(TypeError, match="holds real numbers"):
            InMemoryEnsemble.of_field(values, Field("t"))


def test_predictions_are_an_ensemble_of_the_same_simulations():
    truth = invented().select([5, 6])
    arrays = [truth.read_simulation(s).astype(float) + 1 for s in truth.simulations]
    made = InMemoryEnsemble.like(truth, arrays, "predictions")
    assert made.dtype == "float64" and made.runs == truth.runs and made.grid == truth.grid
    np.testing.assert_array_equal(made.read_simulation(6), arrays[1])
    np.testing.assert_array_equal(made.select([6]).read(0), made.read(4))
    assert made.digest != truth.digest and made.fields == truth.fields
    with pytest.raises(ValueError, match=r"simulation 6 is float64 \(1, 2, 1, 1\), not float64"):
        InMemoryEnsemble.like(truth, [arrays[0], arrays[1][..., :1, :1]], "p")
    with pytest.raises(ValueError, match="simulation 6 is float32"):
        InMemoryEnsemble.like(truth, [arrays[0], arrays[1].astype("f4")], "p")
    with pytest.raises(ValueError, match="zip"):
        InMemoryEnsemble.like(truth, arrays[:1], "p")


def test_a_decreasing_axis_is_kept_as_stored():
    grid = Grid((Axis("y", "m", (3.0, 1.0)), GRID.x))
    ensemble = invented(grid=grid)
    np.testing.assert_array_equal(ensemble.to_xarray()["y"], [3.0, 1.0])
