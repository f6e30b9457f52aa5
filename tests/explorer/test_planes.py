"""Files of arrays and grids of three axes: each plane is that of the array, in any format."""

from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
import xarray as xr

from surrlab import explorer
from surrlab.data import native
from surrlab.data.ensemble import Run
from surrlab.data.fields import Field, Grid
from surrlab.data.native import Header
from surrlab.explorer._opening import open_results
from surrlab.explorer._planes import variables

CUBE = np.random.default_rng(0).random((3, 4, 8, 9), np.float32)


def write(path, cube=CUBE):
    """The same array, `u`, in the format that the file's name says; and what is beside it."""
    if path.suffix == ".npy":
        np.save(path, cube)
    elif path.suffix == ".npz":
        np.savez(path, u=cube, few=cube[0, 0], points=np.arange(3.0), words=np.array(["a"]))
    elif path.suffix == ".nc":
        dims = ("member", "level", "lat", "lon")
        coords = {"lat": ("lat", np.linspace(0, 70, 8), {"units": "degrees_north"})}
        data = xr.Dataset({"u": (dims, cube, {"units": "m/s", "long_name": "wind"})}, coords)
        data["level"] = ("level", [1000.0, 850.0, 500.0, 10.0], {"units": "hPa"})
        data.to_netcdf(path, engine="h5netcdf")
    else:
        with h5py.File(path, "w") as file:
            file["group/u"] = cube
            file["group/words"] = np.array([b"a"])
            file["away"] = h5py.ExternalLink("/etc/passwd", "x")
    return path


@pytest.mark.parametrize(
    ("name", "variable"),
    [("u.npy", "u"), ("many.npz", "u"), ("labelled.nc", "u"), ("plain.h5", "group/u")],
)
def test_any_plane_of_any_file(tmp_path, name, variable):
    path = write(tmp_path / name)
    results = open_results(path, variable=variable)
    first, second, *shown = results.truth.whole.grid.names
    assert results.truth.grid.names == tuple(shown) and results.variable == variable
    for i, j in ((0, 3), (2, 1)):
        one = results.at({first: i, second: j})
        view = one.field_settings(0, 0, one.truth.field_names[0])
        np.testing.assert_array_equal(view.sample.truth, CUBE[i, j])
        assert view.sample.limits == (CUBE.min(), CUBE.max())  # the same in all planes
        assert path.name in view.sample.title
    across = results.at({first: 1, shown[0]: 5})
    np.testing.assert_array_equal(across.truth.read(0)[0], CUBE[1, :, 5])


def test_axes_and_names_come_from_the_file(tmp_path):
    results = open_results(write(tmp_path / "a.nc"), variable="u")
    (field,), grid = results.truth.fields, results.truth.grid
    assert (field.label, field.unit) == ("wind", "m/s")
    assert grid.y.points[-1] == 70 and grid.y.unit == "degrees_north"
    assert results.at({"member": 2, "level": 3}).truth.place == "member = 2, level = 10 hPa"


def test_the_largest_comes_first_and_words_are_left_out(tmp_path):
    assert variables(write(tmp_path / "a.npz")) == {"u": CUBE.shape, "few": (8, 9)}
    assert list(variables(write(tmp_path / "a.h5"))) == ["group/u"]
    assert open_results(tmp_path / "a.npz").variable == "u"
    np.savez(tmp_path / "b.npz", u=CUBE, things=np.array([{}, None]))  # which nobody unpickles
    assert list(variables(tmp_path / "b.npz")) == ["u"]


def test_packed_values_and_fill_values(tmp_path):
    """As NetCDF says: what is stored times `scale_factor`, plus `add_offset`."""
    path, stored = tmp_path / "packed.h5", np.arange(60, dtype=np.int16).reshape(6, 10)
    with h5py.File(path, "w") as file:
        file["u"] = stored
        file["u"].attrs.update(
            {"scale_factor": 0.5, "add_offset": 10.0, "_FillValue": [np.int16(7)]}
        )
    settings = open_results(path).field_settings(0, 0, "u")
    values = settings.sample.truth
    np.testing.assert_array_equal(np.isnan(values), stored == 7)
    np.testing.assert_array_equal(values[stored != 7], (stored * 0.5 + 10)[stored != 7])
    decoded = settings.view(3).decoded
    np.testing.assert_array_equal(np.isnan(decoded), stored == 7)


def infinite():
    cube = CUBE.copy()
    cube[:, 2, 0, :3] = np.inf
    return cube


