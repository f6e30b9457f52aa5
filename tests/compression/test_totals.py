"""Totals that stay exact: against sums by hand, through `read`, the loader and h5py alone."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import h5py
import numpy as np
import pytest
import xarray as xr

from surrlab import compression
from surrlab.cli import main
from surrlab.compression import BitRound, Sperr, Sz3, Version, Zfp, _views
from surrlab.compression._totals import EXACT, Totals
from surrlab.data.ensemble import InMemoryEnsemble
from surrlab.data.native import open_native
from surrlab.evaluation import quantities
from surrlab.evaluation.quantities import Quantity, register_quantity
from surrlab.loading import SampleLoader

MASS = ("mass", "momentum_x", "momentum_y")


@pytest.fixture(scope="module")
def some(ensemble):
    return ensemble.select([1, 4])


@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture(scope="module")
def errors(some):
    samples = np.concatenate([some.read_simulation(s) for s in some.simulations])
    return xr.DataArray(0.1 * samples.std(axis=(0, 2, 3)), {"field": list(some.field_names)})


@pytest.fixture(scope="module", params=[Zfp, Sz3, Sperr, BitRound], ids=lambda codec: codec.name)
def both(request, some, errors, pool, tmp_path_factory):
    """Without and with totals."""
    path = tmp_path_factory.mktemp(request.param.name)
    search = partial(compression.search_and_compress, some, errors, codec=request.param)
    return search(path / "plain", executor=pool), search(path / "kept", keep=MASS, executor=pool)


def sums(samples):  # (T, 6, ny, nx) -> sums over cells of density and momenta, and of their sizes
    density, vx, vy = samples[:, :3].astype(float).swapaxes(0, 1)
    each = np.stack([density, density * vx, density * vy])
    return each.sum((-2, -1)), abs(each).sum((-2, -1))


def test_mass_and_momenta_are_those_of_the_truth(some, both):
    plain, kept = both
    for simulation in some.simulations:
        truth, size = sums(some.read_simulation(simulation))
        off, exact = (abs(sums(e.read_simulation(simulation))[0] - truth) for e in both)
        assert (exact <= EXACT * size).all()
        # A test that can fail; a symmetric codec keeps the x-momentum of a symmetric flow.
        assert (off > 100 * EXACT * size)[[0, 2]].any(axis=1).all()
    assert open_native(kept.path).metadata["request"]["keep"] == list(MASS)
    assert kept.digest != plain.digest


def test_no_bound_is_given_up_for_it(some, both, errors):
    table = compression.table(both[1])
    bound = table["tolerance"] + abs(table["offset"])
    assert (table["max_error"] <= bound).all() and (table["error"] <= errors).all()
    moved = (table["offset"] != 0).any("sample").values
    assert moved[[0, 2]].all() and not moved[3:].any()
    for simulation in some.simulations:
        back, truth = (e.read_simulation(simulation).astype(float) for e in (both[1], some))
        at = table.isel(sample=table["simulation"].values == simulation)
        np.testing.assert_array_equal(abs(back - truth).max((2, 3)), at["max_error"])
        np.testing.assert_allclose(abs(back - truth).mean((2, 3)), at["error"], rtol=1e-12)
        raw = back - at["offset"].values[:, :, None, None]  # what the streams hold
        assert (abs(at["offset"]) <= 1.001 * abs(raw - truth).mean((2, 3)) + 1e-9).all()
    assert "offset" not in compression.table(both[0])


def test_it_costs_little(both):
    plain, kept = both
    streams = [int(compression.table(e)["nbytes"].sum()) for e in both]
    assert streams[1] < 1.02 * streams[0]
    values = 3 * 51 * 4 * len(kept.simulations)
    spent = kept.file_nbytes - plain.file_nbytes - (streams[1] - streams[0])
    assert spent < values + 2048 * len(kept.simulations)  # HDF5 takes room by 2 kB


def test_the_loader_adds_the_same(both):
    kept = both[1]
    with SampleLoader(kept, 7, seed=0, shuffle=False) as loader:
        assert loader.reads_in_place
        batches = np.concatenate([batch for _, batch in loader])
    each = [kept.read(i) for i in range(len(kept.samples))]
    np.testing.assert_array_equal(batches, each)
    with SampleLoader(kept, 7, seed=0, shuffle=False) as again:  # the index comes from its cache
        np.testing.assert_array_equal(np.concatenate([batch for _, batch in again]), each)


def test_the_file_says_what_is_to_be_added(both):
    kept = both[1]
    with h5py.File(kept.file(4)) as file:
        for i, name in ((0, "density"), (2, "velocity_y")):
            offset = file[file[name].attrs["offset_variable"]]
            assert offset.name == f"/{name}_offset" and offset.dtype == np.float32
            assert offset.attrs["units"] == file[name].attrs["units"]
            assert offset.dims[0][0] == file["time"]
            by_hand = file[name][:] + offset[:][:, None, None]
            np.testing.assert_array_equal(by_hand, kept.read_simulation(4)[:, i])
        assert "offset_variable" not in file["pressure"].attrs


def test_a_version_that_keeps_is_another_version():
    plain, kept = Version("zfp", "field", 1.0), Version("zfp", "field", 1.0, MASS)
    assert kept != plain and kept.folder != plain.folder and kept.name != plain.name
    assert Version.from_config(kept.config()) == kept and "keep" not in plain.config()
    assert kept.label(20) == "20.0× (tolerance ×1, totals kept)"
    for keep in ("mass", ("mass", "mass"), ("a/b",), ("",)):
        with pytest.raises(ValueError, match="total"):
            Version("zfp", "field", 1.0, keep)
    with pytest.raises(ValueError, match="raw data"):
        Version("raw", "", 0.0, MASS)


def test_the_order_of_names_does_not_matter(some, errors, pool, tmp_path):
    """The mass's offset changes the momenta: they are corrected again."""
    one = some.select([1])
    kept = compression.search_and_compress(
        one, errors, tmp_path / "x", keep=MASS[::-1], executor=pool
    )
    truth, size = sums(one.read_simulation(1))
    assert (abs(sums(kept.read_simulation(1))[0] - truth) <= EXACT * size).all()


