"""Ensembles on one and on three axes: searched, compressed, loaded, judged; two axes to look at."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import xarray as xr
from ragged import write_ensemble

import surrlab
from surrlab import cli
from surrlab.compression.codecs import codec_class
from surrlab.compression.compress import search_and_compress, table
from surrlab.compression.tolerances import find_tolerances
from surrlab.data.ensemble import InMemoryEnsemble
from surrlab.data.fields import Grid
from surrlab.evaluation import evaluate, model_errors
from surrlab.loading.loader import SampleLoader

GRIDS = {
    1: Grid.uniform({"x": (70, 0.0, 7.0)}),
    3: Grid.uniform({"z": (6, 0.0, 1.0), "y": (9, 0.0, 2.0), "x": (10, 0.0, 1.0)}, unit="m"),
}


@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(1) as executor:
        yield executor


@pytest.fixture(scope="module", params=GRIDS)
def raw(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("axes") / "raw"
    return write_ensemble(folder, (3, 1, 5, 2), GRIDS[request.param])[0]


@pytest.mark.parametrize("codec", ["zfp", "sz3", "sperr", "bitround"])
def test_from_search_to_batches(raw, codec, pool, tmp_path):
    """What a codec refuses it refuses in one sentence; what it takes comes back within bounds."""
    try:
        lossy = search_and_compress(
            raw, 0.02, tmp_path / codec, codec=codec_class(codec), executor=pool
        )
    except ValueError as refusal:
        assert codec == "sperr" and raw.grid.ndim == 1 and "\n" not in str(refusal)
        return
    found = table(lossy)
    same = find_tolerances(raw, 0.02, codec=codec_class(codec), executor=pool)
    np.testing.assert_array_equal(found["tolerance"], same["tolerance"])
    truth = np.concatenate([raw.read_simulation(s) for s in raw.simulations])
    back = np.concatenate([lossy.read_simulation(s) for s in lossy.simulations])
    error = np.abs(back - truth.astype(float)).reshape(*truth.shape[:2], -1)
    assert (error.mean(-1) <= 0.02).all()
    assert error.max() > 0 or codec == "sz3"  # it keeps short fields as they are
    assert (error.max(-1) <= found["tolerance"].values).all()
    for cache in (None, "decoded"):
        with SampleLoader(lossy, 4, seed=0, shuffle=False, cache=cache) as loader:
            assert loader.reads_in_place
            batches = np.concatenate([fields.copy() for _, fields in loader])
        np.testing.assert_array_equal(batches, back)


def test_errors_of_predictions(raw):
    shifted = [raw.read_simulation(s) + np.float32(0.25) for s in raw.simulations]
    made = InMemoryEnsemble.like(raw, shifted, "predictions")
    errors = model_errors(made, raw)["model_error"]
    np.testing.assert_allclose(errors, 0.25, rtol=1e-6)
    columns = {"low": [-2.0, -2], "high": [3.0, 3], "scale": [0.5, 1]}
    statistics = xr.Dataset({name: ("field", values) for name, values in columns.items()})
    found = evaluate(made, raw, statistics)
    np.testing.assert_allclose(found["psnr"], 20 * np.log10(5 / 0.25), rtol=1e-6)
    np.testing.assert_allclose(found["normalised_l1"], 0.375, rtol=1e-6)
    volume = np.prod([axis.length for axis in raw.grid.axes])
    change = found["integral_u"] - found["truth_integral_u"]
    np.testing.assert_allclose(change, 0.25 * volume, rtol=1e-5)


def test_what_takes_two_axes_says_so(raw, tmp_path, capsys):
    """Training by the paper's generator, the explorer, a whole study: one sentence each."""
    with pytest.raises(ValueError, match=r"maps of two axes, and the grid is .*choose another"):
        surrlab.train(raw, surrlab.training.TrainConfig(epochs=1), seed=0, progress=False)
    assert cli.main(["study", "--ensemble", raw.name, "--results", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"lies on {raw.grid.ndim} ax" in said and "a study show pictures of two" in said
    assert not list(tmp_path.iterdir())
    pytest.importorskip("ipywidgets")
    from surrlab.explorer._opening import open_results

    if raw.grid.ndim == 1:
        with pytest.raises(ValueError, match=r"shows fields on two axes; .* has one \("):
            open_results(raw.name)
    else:
        assert open_results(raw.name).truth.grid.names == raw.grid.names[-2:]
