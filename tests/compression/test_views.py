"""Professor's and the Well's layout of the same bytes, and folders that their trainers read."""

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import h5py
import hdf5plugin
import numpy as np
import pytest
import xarray as xr
import yaml
from ragged import FIELDS, GRIDS, write_ensemble

from surrlab import cli
from surrlab.compression import compress, search_and_compress
from surrlab.compression._views import export, well_fields
from surrlab.data.fields import Field, Grid
from surrlab.data.native import Header
from surrlab.data.open import open_ensemble

VIEWS = ("professor", "well")


@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture(scope="module")
def viewed(ensemble, pool, tmp_path_factory):
    """Two simulations, each sample and field with a tolerance of its own."""
    some, path = ensemble.select(ensemble.simulations[:2]), tmp_path_factory.mktemp("v") / "small"
    return search_and_compress(some, 0.02, path, executor=pool, views=VIEWS)


@pytest.fixture(scope="module")
def plain(viewed, ensemble, pool, tmp_path_factory):
    """The same without views."""
    some, path = ensemble.select(viewed.simulations), tmp_path_factory.mktemp("p") / "plain"
    return search_and_compress(some, 0.02, path, executor=pool, views=())


def shown(file, names):
    """Samples as the Well's groups of an open file have them, in the order of `names`."""
    found = {}
    for order in range(3):
        for name in file[f"t{order}_fields"].attrs["field_names"]:
            values, attrs = file[f"t{order}_fields/{name}"], file[f"t{order}_fields/{name}"].attrs
            assert attrs["sample_varying"] and attrs["time_varying"] and all(attrs["dim_varying"])
            dims = list(file["dimensions"].attrs["spatial_dims"])
            for place in np.ndindex((len(dims),) * order):
                suffix = "".join(dims[i] for i in place)
                found[f"{name}_{suffix}" if order else name] = values[(0, ..., *place)]
    return np.stack([found[name] for name in names], axis=1)


def test_the_views_hold_the_same_numbers_for_a_few_kilobytes(viewed, plain):
    for s in viewed.simulations:
        with h5py.File(viewed.file(s)) as file:
            np.testing.assert_array_equal(file["fields"], viewed.read_simulation(s))
            np.testing.assert_array_equal(file["inputs"], viewed.inputs[viewed.of(s)])
            assert file["fields"].is_virtual and file["t1_fields/velocity"].is_virtual
            np.testing.assert_array_equal(
                shown(file, viewed.field_names), viewed.read_simulation(s)
            )
            assert file["t1_fields/velocity"].shape == (1, 51, 24, 8, 2)
            assert file.attrs["hdf5_filter"].startswith("32013 (zfp)")
        np.testing.assert_array_equal(viewed.read_simulation(s), plain.read_simulation(s))
        extra = viewed.file(s).stat().st_size - plain.file(s).stat().st_size
        assert 0 < extra < 16_000
    viewed.verify()


def test_professor_s_view_comes_by_itself_where_it_costs_little(tmp_path, pool):
    small, _ = write_ensemble(tmp_path / "small")
    large, _ = write_ensemble(
        tmp_path / "large", grid=Grid.uniform({"y": (160, 0, 1), "x": (160, 0, 1)})
    )
    chosen = set()
    for place, raw in enumerate((small, large)):
        sizes = {}
        for views in ((), ("professor",), None):
            made = compress(raw, 0.0, tmp_path / f"{place} {views}", executor=pool, views=views)
            sizes[views] = [file.stat().st_size for file in made.files]
        for i, file in enumerate(made.files):
            costs_little = sizes["professor",][i] <= 1.01 * sizes[()][i]
            assert sizes[None][i] == sizes["professor",][i] if costs_little else sizes[()][i]
            with h5py.File(file) as opened:
                assert ("fields" in opened) == costs_little and "t0_fields" not in opened
            chosen.add(costs_little)
    assert chosen == {True, False}
    named, _ = write_ensemble(
        tmp_path / "named", fields=(Field("fields"), FIELDS[1]), grid=large.grid
    )
    compress(named, 0.0, tmp_path / "of named", executor=pool).verify()  # the name is taken


def test_our_own_reading_is_as_before(viewed):
    opened = open_ensemble(viewed.path)
    assert opened.digest == viewed.digest and opened.field_names == viewed.field_names
    assert len(list(opened.chunks(opened.files[0]))) == 51 * 6  # in place, not through HDF5


def test_xarray_finds_dimensions_with_names(viewed):
    with xr.open_dataset(viewed.files[0], engine="h5netcdf", decode_times=False) as table:
        assert table["fields"].dims == ("time", "field", "y", "x")
        assert [str(name) for name in table["field"].values] == list(viewed.field_names)