@pytest.mark.parametrize(
    ("make", "variable", "error", "parts"),
    [
        (lambda p: write(p / "a.npz"), "v", KeyError, "a.npz has no array 'v' .* it has u, few"),
        (lambda p: write(p / "a.npz"), "points", KeyError, "no array 'points' of numbers with two"),
        (lambda p: write(p / "a.npy", CUBE[0, 0, 0]), None, ValueError, "a.npy holds no array of"),
        (
            lambda p: write(p / "a.npy", infinite()),
            None,
            ValueError,
            "a.npy: variable a at .*3 inf",
        ),
        (lambda p: write(p / "a.npy", CUBE * np.nan), None, ValueError, "all 72 are NaN or fill"),
        (lambda p: write(p / "a.npy", CUBE.astype(object)), None, ValueError, "a.npy: array a: "),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(tmp_path, make, variable, error, parts):
    path = make(tmp_path)
    with pytest.raises(error, match=parts) as raised:
        results = open_results(path, variable=variable)
        results.field_settings(0, 0, results.truth.field_names[0])
    assert "\n" not in str(raised.value)


def test_other_files_are_one_sentence(tmp_path):
    for name, content, message in (
        ("old.nc", b"CDF\x01 and more", "nccopy -k nc4 old.nc"),
        ("text.h5", b"no HDF5 at all", "text.h5: "),
    ):
        (tmp_path / name).write_bytes(content)
        assert message in explorer.explore(tmp_path / name).message


def test_a_plane_that_is_not_there(tmp_path):
    path = write(tmp_path / "u.npy")
    for at, error, message in (
        ({"axis0": 3, "z": 0}, IndexError, "axis axis0 of .*u.npy.* has no index 3; it has 3"),
        ({"height": 0}, KeyError, "no axis 'height'"),
        ({"z": 0}, ValueError, "has axes axis0, z, y, x: indices on all but two"),
    ):
        with pytest.raises(error, match=message):
            open_results(path, at=at)


def test_the_widget_moves_through_planes_and_its_call_makes_the_same_figure(tmp_path):
    view = explorer.explore(write(tmp_path / "u.npy"))
    assert view.message == "" and set(view.chooser.sliders) == {"axis0", "z"}
    view.fields.setting.value = 12
    before = view.fields.images["truth"].value, view.fields.images["decoded"].value
    view.chooser.sliders["z"].value = 0
    after = view.fields.images["truth"].value, view.fields.images["decoded"].value
    assert view.message == "" and all(a != b for a, b in zip(before, after, strict=True))
    np.testing.assert_array_equal(view.fields.view().sample.truth, CUBE[1, 0])
    assert "at={'axis0': 1, 'z': 0}, variable='u'" in view.call()
    namespace = {}
    exec(view.call().replace("explorer.picture", "figure = explorer.picture"), namespace)
    assert namespace["figure"].get_suptitle() == view.figure().get_suptitle()
    view.chooser.plane.value = ("axis0", "x")
    assert view.message == "" and set(view.chooser.sliders) == {"z", "y"}
    np.testing.assert_array_equal(view.fields.view().sample.truth, CUBE[:, 2, 4])


def test_another_array_of_the_file(tmp_path):
    view = explorer.explore(write(tmp_path / "a.npz"))
    view.chooser.variable.value = "few"
    assert view.message == "" and not view.chooser.sliders
    np.testing.assert_array_equal(view.fields.view().sample.truth, CUBE[0, 0])
    assert "variable='few'" in view.call() and "at=" not in view.call()


def test_slices_of_an_ensemble_on_three_axes(tmp_path):
    header = Header(
        (Field("density", "g"), Field("pressure")),
        Grid.uniform({"z": (4, 0, 1), "y": (6, 0, 2), "x": (5, 0, 3)}, "cm"),
        {"time": "s"},
    )
    runs = {0: Run(0, (), (0.0, 1.0))}
    samples = np.random.default_rng(1).random((2, 2, 4, 6, 5), np.float32)
    writers = {0: lambda file: native.write_simulation(file, header, runs[0], samples)}
    with ThreadPoolExecutor(1) as pool:
        native.build(tmp_path / "e", header, {}, runs, writers, executor=pool, label="write")
    view = explorer.explore(tmp_path / "e")
    assert view.message == "" and view.results.heading.endswith("4 × 6 × 5 cells")
    view.chooser.sliders["z"].value, view.time.value = 3, 1
    view.field.value = "pressure"
    sample = view.fields.view().sample
    np.testing.assert_array_equal(sample.truth, samples[1, 1, 3])
    assert sample.title == "simulation 0 at 1 s, z = 0.875 cm" and view.message == ""
    assert sample.limits == (samples[:, 1].min(), samples[:, 1].max())


def test_the_list_leads_from_folder_to_folder_and_opens_what_can_be_shown(studied, tmp_path):
    (tmp_path / "inner").mkdir()
    write(tmp_path / "inner" / "u.npy")
    (tmp_path / "inner" / "notes.txt").write_text("no array")
    (tmp_path / "study").symlink_to(studied)
    view = explorer.explore(tmp_path / "inner" / "u.npy")
    chooser = view.chooser
    assert chooser.entries not in chooser._list.children
    chooser.browse.value = True
    assert [label.split()[0] for label, _ in chooser.entries.options] == ["..", "u.npy"]
    chooser.entries.value = str(tmp_path)
    chooser.enter.click()  # holds nothing to look at: its list, and the view stays
    assert view.results is not None and view.message == ""
    assert [label for label, _ in chooser.entries.options][1:] == ["inner/", "study/"]
    chooser.entries.value = str(tmp_path / "inner")
    chooser.enter.click()  # arrays that nobody explains: a sentence, and the list goes on
    assert "does not say what its arrays are" in view.message and view.results is not None
    assert [label for label, _ in chooser.entries.options][1:] == ["u.npy"]
    chooser.entries.value = str(tmp_path)
    chooser.enter.click()
    chooser.entries.value = str(tmp_path / "study")
    chooser.enter.click()
    assert view.folder.value == str(tmp_path / "study") and "rayleigh" in view.results.heading
    assert "ensemble/" in [label for label, _ in chooser.entries.options]
    chooser.browse.value = False
    assert not chooser._list.children
