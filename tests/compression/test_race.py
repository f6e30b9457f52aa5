import importlib
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import xarray as xr

from surrlab import compression
from surrlab.cli import main
from surrlab.compression import (
    Raw,
    Sz3,
    Version,
    choose,
    codecs_by_field,
    race,
    recommend,
    register_codec,
    search_and_compress,
)
from surrlab.compression import table as table_of
from surrlab.compression.codecs import joined
from surrlab.compression.hdf5_filters import codec_of
from surrlab.data.ensemble import InMemoryEnsemble
from surrlab.data.fields import Field
from surrlab.data.native import open_native
from surrlab.loading import SampleLoader


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
    assert main([*line, "--bandwidth", "146"]) == 0
    assert "fastest to load at 146 MB/s on all cores: " in capsys.readouterr().out


def test_a_slow_storage_asks_for_few_bytes_and_a_fast_one_for_fast_decoding(table):
    dims = ("codec", "target", "field")
    values = np.broadcast_to(np.reshape([10.0, 20.0, 15.0, 20.0], (4, 1, 1)), (4, 2, 6))
    speed = np.broadcast_to(np.reshape([800.0, 200.0, 300.0, 100.0], (4, 1, 1)), (4, 2, 6))
    made = table.assign(ratio_file=(dims, values), decode_mb_s=(dims, speed))
    named = table["codec"].values.tolist()
    for bandwidth, cores, best in (
        (None, 1, 1),  # the fewest bytes; of equals the first
        (1.0, 1, 1),  # 20 MB/s of data: all decode faster than that
        (15.0, 1, 2),  # 150, 200 (decoding), 225 and 100
        (1e4, 1, 0),
        (15.0, 4, 1),  # four cores decode 800 MB/s: reading decides again
    ):
        assert set(recommend(made, bandwidth, cores).values()) == {named[best]}, bandwidth


# ------------------------------------------------------------------------ a codec for each field


def test_choose_takes_what_is_smallest_on_disk(ensemble):
    """Where a codec is far better on one field, that field gets it and no other."""
    chosen = choose(ensemble.select([1]), errors_of(ensemble, 0.05), n_simulations=1)
    assert list(chosen) == list(ensemble.field_names)
    found = race(ensemble.select([1]), targets=(1.0,), errors=errors_of(ensemble, 0.05))
    for name, codec in chosen.items():
        ratio = found["ratio_file"].sel(field=name, target=1.0)
        assert float(ratio.sel(codec=codec.name)) == float(ratio.max())


def errors_of(ensemble, share):
    samples = np.concatenate([ensemble.read_simulation(s) for s in ensemble.simulations])
    spread = share * samples.std(axis=(0, 2, 3), dtype=float)
    return xr.DataArray(spread, {"field": list(ensemble.field_names)}, ["field"])


MIXED = "zfp+sz3+sperr+bitround+zfp+sz3"


@pytest.fixture(scope="module")
def mixed(ensemble, tmp_path_factory):
    path = tmp_path_factory.mktemp("mixed") / "x"
    codec = codecs_by_field(MIXED, ensemble.field_names)
    with ThreadPoolExecutor(1) as pool:
        return search_and_compress(
            ensemble.select([1, 4]), errors_of(ensemble, 0.05), path, codec=codec, executor=pool
        )


def test_every_field_is_stored_by_its_own_codec(ensemble, mixed):
    assert mixed.metadata["request"]["codec"] == MIXED
    of_field = dict.fromkeys(range(6), ())
    for file in mixed.files:
        for chunk in mixed.chunks(file):
            codec, _ = codec_of(chunk.filters)
            of_field[chunk.field] += () if isinstance(codec, Raw) else (codec.name,)
    assert [set(names) for names in of_field.values()] == [{n} for n in MIXED.split("+")]
    found, allowed = table_of(mixed), errors_of(ensemble, 0.05)
    assert (found["error"] <= allowed).all() and (found["max_error"] <= found["tolerance"]).all()


def test_each_field_is_what_its_codec_alone_would_store(ensemble, mixed, tmp_path):
    with ThreadPoolExecutor(1) as pool:
        alone = search_and_compress(
            ensemble.select([1, 4]),
            errors_of(ensemble, 0.05),
            tmp_path / "x",
            codec=Sz3,
            executor=pool,
        )
    for name in ("velocity_x", "material"):
        place = ensemble.index(name)
        for simulation in (1, 4):
            both = (e.read_simulation(simulation)[:, place] for e in (mixed, alone))
            np.testing.assert_array_equal(*both)


def test_the_loader_reads_mixed_codecs_in_place(mixed):
    with SampleLoader(mixed, 16, seed=0, shuffle=False) as loader:
        assert loader.reads_in_place
        batches = np.concatenate([batch for _, batch in loader])
    np.testing.assert_array_equal(batches, [mixed.read(i) for i in range(len(mixed.samples))])


def test_names_of_several_codecs(ensemble):
    fields = ensemble.field_names
    by_field = codecs_by_field(MIXED, fields)
    assert joined(list(by_field.values())) == MIXED and joined([Sz3] * 6) == "sz3"
    assert set(codecs_by_field("sz3", fields).values()) == {Sz3}
    version = Version(MIXED, "field", 1.0)
    assert version.label(20) == "20.0× (codecs by field, tolerance ×1)"
    assert Version.from_config(version.config()) == version and "/" not in version.folder
    with pytest.raises(ValueError, match="names 2 codecs for 6 fields"):
        codecs_by_field("zfp+sz3", fields)
    with pytest.raises(KeyError, match="no codec is called 'zip'"):
        codecs_by_field("zip", fields)
    for name in ("a+b", "auto"):
        with pytest.raises(ValueError, match="stands for several codecs"):
            register_codec(type("Odd", (Sz3,), {"name": name}))


def test_a_mapping_must_name_every_field_and_one_tolerance_takes_one_codec(ensemble, tmp_path):
    one = ensemble.select([1])
    with pytest.raises(ValueError, match="no codec for the field 'velocity_x'"):
        search_and_compress(one, 0.1, tmp_path / "x", codec={"density": Sz3})
    codec = codecs_by_field(MIXED, ensemble.field_names)
    with pytest.raises(ValueError, match="rule 'sample' takes one codec"):
        search_and_compress(one, 0.1, tmp_path / "x", codec=codec, rule="sample", scale=[1.0] * 6)
    assert not (tmp_path / "x").exists()


def test_the_command_chooses_and_keeps(ensemble, tmp_path, capsys):
    errors = tmp_path / "errors.csv"
    rows = ["simulation," + ",".join(ensemble.field_names)]
    rows += [f"{s},0.02,0.02,0.02,0.02,0.02,0.02" for s in ensemble.simulations]
    errors.write_text("\n".join(rows))
    line = ["compress", str(ensemble.path), "--errors", str(errors), str(tmp_path / "x")]
    assert main([*line, "--codec", "auto", "--keep", "mass,integral_energy"]) == 0
    said = capsys.readouterr().out
    request = open_native(tmp_path / "x").metadata["request"]
    assert request["keep"] == ["mass", "integral_energy"] and request["codec"] != "auto"
    names = request["codec"].split("+")
    assert f"fewest bytes: density {names[0]}, velocity_x " in said and "payload" in said
    assert main([*line[:-1], str(tmp_path / "y"), "--keep", "thickness"]) == 1
    assert "'thickness' cannot be kept" in capsys.readouterr().err