@pytest.mark.parametrize("dimension", GRIDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_grid_and_length(tmp_path, pool, dimension, dtype):
    raw, arrays = write_ensemble(tmp_path / "raw", grid=GRIDS[dimension], dtype=dtype)
    made = compress(raw, 0.0, tmp_path / "small", executor=pool, views=VIEWS)
    for s, array in arrays.items():
        with h5py.File(made.file(s)) as file:
            np.testing.assert_array_equal(file["fields"], array)
            assert file["fields"].dtype == dtype


def test_equal_contents_make_equal_files(viewed, ensemble, pool, tmp_path):
    again = search_and_compress(
        ensemble.select(viewed.simulations), 0.02, tmp_path / "a", executor=pool, views=VIEWS
    )
    assert again.digest == viewed.digest


def test_what_cannot_be_shown_is_refused(tmp_path, pool):
    raw, _ = write_ensemble(tmp_path / "raw", fields=(Field("u"), Field("v")))
    with pytest.raises(ValueError, match="there is no view 'wel'; there are professor, well"):
        compress(raw, 0.0, tmp_path / "small", views=("wel",))
    raw, _ = write_ensemble(tmp_path / "named", fields=(Field("fields"), FIELDS[1]))
    with pytest.raises(ValueError, match="called 'fields', and so is one field of this ensemble"):
        compress(raw, 0.0, tmp_path / "small", views=VIEWS)
    with pytest.raises(ValueError, match="so is one field"):
        export(raw, tmp_path / "out")
    axes = Grid.uniform({"dimensions": (5, 0, 1), "x": (4, 0, 1)})
    raw, _ = write_ensemble(tmp_path / "axes", grid=axes)
    with pytest.raises(ValueError, match="called 'dimensions', and so is one axis"):
        export(raw, tmp_path / "out", "well")
    with pytest.raises(ValueError, match="there is no view 'native'"):
        export(raw, tmp_path / "out", "native")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("axes", "names", "shown"),
    [
        ("yx", "v_x p v_y", "1 v v_y v_x; 0 p p"),
        ("yx", "v_x v_y v", "0 v_x v_x; 0 v_y v_y; 0 v v"),  # the vector's name is taken
        ("yx", "v_x p", "0 v_x v_x; 0 p p"),  # no component along y
        ("x", "v_x p", "1 v v_x; 0 p p"),
        ("yx", "s_yy s_yx s_xy s_xx v_x v_y", "2 s s_yy s_yx s_xy s_xx; 1 v v_y v_x"),
    ],
)
def test_components_become_vectors_and_matrices(axes, names, shown):
    grid = Grid.uniform(dict.fromkeys(axes, (4, 0, 1)))
    header = Header(tuple(map(Field, names.split())), grid, {"time": "s"})
    found = [f"{one.order} {one.name} {' '.join(one.components)}" for one in well_fields(header)]
    assert "; ".join(found) == shown


@pytest.mark.parametrize("layout", VIEWS)
def test_export_links_what_shows_the_view(viewed, tmp_path, capsys, layout):
    before = {file: file.read_bytes() for file in viewed.files}
    out = tmp_path / "out"
    assert cli.main(["export", str(viewed.path), "--as", layout, str(out)]) == 0
    said = capsys.readouterr().out
    assert "2 files linked, 0 written (0.00 MB)" in said and "HDF5_PLUGIN_PATH=" in said
    assert {file: file.read_bytes() for file in viewed.files} == before
    laid = sorted(out.rglob("*.h5"))
    assert [a.samefile(b) for a, b in zip(laid, viewed.files, strict=True)] == [True, True]
    again = open_ensemble(out)
    assert again.metadata["layout"] == layout and len(again.samples) == len(viewed.samples)
    names = list(viewed.field_names)
    order = [names.index(n) for n in again.field_names] if layout == "well" else range(len(names))
    for s, theirs in zip(viewed.simulations, again.simulations, strict=True):
        np.testing.assert_array_equal(
            viewed.read_simulation(s)[:, order], again.read_simulation(theirs)
        )
    np.testing.assert_array_equal(again.inputs, viewed.inputs)
    if layout == "professor":  # in place, through the view and what it shows
        assert len(list(again.chunks(again.files[0]))) == 51 * 6
    assert cli.main(["export", str(viewed.path), "--as", layout, str(out)]) == 1
    assert "is not empty" in capsys.readouterr().err


