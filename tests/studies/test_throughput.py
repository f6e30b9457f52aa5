"""Figs. 11 and 12: small real measurements, and what is said and drawn of invented ones."""

import json
import signal
from functools import partial

import numpy as np
import pytest
import synthetic
from synthetic import epoch_table

from surrlab import cli, compression, studies, training
from surrlab.data.open import open_ensemble
from surrlab.loading.bandwidth import Bandwidth
from surrlab.studies import _disk
from surrlab.studies.config import get_preset
from surrlab.training.throughput import epoch_times, loading_rates

STORAGES = {**_disk.FILE_SYSTEMS, _disk.OWN: np.inf, _disk.MEMORY: np.inf}
rate_table = partial(synthetic.rate_table, storages=STORAGES)


@pytest.fixture(scope="module")
def versions(ensemble, tmp_path_factory):
    path = tmp_path_factory.mktemp("throughput")
    return _disk.compress_trial_versions(ensemble, path, n_simulations=4)


@pytest.fixture
def study(ensemble, tmp_path):
    return studies.open_study("smoke", tmp_path, ensemble.path)


def test_a_trial_needs_no_model(ensemble, versions, study):
    by_name = _disk.timed_versions(study, versions)
    assert list(by_name) == ["raw", "trial-0.001", "trial-0.01", "trial-0.1"]
    assert by_name["raw"].path == ensemble.path
    assert {e.simulations for e in by_name.values()} == {ensemble.simulations[:4]}
    scale = training.Normaliser.fit(by_name["raw"]).field_scale
    for folder, part in zip(versions, _disk.TRIAL, strict=True):
        bound = compression.table(open_ensemble(folder))["tolerance"].max("sample")
        assert (bound.values <= part * np.array(scale)).all()


def test_two_versions_of_one_ratio_stay_two(ensemble, study, tmp_path):
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        compression.compress(ensemble.select([0, 1]), 0.1, folder)
    assert list(_disk.timed_versions(study, folders)) == ["raw", "one", "two"]


def test_versions_of_other_simulations_are_refused(ensemble, versions, study, tmp_path):
    other = compression.compress(ensemble.select([5]), 0.1, tmp_path / "other")
    with pytest.raises(ValueError, match="other holds other simulations than"):
        _disk.timed_versions(study, [versions[0], other.path])


def test_no_storage_gives_raw_data_faster_than_it_is(ensemble, versions, study):
    by_name = _disk.timed_versions(study, versions)
    slow = {"slow": Bandwidth(4e6), "memory": Bandwidth()}
    rates = loading_rates(by_name, slow, batch_size=16, rounds=2)
    assert rates["rate"].dims == ("storage", "version", "round") and rates.sizes["round"] == 2
    assert 0 < float(rates["rate"].sel(storage="slow", version="raw").max()) < 4.5
    assert float(rates["rate"].sel(storage="memory", version="raw").min()) > 4.5
    assert float(rates["bandwidth"].sel(storage="slow")) == 4


def test_an_epoch_is_at_least_its_data_and_its_computing(ensemble, versions, study):
    by_name = _disk.timed_versions(study, versions)
    train, last = get_preset("smoke").train, list(by_name)[-1]
    two = {"raw": by_name["raw"], last: by_name[last]}
    handler = signal.getsignal(signal.SIGTERM)
    table = epoch_times(two, Bandwidth(10e6), train, batches=2, rounds=1)
    assert table["processes"].values.tolist() == [1, 2]
    assert signal.getsignal(signal.SIGTERM) == handler
    bytes_alone = two["raw"].raw_nbytes / 10e6  # however many processes: they share the storage
    assert (table["data"].sel(version="raw") > 0.9 * bytes_alone).all()
    assert (table["both"].sel(version="raw") > 0.9 * bytes_alone).all()
    assert (table["both"] > 0).all() and (table["compute"] > 0).all()
    assert table.attrs["epoch_nbytes"] == two["raw"].raw_nbytes


def test_tables_are_measured_once(ensemble, versions, study, monkeypatch):
    by_name = _disk.timed_versions(study, versions[:2])
    tables = iter([rate_table(), epoch_table()])
    monkeypatch.setattr(_disk, "loading_rates", lambda *_, **__: next(tables))
    monkeypatch.setattr(_disk, "epoch_times", lambda *_, **__: next(tables))
    storages = _disk.storages(120.0, 1.0)
    assert storages[_disk.OWN] == Bandwidth(120e6, 1e-3) and list(storages) == list(STORAGES)
    for _ in range(2):
        rates = _disk.measure_rates(study, by_name, storages)
        epochs = _disk.measure_epochs(study, by_name, storages, [1, 2])
    np.testing.assert_array_equal(rates["rate"], rate_table()["rate"])
    np.testing.assert_array_equal(epochs["both"], epoch_table()["both"])
    with pytest.raises(StopIteration):  # of another storage it would be measured again
        _disk.measure_epochs(study, by_name, _disk.storages(), [1, 2])


@pytest.mark.parametrize(
    ("memory", "nbytes", "below", "why"),
    [
        ((900, 400, 500), 660e6, 300, "the network keeps up"),
        ((900, 400, 500), 6600e6, 400, "decoding binds"),
        ((900, 950, 990), 6600e6, 3000, "the network keeps up"),  # decoding is faster than copying
    ],
)
def test_the_answer(memory, nbytes, below, why):
    """With two processes an epoch computes 2.2 s, and takes 5.5 s from raw, 2.2 s compressed."""
    found = _disk.loading_summary(rate_table(memory), epoch_table(nbytes=nbytes))
    assert (found["version"], found["ratio"]) == ("zfp ×2", 10.8) and found["processes"] == 2
    assert found["epoch"] == pytest.approx(0.4)
    assert found["raw_stall"] == pytest.approx(0.6) and found["stall"] == 0
    assert found["below"] == pytest.approx(below)
    assert found["sentence"] == (
        "On this storage (120 MB/s, page cache in use), compressed to 10.8×, an epoch takes 0.40 "
        f"of raw's time with 2 processes; below {below} MB/s compression wins (above it {why})."
    )


def test_bench_command(ensemble, tmp_path, capsys):
    """From a raw ensemble alone to the sentence."""
    arguments = [str(ensemble.path), "--preset", "smoke", "--results", str(tmp_path)]
    assert cli.main(["bench", *arguments, "--bandwidth", "200", "--processes", "1"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("On this storage (200 MB/s, page cache in use), compressed to ")
    found = json.loads((tmp_path / "smoke" / "summary.json").read_text())["loading"]
    assert found["processes"] == 1 and found["ratio"] > 1
    names = {path.name for path in (tmp_path / "smoke").glob("*")}
    assert names >= {"6_loading.ipynb", "loading_rates.nc", "epoch_times.nc", "figures"}
