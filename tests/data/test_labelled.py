import pickle

import numpy as np
import pytest
from ragged import GRIDS

from surrlab.data.ensemble import InMemoryEnsemble
from surrlab.data.native import NativeEnsemble


def test_xarray_is_lazy_and_labelled(ensemble, monkeypatch):
    read, asked = NativeEnsemble.read, []
    monkeypatch.setattr(NativeEnsemble, "read", lambda e, s: asked.append(s) or read(e, s))
    dataset = ensemble.to_xarray()
    assert dataset["density"].sizes == {"sample": 6 * 51, "y": 24, "x": 8}
    assert dataset["velocity_y"].attrs == {"units": "cm/s", "long_name": "velocity y"}
    assert dataset["y"].attrs == {"units": "cm"} and dataset["time"].attrs == {"units": "s"}
    simulation = dataset.isel(sample=dataset["simulation"].values == 5)["pressure"]
    sample = simulation.isel(sample=int(np.abs(simulation["time"].values - 1.4).argmin()))
    repr(dataset), repr(sample)
    assert asked == []
    expected = ensemble.read_simulation(5)[7, ensemble.index("pressure")]
    np.testing.assert_array_equal(sample, expected)
    assert asked == [5 * 51 + 7]


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_ragged_simulations_over_any_grid(write, ndim):
    made, arrays = write((3, 1, 5), GRIDS[ndim], "float64")
    dataset = made.to_xarray()
    assert dataset["rho"].dims == ("sample", *GRIDS[ndim].names)
    assert dataset["simulation"].values.tolist() == [2] * 3 + [12] + [22] * 5
    assert dataset["step"].values.tolist() == [0, 1, 2, 0, 0, 1, 2, 3, 4]
    for s, values in arrays.items():
        one = dataset.isel(sample=dataset["simulation"].values == s)
        np.testing.assert_array_equal(one["u"], values[:, 0])
        np.testing.assert_array_equal(one["rho"], values[:, 1])
    assert dataset["u"].dtype == np.float64
    for axis in GRIDS[ndim].axes:
        np.testing.assert_array_equal(dataset[axis.name], axis.centres)


KEYS = [
    (3,),
    (-1, slice(None), 2),
    (slice(1, 6, 2), 1, slice(None)),
    (slice(None), slice(None, None, -1), [2, 0]),
    ([4, 4, 0], [1, 3], [2, 0, 1]),
    (slice(0, 0), 1, 1),
    (2, 3, 1),
    (slice(None, None, -2), [0], slice(1)),
]


@pytest.mark.parametrize("key", KEYS)
def test_any_part_is_numpy_s(write, key):
    made, arrays = write()
    whole = np.concatenate([arrays[s][:, 1] for s in made.simulations])
    lazy = made.to_xarray()["rho"][key]
    expected = whole
    for axis in range(len(key) - 1, -1, -1):
        expected = expected[(slice(None),) * axis + (key[axis],)]
    assert lazy.shape == expected.shape
    np.testing.assert_array_equal(lazy, expected)


def test_a_point_by_point_choice(write):
    import xarray as xr

    made, arrays = write()
    whole = np.concatenate([arrays[s][:, 0] for s in made.simulations])
    rows, columns = (xr.DataArray(values, dims="p") for values in ([8, 0, 3], [1, 2, 0]))
    part = made.to_xarray()["u"].isel(sample=rows, x=columns)
    expected = whole[[8, 0, 3], :, [1, 2, 0]]
    np.testing.assert_array_equal(part.transpose("p", "y"), expected)


def test_a_view_of_a_view_and_what_is_in_memory(write):
    made, arrays = write()
    view = made.select([22])
    np.testing.assert_array_equal(view.to_xarray()["u"], arrays[22][:, 0])
    memory = InMemoryEnsemble.like(view, [arrays[22] + 1], "memory")
    np.testing.assert_array_equal(memory.to_xarray()["rho"], arrays[22][:, 1] + 1)


def test_it_goes_to_a_file_to_dask_and_to_another_process(write, tmp_path):
    import xarray as xr

    made, arrays = write()
    dataset = made.to_xarray()
    whole = np.concatenate([arrays[s][:, 0] for s in made.simulations])
    chunked = dataset.chunk(sample=2)
    assert chunked["u"].chunks is not None
    np.testing.assert_allclose(chunked["u"].mean("sample").compute(), whole.mean(0), rtol=1e-5)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(dataset))["u"], whole)
    dataset.to_netcdf(tmp_path / "t.nc", engine="h5netcdf")
    xr.testing.assert_identical(xr.load_dataset(tmp_path / "t.nc", engine="h5netcdf"), dataset)