def test_export_copies_where_nothing_can_be_linked(viewed, tmp_path, monkeypatch):
    def another_disk(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", another_disk)
    made = export(viewed, tmp_path / "out")
    sizes = [file.stat().st_size for file in viewed.files]
    assert made == (0, 2, sum(sizes), ())


def test_export_copies_or_writes_what_does_not(tmp_path, pool):
    raw, arrays = write_ensemble(tmp_path / "raw")
    small = compress(raw, 0.01, tmp_path / "small", executor=pool, views=())
    before = {file: file.read_bytes() for file in (*raw.files, *small.files)}
    for name, one in (("of raw", raw), ("of small", small)):
        made = export(one, tmp_path / name)
        assert (made.linked, made.written) == (0, 3) and made.nbytes > 0
        export(one, tmp_path / f"well {name}", "well")
        for s in arrays:
            with h5py.File(tmp_path / name / f"simulation_{s:06d}.h5") as file:
                np.testing.assert_array_equal(file["fields"], one.read_simulation(s))
            train = tmp_path / f"well {name}" / "data" / "train"
            with h5py.File(train / f"simulation_{s:06d}.h5") as file:
                np.testing.assert_array_equal(shown(file, one.field_names), one.read_simulation(s))
    assert {file: file.read_bytes() for file in before} == before
    theirs = open_ensemble(tmp_path / "of raw", layout="professor")
    export(theirs, tmp_path / "again")  # of a foreign layout: plain files
    lines = (tmp_path / "again" / "filelist.txt").read_text().splitlines()
    assert len(lines) == len(raw.samples)


def test_statistics_of_the_well(viewed, tmp_path):
    """Of all values, and of their changes from sample to sample; components on their own."""
    export(viewed, tmp_path / "out", "well")
    found = yaml.safe_load((tmp_path / "out" / "stats.yaml").read_text())
    runs = [viewed.read_simulation(s).astype(np.float64) for s in viewed.simulations]
    for suffix, parts in (("", runs), ("_delta", [np.diff(run, axis=0) for run in runs])):
        every = np.concatenate(parts)
        for name, function in (
            ("mean", np.mean),
            ("std", np.std),
            ("rms", lambda values: np.sqrt(np.mean(values**2))),
        ):
            table = found[name + suffix]
            assert list(table) == ["density", "velocity", "pressure", "energy", "material"]
            expected = [function(every[:, viewed.index(f"velocity_{axis}")]) for axis in "yx"]
            assert table["velocity"] == pytest.approx(expected, rel=1e-6, abs=1e-12)
            expected = function(every[:, viewed.index("energy")])
            assert table["energy"] == pytest.approx(expected, rel=1e-6)


def test_the_well_s_own_reader(viewed, tmp_path):
    data = pytest.importorskip("the_well.data")
    export(viewed, tmp_path / "out", "well")
    theirs = data.WellDataset(str(tmp_path / "out"), well_split_name="train", n_steps_output=2)
    assert len(theirs) == len(viewed.simulations) * (51 - 2)
    names = [f"velocity_{name[-1]}" if "velocity" in name else name for name in viewed.field_names]
    order = [n for n in names if "velocity" not in n] + ["velocity_y", "velocity_x"]
    for place in (0, 30, len(theirs) - 1):
        sample = theirs[place]
        simulation, step = viewed.simulations[place // 49], place % 49
        three = viewed.read_simulation(simulation)[step : step + 3]
        three = np.moveaxis(three[:, [viewed.index(n) for n in order]], 1, -1)
        np.testing.assert_array_equal(sample["input_fields"], three[:1])
        np.testing.assert_array_equal(sample["output_fields"], three[1:])
        parameters = viewed.parameters[place // 49].astype(np.float32)
        np.testing.assert_array_equal(sample["constant_scalars"], parameters)


@pytest.mark.parametrize("layout", VIEWS)
def test_a_trainer_that_never_heard_of_zfp(viewed, tmp_path, layout):
    """Plain h5py in a process of its own, with the variable that README names; every bit."""
    export(viewed, tmp_path / "out", layout)
    file = sorted((tmp_path / "out").rglob("*.h5"))[-1]
    shown_as = {"professor": "f['fields'][:, 0]", "well": "f['t0_fields/density'][0]"}[layout]
    code = (
        f"import h5py, hashlib; f = h5py.File({str(file)!r})\n"
        f"print(hashlib.sha256({shown_as}.tobytes()).hexdigest())"
    )
    command, plugins = [sys.executable, "-c", code], {"HDF5_PLUGIN_PATH": hdf5plugin.PLUGIN_PATH}
    done = subprocess.run(command, env=plugins, capture_output=True, text=True)
    density = viewed.read_simulation(viewed.simulations[-1])[:, 0]
    assert done.stdout.strip() == hashlib.sha256(density.tobytes()).hexdigest()
