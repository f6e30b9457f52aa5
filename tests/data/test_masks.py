"""Constant masks: found, kept once, filled in for codecs, NaN for readers, counted by nobody."""

import json

import h5py
import masked
import numpy as np
import platformdirs
import pytest

from surrlab.data import _masks, native
from surrlab.data.ensemble import InMemoryEnsemble
from surrlab.data.fields import Field, Grid, Run
from surrlab.data.open import open_ensemble


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_: str(folder))


def change(path, name, index, value):
    with h5py.File(path, "r+") as file:
        file[name][index] = value


def test_a_mask_is_found_and_reads_as_nan(tmp_path):
    folder = masked.write(tmp_path / "it")
    for _ in range(2):  # from the files, then remembered
        ensemble = open_ensemble(folder)
        np.testing.assert_array_equal(~ensemble.valid[1], masked.LAND)
        np.testing.assert_array_equal(~ensemble.valid[2], masked.WIND)
        assert ensemble.valid[0].all() and not ensemble.fields[0].mask
        for run in range(masked.RUNS):
            np.testing.assert_array_equal(ensemble.read_simulation(run), masked.masked(run))
        np.testing.assert_array_equal(ensemble.read(7), masked.masked(1)[2])
    ensemble.verify()
    lazy = ensemble.to_xarray()
    assert int(lazy["temperature"][3].isnull().sum()) == masked.LAND.sum()


def test_a_number_of_the_card_may_be_the_mask(tmp_path):
    folder = masked.write(tmp_path / "it")
    for run in range(masked.RUNS):
        with h5py.File(folder / f"run_{run}.nc", "r+") as file:
            del file["wind"].attrs["_FillValue"]
    assert not open_ensemble(folder).fields[2].mask
    told = open_ensemble(folder, card={"mask": {"wind": masked.FILL}})
    np.testing.assert_array_equal(~told.valid[2], masked.WIND)
    assert told.digest != open_ensemble(folder).digest


@pytest.mark.parametrize(
    ("name", "index", "value", "said"),
    [
        ("pressure", (2, 3, 4), np.nan, "field pressure holds 1 values that are NaN"),
        ("temperature", (2, slice(0, 2), 0), np.nan, "temperature holds 2 values that are NaN"),
        ("wind", (2, 0, 0), masked.FILL, r"wind holds 1 values that stand for no value \(-999\)"),
        ("pressure", (2, 0, 0), 9.97e36, "pressure holds 1 values that stand for no value"),
        ("wind", (2, -1, -1), 3.0, r"wind holds 1 values \(3\) in cells that hold none elsewhere"),
    ],
)
def test_what_is_not_constant_is_refused(tmp_path, name, index, value, said):
    """With file, simulation, time, field and number of cells."""
    folder = masked.write(tmp_path / "it")
    change(folder / "run_3.nc", name, index, value)
    ensemble = open_ensemble(folder)
    ensemble.read_simulation(2)
    with pytest.raises(ValueError, match=rf"run_3\.nc: simulation 3, time 0\.5 .*{said}") as error:
        ensemble.read_simulation(3)
    assert "\n" not in str(error.value)


def test_an_accident_is_no_mask(tmp_path):
    """What the last sample has not, what is infinite, a field without values."""
    folder = masked.write(tmp_path / "it")
    change(folder / "run_0.nc", "pressure", (0, 3, 4), np.nan)
    for run in range(masked.RUNS):
        change(folder / f"run_{run}.nc", "wind", (slice(None), 3, 4), np.inf)
        change(folder / f"run_{run}.nc", "temperature", ..., np.nan)
    ensemble = open_ensemble(folder)
    assert ensemble.valid is None
    with pytest.raises(ValueError, match="pressure holds 1 values that are NaN"):
        ensemble.read(0)


