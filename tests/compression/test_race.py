import importlib
import json

import numpy as np
import pytest
import xarray as xr

from surrlab import compression
from surrlab.cli import main
from surrlab.compression import race, recommend
from surrlab.data.ensemble import InMemoryEnsemble
from surrlab.data.fields import Field


@pytest.fixture(scope="module")
def table(ensemble):
    return race(ensemble, targets=(0.01, 0.1), n_simulations=1)


def test_every_codec_is_held_to_the_same_errors(table):
    assert dict(table.sizes) == {"codec": 4, "target": 2, "field": 6}
    assert (table["l1"] <= 1).all() and float(table["l1"].sel(codec="sz3").median()) > 0.85
    assert (table["bias"] <= table["l1"]).all() and (table["l1"] < table["linf"]).all()
    assert (table["ratio_file"] < table["ratio_payload"]).all()
    assert (table["ratio_file"].sel(target=0.1) > table["ratio_file"].sel(target=0.01)).all()
    for name in ("encode_mb_s", "decode_mb_s", "n_encodes"):
        assert (table[name] > 0).all()
    assert table.attrs["refused"] == "{}"


def test_its_ratios_are_those_of_compressed_files(ensemble, table, tmp_path):
    first = ensemble.select(ensemble.simulations[:1])
    values = first.read_simulation(first.simulations[0])
    std = values.std(axis=(0, 2, 3), dtype=float)
    errors = xr.DataArray(0.1 * std, {"field": list(first.field_names)})
    made = compression.search_and_compress(first, errors, tmp_path / "x", codec=compression.Sz3)
    row = table.sel(codec="sz3", target=0.1)
    found = compression.ratios(made)
    assert float(1 / (1 / row["ratio_payload"]).mean()) == pytest.approx(found.payload)
    assert float(1 / (1 / row["ratio_file"]).mean()) == pytest.approx(found.file)


def test_the_recommendation_takes_the_fewest_bytes(table):
    best = recommend(table)
    assert list(best) == list(table["field"].values)
    nbytes = (1 / table["ratio_file"]).sum("target")
    for field, codec in best.items():
        assert (nbytes.sel(field=field, codec=codec) <= nbytes.sel(field=field)).all()


def test_a_codec_that_refuses_an_ensemble_is_left_out():
    values = np.random.default_rng(0).normal(size=400).astype(np.float32)
    line = InMemoryEnsemble.of_field(values, Field("density"))
    table = race(line, targets=(0.1,))
    assert "two or three sides" in json.loads(table.attrs["refused"])["sperr"]
    assert table["ratio_file"].sel(codec="sperr").isnull().all()
    assert recommend(table)["density"] != "sperr"
    with pytest.raises(ValueError, match=r"no codec takes this ensemble: .*two or three sides"):
        recommend(race(line, targets=(0.1,), codecs=("sperr",)))


def test_a_race_needs_somebody_to_run(ensemble):
    with pytest.raises(ValueError, match="needs a codec"):
        race(ensemble, codecs=())
    with pytest.raises(KeyError, match="no codec is called 'sz9'"):
        race(ensemble, codecs=("sz9",))


def test_the_command_prints_rows_and_a_recommendation(ensemble, table, capsys, monkeypatch):
    line = ["race", str(ensemble.path), "--targets", "0.05", "--simulations", "1"]
    asked = {}
    module = importlib.import_module("surrlab.compression.race")
    monkeypatch.setattr(module, "race", lambda ensemble, **given: asked.update(given) or table)
    assert main([*line, "--json"]) == 0
    assert asked == {"targets": [0.05], "n_simulations": 1}
    found = json.loads(capsys.readouterr().out)
    assert len(found["rows"]) == 48 and found["recommended"] == recommend(table)
    columns = "ratio_file ratio_payload l1 linf bias encode_mb_s decode_mb_s"
    assert set(columns.split()) < set(found["rows"][0])
    assert main(line) == 0
    assert "fewest bytes on disk: density " in capsys.readouterr().out
