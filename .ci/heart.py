"""The heart alone, installed without extras: simulate, search, compress, load, train, evaluate.

`.ci/run` runs this where neither the checkout nor any extra is installed.
"""

import importlib.util
import tempfile
from pathlib import Path

import surrlab
from surrlab import compression, evaluation, simulation, training


def main():
    """Run each verb once, on very little."""
    lab = ("matplotlib", "ipywidgets", "seaborn", "papermill", "IPython", "nbformat", "pytest")
    there = [name for name in lab if importlib.util.find_spec(name)]
    assert not there, f"this environment has {', '.join(there)}"
    folder = Path(tempfile.mkdtemp())
    scenario = simulation.RayleighTaylor()
    ensemble = surrlab.generate(scenario, folder / "raw", n_simulations=2, shape=(24, 8), seed=1)
    network = training.generator(start=(3, 1), max_features=16, min_features=8)
    model = surrlab.train(ensemble, training.TrainConfig(epochs=1, network=network), seed=0)
    errors = evaluation.model_errors(model, ensemble)["model_error"]
    tolerances = surrlab.find_tolerances(ensemble, errors)["tolerance"]
    small = surrlab.compress(ensemble, tolerances, folder / "small")
    for inputs, fields in surrlab.SampleLoader(surrlab.open_ensemble(folder / "small"), 64, seed=0):
        assert len(inputs) == len(fields)
    try:
        surrlab.explore(folder)
    except ImportError as error:
        assert "surrlab[lab]" in str(error)
    print(f"heart of surrlab {surrlab.__version__}: {compression.ratios(small).payload:.1f}×")


if __name__ == "__main__":
    main()
