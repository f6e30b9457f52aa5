"""A copy in surrlab's own layout: equal bit for bit, resumable, and never of guesses."""

import json
from concurrent.futures import ThreadPoolExecutor

import foreign
import masked
import numpy as np
import platformdirs
import pytest

from surrlab import cli
from surrlab.data import native
from surrlab.data.open import card_template, import_ensemble, open_ensemble
from surrlab.loading.loader import SampleLoader


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_: str(folder))


@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(1) as executor:
        yield executor


def complete(path, card=None):
    """The card of an ensemble with something where nobody says anything."""
    template = card_template(path, card=card)
    text = json.dumps(template).replace('"name": "?", ', "").replace('"unit": "?"', '"unit": "1"')
    told = json.loads(text)
    for i, axis in enumerate(told["axes"].values()):
        for end, value in (("low", 0), ("high", 1 + i)):
            axis[end] = value if axis[end] == "?" else axis[end]
    told.pop("layout")
    if told["time"].get("values") == "?":
        told["time"]["values"] = list(range(4))
    names = [{"unit": "K"} | {"name": f"f{i}"} for i, _ in enumerate(told["fields"])]
    if '"name": "?"' in json.dumps(template["fields"]):
        told["fields"] = names
    if '"name": "?"' in json.dumps(template["parameters"]):
        told["parameters"] = [
            {"name": f"p{i}", "unit": "1"} for i, _ in enumerate(told["parameters"])
        ]
    return {**(card or {}), **told}


WRITERS = {
    "professor": foreign.professor,
    "well": foreign.well,
    "xarray": foreign.netcdf_runs,
    "gzip": lambda folder: foreign.netcdf(folder, compression="gzip"),
    "pdebench": foreign.pdebench_groups,
    "npz": foreign.npz,
    "pyro": foreign.pyro,
}


@pytest.mark.parametrize("layout", WRITERS)
def test_a_copy_is_equal_bit_for_bit(tmp_path, pool, layout):
    path, truth = WRITERS[layout](tmp_path / "it")
    card = complete(path, foreign.NPZ_CARD if layout == "npz" else None)
    made = import_ensemble(path, tmp_path / "copy", card=card, executor=pool)
    source = open_ensemble(path, card=card)
    assert (made.fields, made.grid, made.runs) == (source.fields, source.grid, source.runs)
    assert (made.input_names, made.input_units) == (source.input_names, source.input_units)
    for s, (_, times, samples) in zip(made.simulations, truth, strict=True):
        np.testing.assert_array_equal(made.read_simulation(s), samples)
        assert made.read_simulation(s).dtype == samples.dtype and len(times) == len(samples)
    with SampleLoader(made, 4, seed=0) as loader:
        assert loader.reads_in_place


def test_masks_are_copied(tmp_path, pool):
    folder = masked.write(tmp_path / "it", compression="gzip")
    made = import_ensemble(folder, tmp_path / "copy", card=complete(folder), executor=pool)
    np.testing.assert_array_equal(made.valid, open_ensemble(folder).valid)
    for s in made.simulations:
        np.testing.assert_array_equal(made.read_simulation(s), masked.masked(s))


def test_what_nobody_says_is_refused_before_anything_is_written(tmp_path, capsys):
    folder, _ = foreign.professor(tmp_path / "it")
    assert cli.main(["import", str(folder), str(tmp_path / "copy")]) == 1
    said = capsys.readouterr().err
    assert "no file says" in said and said.count("\n") == 1
    assert all(one in said for one in (" fields,", " parameters,", "unit of field_0,", "axis "))
    assert "`surrlab card" in said and not (tmp_path / "copy").exists()


def test_the_command_goes_on_where_it_stopped(tmp_path, pool, monkeypatch, capsys):
    folder, truth = foreign.netcdf_runs(tmp_path / "it")
    (tmp_path / "card.json").write_text(json.dumps(complete(folder)))
    command = ["import", str(folder), str(tmp_path / "copy"), "--card", str(tmp_path / "card.json")]
    written, write = [], native.write_simulation

    def fails_once(path, header, run, samples):
        if len(written) == 1:
            written.append("failed")
            raise OSError("no space left")
        written.append(run.simulation)
        write(path, header, run, samples)

    monkeypatch.setattr(native, "write_simulation", fails_once)
    run_jobs = native.run_jobs
    monkeypatch.setattr(native, "run_jobs", lambda *a, **k: run_jobs(*a, **k | {"executor": pool}))
    assert cli.main(command) == 1 and "no space left" in capsys.readouterr().err
    assert cli.main(command) == 0 and "3 simulations" in capsys.readouterr().out
    assert written.count(0) == 1 and {0, 1, 2} < set(written)
    made = open_ensemble(tmp_path / "copy")
    np.testing.assert_array_equal(made.read_simulation(2), truth[2][2])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    command[2] = str(tmp_path / "other")
    assert cli.main(command) == 1 and "is not empty" in capsys.readouterr().err


def test_a_compressed_ensemble_may_be_unpacked(tmp_path, pool):
    from surrlab.compression.compress import compress

    folder, _ = foreign.netcdf_runs(tmp_path / "it")
    lossy = compress(open_ensemble(folder), 0.1, tmp_path / "lossy", executor=pool)
    made = import_ensemble(lossy.path, tmp_path / "raw", executor=pool)
    np.testing.assert_array_equal(made.read_simulation(1), lossy.read_simulation(1))
    assert made.file_nbytes > lossy.file_nbytes