def test_surrlabs_own_files_hold_it_once(tmp_path):
    fields = (Field("u", mask=_masks.pack(masked.LAND)), Field("p"))
    grid = Grid.uniform({"y": (masked.NY, 0, 1), "x": (masked.NX, 0, 1)})
    header, run = native.Header(fields, grid, {"time": "s"}), Run(4, (), (0.0, 1.0))
    assert native.Header.from_config(json.loads(json.dumps(header.config()))) == header
    samples = masked.masked(0)[:2, 1::-1]
    native.write_simulation(tmp_path / "one.h5", header, run, samples)
    with h5py.File(tmp_path / "one.h5") as file:
        np.testing.assert_array_equal(file["_masks/u"], masked.LAND)
        np.testing.assert_array_equal(file["u"], samples[:, 0])
        assert list(file["_masks"]) == ["u"]
    with pytest.raises(ValueError, match=r"field p holds 64 values that are NaN"):
        native.write_simulation(tmp_path / "two.h5", header, run, samples[:, [0, 0]])
    with pytest.raises(ValueError, match="cells that hold none elsewhere: its mask is not const"):
        native.write_simulation(tmp_path / "two.h5", header, run, masked.truth(0)[:2, 1::-1])
    hidden = np.ma.array(masked.truth(0)[:2, 1::-1], mask=np.isnan(samples))
    native.write_simulation(tmp_path / "two.h5", header, run, hidden)  # what NumPy masks alike
    assert (tmp_path / "two.h5").read_bytes() == (tmp_path / "one.h5").read_bytes()
    with pytest.raises(ValueError, match="values that are masked"):
        hidden[0, 1, 0, 0] = np.ma.masked
        native.write_simulation(tmp_path / "two.h5", header, run, hidden)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a b", "damaged"),
        (_masks.pack(np.ones((24, 15), bool)), "has 45 bytes, not one bit for each of 384"),
        (_masks.pack(np.ones((24, 16), bool)), "leaves no cell"),
    ],
)
def test_masks_that_are_none_are_refused(text, said):
    grid = Grid.uniform({"y": (24, 0, 1), "x": (16, 0, 1)})
    with pytest.raises(ValueError, match=said):
        native.Header((Field("u", mask=text),), grid, {"time": "s"})


@pytest.mark.parametrize("shape", [(7,), (9, 16), (5, 4, 3), (1, 9)])
def test_filling_in_changes_no_value_and_goes_on_smoothly(shape):
    rng = np.random.default_rng(0)
    valid, samples = rng.random((2, *shape)) > 0.4, rng.normal(size=(3, 2, *shape))
    blank = _masks.blank(samples.copy(), valid)
    assert np.isnan(blank).sum() == 3 * (~valid).sum()
    made = _masks.filled(blank, valid)
    np.testing.assert_array_equal(made[:, valid], samples[:, valid])
    for i in range(2):  # means: never beyond the values
        inside = blank[:, i].reshape(3, -1)
        assert (made[:, i].reshape(3, -1).T <= np.nanmax(inside, axis=1)).all()
        assert (made[:, i].reshape(3, -1).T >= np.nanmin(inside, axis=1)).all()
    assert _masks.filled(samples, None) is samples


def test_the_fill_of_a_half_plane_is_the_mean_of_the_nearest_block():
    valid = np.ones((1, 4, 8), bool)
    valid[0, :, 3:] = False
    values = np.broadcast_to(np.arange(8.0), (1, 4, 8)).copy()
    made = _masks.filled(values, valid)[0, 0]
    np.testing.assert_allclose(made, [0, 1, 2, 2, 1.25, 1.25, 1.25, 1.25])


def test_memory_holds_masks_too():
    fields = (Field("u", mask=_masks.pack(masked.LAND)),)
    one = InMemoryEnsemble.of_field(masked.truth(0)[0, 1], Field("u"))
    one = InMemoryEnsemble(**vars(one) | {"fields": fields})
    np.testing.assert_array_equal(~one.valid[0], masked.LAND)
    assert one.select([0]).fields == fields and one.digest