def test_tolerances_that_are_given_and_float64(some, pool, tmp_path):
    one = some.select([1])
    wide = InMemoryEnsemble.like(one, [one.read_simulation(1).astype(float) + np.pi], "wide")
    kept = compression.compress(wide, 0.05, tmp_path / "x", keep=MASS, codec=Sz3, executor=pool)
    truth, size = sums(wide.read_simulation(1))
    assert kept.dtype == "float64"
    assert (abs(sums(kept.read_simulation(1))[0] - truth) <= EXACT * size).all()
    table = compression.table(kept)
    assert (table["max_error"] <= 0.05 + abs(table["offset"])).all()
    with SampleLoader(kept, 51, seed=0, shuffle=False) as loader:
        ((_, batch),) = loader
    np.testing.assert_array_equal(batch, kept.read_simulation(1).astype(np.float32))


def test_lossless_fields_need_none(some, pool, tmp_path):
    one = some.select([1])
    kept = compression.compress(one, 0, tmp_path / "x", keep=MASS, executor=pool)
    assert not compression.table(kept)["offset"].any()
    with h5py.File(kept.file(1)) as file:
        assert "density_offset" not in file


def test_a_sample_whose_offset_would_break_a_bound_goes_finer(some, pool, tmp_path):
    """A velocity that is kept exactly has no error that an offset could stay within."""
    one = some.select([1])
    bounds = xr.DataArray(0.1 * (np.arange(6) != 2), {"field": list(one.field_names)})
    kept = compression.compress(one, bounds, tmp_path / "x", keep=("momentum_y",), executor=pool)
    truth, size = sums(one.read_simulation(1))
    back = sums(kept.read_simulation(1))[0]
    assert (abs(back - truth)[2] <= EXACT * size[2]).all()
    table = compression.table(kept)
    assert not table["offset"].any() and not table["error"].sel(field="velocity_y").any()
    assert (table["tolerance"].sel(field="density") < 0.05).any()  # finer than the 1/16 asked for


def heat(fields, parameters, constants, grid):
    return (fields["energy"] * fields["density"]).sum((-2, -1)) * grid.cell_volume


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr(quantities, "_QUANTITIES", dict(quantities._QUANTITIES))


