"""An ensemble with constant masks on its whole way: compressed, loaded, learned, judged, seen."""

import io
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import h5py
import masked
import numpy as np
import platformdirs
import pytest
import xarray as xr
from PIL import Image

import surrlab
from surrlab.compression.codecs import codec_class
from surrlab.compression.compress import ratios, search_and_compress, table
from surrlab.compression.race import race
from surrlab.data import _masks
from surrlab.data.ensemble import InMemoryEnsemble
from surrlab.data.open import open_ensemble
from surrlab.evaluation import metrics
from surrlab.evaluation.evaluate import evaluate, model_errors
from surrlab.loading.loader import SampleLoader

VALID = np.stack([np.ones_like(masked.LAND), ~masked.LAND, ~masked.WIND])
ERRORS = xr.DataArray([0.01, 0.2, 0.02], {"field": ["pressure", "temperature", "wind"]}, ["field"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return masked.write(tmp_path_factory.mktemp("masked") / "it")


@pytest.fixture(scope="module")
def raw(folder, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        cache = tmp_path_factory.mktemp("cache")
        patch.setattr(platformdirs, "user_cache_dir", lambda *_: str(cache))
        yield open_ensemble(folder)


@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(1) as executor:
        yield executor


@pytest.fixture(scope="module", params=["zfp", "sz3"])
def lossy(request, raw, tmp_path_factory, pool):
    codec = codec_class(request.param)
    path = tmp_path_factory.mktemp(request.param) / "lossy"
    return search_and_compress(raw, ERRORS, path, codec=codec, executor=pool)


def truths(ensemble):
    return np.concatenate([masked.truth(s) for s in ensemble.simulations])


def test_a_compressed_ensemble_reads_as_its_source_does(raw, lossy):
    """NaN where the source has none, within bounds elsewhere; the table counts the same cells."""
    again = open_ensemble(lossy.path)
    np.testing.assert_array_equal(again.valid, VALID)
    found = table(again)
    for s in raw.simulations:
        back, source = again.read_simulation(s), raw.read_simulation(s)
        np.testing.assert_array_equal(np.isnan(back), np.isnan(source))
        error = np.abs(np.float64(back) - source)
        here = found.isel(sample=found["simulation"].values == s)
        np.testing.assert_allclose(np.nanmean(error, (2, 3)), here["error"], rtol=1e-9)
        np.testing.assert_allclose(np.nanmax(error, (2, 3)), here["max_error"], rtol=1e-9)
        assert (np.nanmax(error, (2, 3)) <= here["tolerance"]).all()
        assert (here["error"] <= ERRORS).all()
        with h5py.File(again.file(s)) as file:  # others see numbers, and where they mean nothing
            assert np.isfinite(file["wind"][:]).all()
            np.testing.assert_array_equal(file["_masks/wind"], masked.WIND)
    assert ratios(again).payload > 4


def test_masked_cells_cost_little(raw, lossy, tmp_path, pool):
    """Filled in they take no more bytes than what the sea would have gone on with."""
    arrays = [masked.truth(s) for s in raw.simulations]
    plain = tuple(replace(field, mask="") for field in raw.fields)
    whole = replace(InMemoryEnsemble.like(raw, arrays, "whole"), fields=plain)
    bounds = table(lossy)["tolerance"]
    codec = codec_class(lossy.metadata["request"]["codec"])
    made = surrlab.compress(whole, bounds, tmp_path / "whole", codec=codec, executor=pool)
    assert table(lossy)["nbytes"].sum() < 1.1 * table(made)["nbytes"].sum()


@pytest.mark.parametrize("cache", [None, "memory", "decoded"])
def test_batches_have_no_values_in_masks(raw, lossy, cache):
    for ensemble in (raw, lossy):
        expected = np.concatenate([ensemble.read_simulation(s) for s in ensemble.simulations])
        with SampleLoader(ensemble, 7, seed=0, shuffle=False, cache=cache) as loader:
            assert loader.reads_in_place
            for _ in range(2):
                fields = np.concatenate([fields.copy() for _, fields in loader])
                np.testing.assert_array_equal(fields, expected)


def test_batches_of_float64_that_a_library_reads(tmp_path):
    for name, storage in {"place": {}, "library": {"compression": "gzip"}}.items():
        ensemble = open_ensemble(masked.write(tmp_path / name, dtype=np.float64, **storage))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            loader = SampleLoader(ensemble, 7, seed=0, shuffle=False)
        with loader:
            assert loader.reads_in_place == (name == "place")
            fields = np.concatenate([fields.copy() for _, fields in loader])
        np.testing.assert_array_equal(fields, np.concatenate([masked.masked(s) for s in range(6)]))


def test_a_loader_in_place_finds_values_in_a_mask(tmp_path):
    """Nobody else looks at them: setting them to NaN would lose them without a word."""
    folder = masked.write(tmp_path / "it")
    with h5py.File(folder / "run_3.nc", "r+") as file:
        file["wind"][2, -1, -1] = 3.0
    ensemble = open_ensemble(folder)
    with (
        SampleLoader(ensemble, 8, seed=0) as loader,
        pytest.raises(ValueError, match=r"run_3\.nc: simulation 3, time 0\.5 .*wind holds 1 val"),
    ):
        list(loader)


def test_statistics_and_loss_leave_masks_out(raw, lossy):
    import torch

    from surrlab.training.step import Step, make_fabric
    from surrlab.training.surrogate import Normaliser

    samples = truths(raw).astype(float)
    normaliser = Normaliser.fit(raw)
    for i in range(3):
        values = samples[:, i, VALID[i]]
        assert normaliser.field_mean[i] == pytest.approx(values.mean(), rel=1e-6)
        assert normaliser.field_scale[i] == pytest.approx(values.std(), rel=1e-5)
    assert np.isfinite(Normaliser.fit(lossy).field_mean).all()

    class Bias(torch.nn.Module):
        """One number per cell, whatever the input."""

        def __init__(self):
            super().__init__()
            self.values = torch.nn.Parameter(torch.zeros(3, masked.NY, masked.NX))

        def forward(self, x):
            return self.values.expand(len(x), -1, -1, -1)

    fabric, network = make_fabric("cpu"), Bias()
    fabric.launch()
    step = Step(fabric, network, 0.1, normaliser, raw.valid)
    fields = np.stack([raw.read(i) for i in range(4)])
    loss = float(step(raw.inputs[:4], fields, 4, 0.1))
    mean = np.array(normaliser.field_mean)[:, None, None]
    scale = np.array(normaliser.field_scale)[:, None, None]
    error = np.abs((fields - mean) / scale)
    expected = np.mean([error[:, i, VALID[i]].mean() for i in range(3)])  # fields weigh the same
    assert loss == pytest.approx(expected, rel=1e-5)
    moved = network.values.detach().numpy() != 0
    assert not moved[~VALID].any() and moved[VALID].mean() > 0.5  # signs of four samples may cancel


def test_metrics_count_the_cells_they_are_told():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5, 3, masked.NY, masked.NX))
    a[:, ~VALID] = b[:, ~VALID] = np.nan
    error = np.stack([np.abs(a - b)[:, i, VALID[i]].mean(1) for i in range(3)], 1)
    np.testing.assert_allclose(metrics.l1(a, b, where=VALID), error)
    square = np.stack([((a - b) ** 2)[:, i, VALID[i]].mean(1) for i in range(3)], 1)
    expected = 10 * np.log10(4 / square)
    np.testing.assert_allclose(metrics.psnr(a, b, 2.0, where=VALID), expected)
    a[2, 1, 20, 2] = np.nan  # an error of the model, and not of the mask
    assert np.isnan(metrics.l1(a, b, where=VALID)[2, 1])
    assert np.isfinite(metrics.l1(a, b, where=VALID)).sum() == 14


def test_evaluation_and_model_errors(raw):
    rng = np.random.default_rng(1)
    arrays = [t + rng.normal(0, 0.1, t.shape).astype("f4") for t in map(masked.truth, range(6))]
    predictions = InMemoryEnsemble.like(raw, arrays, "predictions")
    error = np.abs(np.concatenate(arrays).astype(float) - truths(raw))
    expected = np.stack([error[:, i, VALID[i]].mean(1) for i in range(3)], 1)
    found = model_errors(predictions, raw)["model_error"]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    columns = {"low": [0.0, 270, -1], "high": [1.0, 290, 2], "scale": [1.0, 1, 1]}
    statistics = xr.Dataset({name: ("field", values) for name, values in columns.items()})
    compared = evaluate(predictions, raw, statistics)
    np.testing.assert_allclose(compared["l1"], expected, rtol=1e-12)
    assert np.isfinite(compared["psnr"]).all()
    truth = truths(raw).astype(float)
    total = truth[:, 1, VALID[1]].sum(1) * raw.grid.cell_volume
    np.testing.assert_allclose(compared["truth_integral_temperature"], total, rtol=1e-6)
    arrays[0][1, 1, 20, 2] = np.nan
    broken = InMemoryEnsemble.like(raw, arrays, "predictions")
    assert np.isnan(evaluate(broken, raw, statistics)["integral_temperature"][1])


def test_a_race_of_codecs(raw):
    found = race(raw, codecs=("zfp", "sz3"), targets=(0.02,), n_simulations=1)
    assert found.attrs["refused"] == "{}"
    assert (found["l1"] <= 1).all() and (found["ratio_payload"] > 2).all()


def test_pictures_are_blank_there(raw, lossy, tmp_path):
    from surrlab.explorer import _opening, html

    view = _opening.open_results(lossy.path, raw.path)
    for setting in (0, 9):
        one = view.field_view(0, 2, "wind", setting)
        for values in (one.sample.truth, one.decoded, one.difference):
            np.testing.assert_array_equal(np.isnan(values), masked.WIND)
        assert np.isfinite([one.losses.l1, one.losses.linf]).all() and one.losses.psnr > 20
        assert np.isfinite([total.after for total in one.losses.totals]).all()
        _, heights, exact, beyond = one.histogram
        assert heights.sum() + exact + sum(beyond) == pytest.approx(100)
        assert all(np.isfinite(power).all() for power in one.spectra[1].values())
    picture = Image.open(io.BytesIO(html.png(one.decoded, one.sample.limits))).convert("RGBA")
    np.testing.assert_array_equal(np.array(picture)[::-1, :, 3] == 0, masked.WIND)
    plain = view.field_view(0, 2, "pressure", 9)
    picture = Image.open(io.BytesIO(html.png(plain.decoded, plain.sample.limits)))
    assert "transparency" not in picture.info


def test_the_same_cells_in_any_order_are_the_same_mask(raw):
    assert raw.fields[1].mask == _masks.pack(masked.LAND)


def test_a_whole_study_ends_with_an_answer(folder, tmp_path, pool):
    """Trained, judged and drawn: no NaN in any score, blank cells in every picture."""
    from surrlab import studies

    numbers = {"epochs": 2, "looks": [2], "n_raw_models": 3, "generation_seeds": [1, 2]}
    numbers |= {
        "factors": [1.0, 4.0],
        "network": ["generator", {"max_features": 16, "min_features": 8}],
    }
    study = surrlab.open_study(None, tmp_path, folder, executor=pool, **numbers)
    found = studies.answer(study)
    assert found["sentence"].endswith(".") and len(found["rows"]) == 2
    table, _ = studies.lossy_training(study)
    assert np.isfinite(table["l1"]).all() and np.isfinite(table["psnr"]).all()
    low, high = (study.field_statistics[end].values for end in ("low", "high"))
    ends = [np.concatenate([masked.truth(s)[:, i, VALID[i]] for s in range(6)]) for i in range(3)]
    np.testing.assert_array_equal(low, [values.min() for values in ends])
    np.testing.assert_array_equal(high, [values.max() for values in ends])
    s, t = study.train_set.simulations[0], study.test_set.simulations[0]
    shown = {
        "evolution": studies.evolution(study, s, ["wind"]),
        "compressed_fields": studies.compressed_fields(study, s, 2, fields=["wind"]),
        "pictures": studies.sample_predictions(study, t, 2, ["wind"]),
    }
    for name, pictures in shown.items():
        last = pictures["fields"].sel(field="wind").values
        assert (np.isnan(last) == masked.WIND).all(), name
    assert np.isfinite(studies.thresholds(study, s, 2)["error"]).all()
    for name in ("evolution", "compressed", "side_by_side", "thresholds"):
        assert study.figure(name) is not None


def test_kept_totals_are_those_of_the_same_cells(raw, tmp_path, pool):
    keep = ("integral_temperature",)
    made = surrlab.compress(raw, 0.5, tmp_path / "kept", keep=keep, executor=pool)
    truth, back = (
        np.concatenate([one.read_simulation(s) for s in raw.simulations])[:, 1, VALID[1]]
        for one in (raw, made)
    )
    error = np.abs(back.sum(1, dtype=float) - truth.sum(1, dtype=float))
    assert (error <= 2e-7 * np.abs(truth).sum(1, dtype=float)).all()
    assert np.abs(back - truth).max() > 0.01
