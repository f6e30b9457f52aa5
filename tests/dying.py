"""What tests of executors send to workers: jobs and a network whose process dies once."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor


def square(number):
    return number * number


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(marker):
    if not marker.exists():
        marker.touch()
        die()
    return "survived"


def network(n_inputs, n_fields, shape, marker, main):
    """A perceptron; the first process that builds it, other than `main`, dies of it."""
    if os.getpid() != main and not os.path.exists(marker):
        with open(marker, "w") as file:
            print(os.environ.get("SLURM_JOB_ID", ""), file=file, flush=True)
            die()
    from newcomer.perceptron import perceptron  # brings torch, which jobs do without

    return perceptron(n_inputs, n_fields, shape, width=8)


class Counting(ThreadPoolExecutor):
    """Runs calls in its own process, one at a time, and writes a line for each to ``$CALLS``."""

    def __init__(self, max_workers=1):
        super().__init__(1)

    def submit(self, function, /, *arguments, **named):
        with open(os.environ["CALLS"], "a") as file:
            print(os.getpid(), file=file)
        return super().submit(function, *arguments, **named)


def compare_with_here(name, ensemble, path, **resources):
    """Train two models on a named executor, where a worker dies, and here: equal to the last bit.

    Returns what the worker wrote before it died.
    """
    import numpy as np

    from surrlab import studies
    from surrlab.studies.models import evaluation_path, folder, train_models
    from surrlab.training import load

    network = ["dying:network", {"marker": str(path / "marker"), "main": os.getpid()}]
    numbers = {"network": network, "n_raw_models": 2, "generation_seeds": [1], "epochs": 1}
    weights = []
    for place, executor, asked in [("there", name, resources), ("here", "dying:Counting", {})]:
        study = studies.open_study(
            *("smoke", path / place, ensemble.path),
            executor=executor,
            resources=asked,
            test_fraction=0.4,
            **numbers,
        )
        models = studies.raw_models(study)
        train_models(study, models, "train")
        assert len(list((study.path / "models").iterdir())) == 2
        assert all(evaluation_path(study, model).exists() for model in models)
        loaded = [load(folder(study, model), trust=True).network.state_dict() for model in models]
        weights.append([np.concatenate([t.ravel() for t in one.values()]) for one in loaded])
    np.testing.assert_array_equal(*weights)
    return (path / "marker").read_text()