def test_a_quantity_of_ones_own(some, errors, pool, tmp_path, registry):
    register_quantity(Quantity("heat", "heat", "J", heat, linear_in="energy"))
    keep = ("mass", "heat", "integral_pressure")
    one = some.select([1])
    kept = compression.search_and_compress(one, errors, tmp_path / "x", keep=keep, executor=pool)
    back, truth = (e.read_simulation(1).astype(float) for e in (kept, one))
    for values, exact in (
        (back[:, 4] * back[:, 0], truth[:, 4] * truth[:, 0]),
        (back[:, 3], truth[:, 3]),
        (back[:, 0], truth[:, 0]),
    ):
        lacking = abs((values - exact).sum((1, 2)))
        assert (lacking <= 2 * EXACT * abs(exact).sum((1, 2))).all()


@pytest.mark.parametrize(
    ("keep", "error", "message"),
    [
        (("weight",), KeyError, "names the quantity 'weight', which nobody registered"),
        (("thickness",), ValueError, "'thickness' cannot be kept: .* linear in a field"),
        (("mass", "integral_density"), ValueError, "'mass' and 'integral_density' cannot both"),
        (("copper_mass",), KeyError, "air_density"),
    ],
)
def test_what_cannot_be_kept_is_refused_before_anything_is_written(
    some, tmp_path, keep, error, message
):
    with pytest.raises(error, match=message):
        compression.compress(some, 0.1, tmp_path / "x", keep=keep)
    assert not (tmp_path / "x").exists()


def test_a_field_with_the_name_of_an_offset_is_refused(some, tmp_path):
    pressure = some.index("pressure")
    renamed = list(some.fields)
    renamed[pressure] = replace(renamed[pressure], name="density_offset")
    with pytest.raises(ValueError, match="offsets are stored as 'density_offset'"):
        Totals.of(replace(some, fields=tuple(renamed)), ["integral_density"])


def test_a_quantity_that_is_not_linear_is_found_out(some, pool, tmp_path, registry):
    """What it says of itself is not believed: samples go finer until the total holds."""

    def square(fields, parameters, constants, grid):
        return (fields["energy"] ** 3).sum((-2, -1))

    register_quantity(Quantity("square", "square", "1", square, linear_in="energy"))
    one = some.select([1])
    kept = compression.compress(one, 0.1, tmp_path / "x", keep=("square",), executor=pool)
    back, truth = (e.read_simulation(1)[:, 4].astype(float) for e in (kept, one))
    scale = EXACT * truth[0].size * abs(truth).mean((1, 2))
    assert (abs((back**3 - truth**3).sum((1, 2))) <= scale).all()


def test_a_total_that_is_no_number_is_refused(some, pool, tmp_path, registry):
    def ratio(fields, parameters, constants, grid):
        return fields["energy"].sum((-2, -1)) * np.float64("nan")

    register_quantity(Quantity("ratio", "ratio", "1", ratio, linear_in="energy"))
    with pytest.raises(ValueError, match="ratio cannot be kept: one is not a number"):
        compression.compress(some.select([1]), 0.1, tmp_path / "x", keep=("ratio",), executor=pool)


def test_damaged_offsets_are_named(both, tmp_path):
    kept = both[1]
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in kept.path.iterdir():
        if file.is_file():
            (copy / file.name).write_bytes(file.read_bytes())
    with h5py.File(copy / kept.file(4).name, "r+", libver=("v110", "v110")) as file:
        file["density_offset"][3] = np.nan
    damaged = replace(kept, path=copy, name=str(copy))
    with pytest.raises(OSError, match=r"density_offset is .* not 51 finite float32"):
        damaged.read_simulation(4)
    with pytest.raises(OSError, match="density_offset"):
        SampleLoader(damaged, 7, seed=0)


def test_an_export_says_what_it_lacks(both, tmp_path, capsys):
    kept = both[1]
    made = _views.export(kept, tmp_path / "out")
    assert made.without == MASS and _views.export(both[0], tmp_path / "plain").without == ()
    with h5py.File(tmp_path / "out" / "simulation_000004.h5") as file:
        said = file["fields"].attrs["comment"]
        assert said.startswith("to be added: density_offset, ") and "pressure" not in said
    assert main(["export", str(kept.path), str(tmp_path / "again"), "--as", "professor"]) == 0
    assert "Not kept: mass, momentum_x, momentum_y. <field>_offset" in capsys.readouterr().out
