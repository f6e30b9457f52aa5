"""What each command of ``surrlab`` does with its arguments; `cli` has checked them."""

from __future__ import annotations

import argparse
import json
import math
import textwrap
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

NOTEBOOKS = Path(str(files("surrlab"))) / "_notebooks"

# Of a first `surrlab study` on two cores; the paper's studies take GPUs for days.
MINUTES = {"smoke": "0.7", "smoke-pchip": "0.9", "quick": "6", "quick-pchip": "9"}


def presets(args: argparse.Namespace) -> None:
    """List the studies there are."""
    from surrlab.simulation.euler import NAMES
    from surrlab.studies.presets import PRESETS

    print(f"{'preset':<12} simulations        grid   raw data  models  minutes on two cores")
    for name, config in PRESETS.items():
        samples = config.n_simulations * len(config.scenario.times)
        nbytes = 4 * samples * len(NAMES) * math.prod(config.shape)
        models = len(config.raw_seeds) + len(config.generation_seeds)
        models += len(config.lossy_seeds) * len(config.levels)
        size = f"{nbytes / 1e9:,.0f} GB" if nbytes > 1e9 else f"{nbytes / 1e6:,.0f} MB"
        print(
            f"{name:<12} {config.n_simulations:>11,} {' × '.join(map(str, config.shape)):>11} "
            f"{size:>10} {models:>7}  {MINUTES.get(name, 'days on GPUs')}"
        )


def study(args: argparse.Namespace) -> None:
    """Run the notebooks in order, and print the verdicts."""
    from surrlab.studies import notebooks
    from surrlab.studies import presets as known_presets

    preset = known_presets.get(args.preset)
    results = args.results.resolve()
    given = {"preset": args.preset, "results": str(results)}
    if args.ensemble:
        given["ensemble"] = str(args.ensemble.resolve())
    overrides = {name: _json(name, value) for name, value in args.overrides}
    for name in overrides.keys() & {"preset", "results", "ensemble"}:
        raise ValueError(f"-p {name} would mix two studies; use --{name}")
    plan = _notebooks("[0-9]_*.ipynb")
    known = {path: notebooks.parameters(path) for path in plan}
    for name in overrides:
        if not any(name in names for names in known.values()):
            everything = ", ".join(sorted(set().union(*known.values())))
            raise ValueError(f"no notebook has a parameter {name!r}; there are {everything}")
    for path in plan:
        chosen = given | {k: v for k, v in overrides.items() if k in known[path]}
        notebooks.run(
            path, results / args.preset / path.name, chosen, timeout=args.timeout or preset.timeout
        )
    summary = json.loads((results / args.preset / "summary.json").read_text())
    print(_verdict_table(summary["lossy_training"]["verdicts"]))
    print(f"figures, tables and executed notebooks: {results / args.preset}")


def figures(args: argparse.Namespace) -> None:
    """Draw every figure of a study from its tables, and print Table I."""
    from surrlab import studies
    from surrlab.data import native
    from surrlab.figures import catalogue

    folder = args.results / args.preset
    drawn, missing = catalogue.draw_all(folder)
    print(f"{folder / 'figures'}: {', '.join(drawn)}")
    for reason in missing:
        print(f"not drawn: {reason}")
    at_hand = {}
    for manifest in sorted(args.results.glob(f"*/ensemble/{native.MANIFEST}")):
        with suppress(OSError, ValueError, KeyError):  # a broken one is no reason to draw nothing
            found = native.Ensemble(manifest.parent, json.loads(manifest.read_text()))
            if found.shape[0]:
                at_hand[manifest.parent.parent.name] = found
    print(f"\nTable I\n{studies.table_one(at_hand).to_string(float_format='{:.3g}'.format)}")


def _json(name: str, value: str):
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f"-p {name} {value}: not JSON ({error}); texts need quotes") from error


def _verdict_table(verdicts: list[dict]) -> str:
    """The verdicts as text: a row a level, beneath it the reason."""
    from surrlab.figures import style

    lines = ["", "tolerance   payload ratio   file ratio   verdict"]
    for row in verdicts:
        numbers = f"{row['payload']:>13.1f}× {row['file']:>11.1f}×"
        lines.append(f"×{style.factor(row['level']):<8} {numbers}   {row['state']}")
        lines += textwrap.indent(textwrap.fill(row["reason"], 76), " " * 12).splitlines()
    return "\n".join([*lines, ""])


def simulate(args: argparse.Namespace) -> None:
    """Simulate a preset's ensemble."""
    from surrlab import simulation
    from surrlab.studies import presets

    preset = presets.get(args.preset)
    ensemble = simulation.generate(
        preset.scenario,
        args.path,
        n_simulations=preset.n_simulations if args.simulations is None else args.simulations,
        shape=preset.shape,
        seed=preset.seed,
    )
    print(ensemble)


def train(args: argparse.Namespace) -> None:
    """Train one model."""
    from surrlab import training
    from surrlab.data import native
    from surrlab.studies import presets

    preset = presets.get(args.preset)
    ensemble = native.open(args.ensemble)
    if args.hold_out:
        ensemble, _ = ensemble.split(preset.test_fraction, preset.seed)
    model = training.train(
        ensemble,
        preset.train,
        seed=args.seed,
        path=args.model,
        accelerator=args.accelerator or training.best_accelerator(),
        devices=args.devices,
        num_nodes=args.num_nodes,
        strategy=args.strategy,
        precision=args.precision,
        threads=args.threads,
    )
    print(f"{args.model}: {len(model.history)} epochs, loss {model.history[-1]['loss']:.4f}")


def compress(args: argparse.Namespace) -> None:
    """Compress an ensemble to a model's error."""
    from surrlab import compression, evaluation, training
    from surrlab.data import native

    ensemble = native.open(args.ensemble)
    errors = evaluation.model_errors(training.load(args.model), ensemble)["model_error"]
    made = compression.search_and_compress(ensemble, errors * args.factor, args.path)
    ratios = compression.ratios(made)
    print(f"{made}: payload {ratios.payload:.1f}x, files {ratios.file:.1f}x")


def bench(args: argparse.Namespace) -> None:
    """Run the notebook on loading."""
    from surrlab.data import native
    from surrlab.studies import notebooks, presets, throughput

    presets.get(args.preset)
    ensemble, folder = native.open(args.ensemble), args.results.resolve() / args.preset
    compressed = args.compressed or throughput.trial(ensemble, folder)
    (notebook,) = _notebooks("6_*.ipynb")
    given = {
        "preset": args.preset,
        "results": str(folder.parent),
        "ensemble": str(args.ensemble.resolve()),
        "compressed": [str(path.resolve()) for path in compressed],
        "bandwidth": args.bandwidth,
        "latency": args.latency,
        "processes": args.processes,
    }
    notebooks.run(notebook, folder / notebook.name, given, timeout=args.timeout)
    print(json.loads((folder / "summary.json").read_text())["loading"]["sentence"])
    print(f"figures, tables and the executed notebook: {folder}")


def _notebooks(pattern: str) -> list[Path]:
    found = sorted(NOTEBOOKS.glob(pattern))
    if not found:
        raise FileNotFoundError(f"{NOTEBOOKS} holds no notebooks: install surrlab again")
    return found
