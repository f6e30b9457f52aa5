"""``surrlab study``: the notebooks in order, head-less, ending with the verdict; and batch work."""

from __future__ import annotations

import argparse
import json
import os
import sys
import textwrap
from contextlib import suppress
from pathlib import Path

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"


def main(arguments: list[str] | None = None) -> int:
    """Entry point of the ``surrlab`` command; returns the exit code."""
    args = _parser().parse_args(arguments)
    try:
        args.run(args)
    except KeyboardInterrupt:
        print("surrlab: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    except (OSError, ValueError, LookupError, RuntimeError, ArithmeticError) as error:
        message = error.args[0] if isinstance(error, KeyError) else error
        print(f"surrlab: {message}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="surrlab", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    study = commands.add_parser("study", help="the whole study, from simulation to verdict")
    study.add_argument("--preset", default="quick", help="quick (default); a wrong name lists all")
    study.add_argument("--results", type=Path, default=Path("results"), help="default: results")
    study.add_argument("--ensemble", type=Path, help="an ensemble that exists already")
    study.add_argument(
        "-p",
        dest="overrides",
        nargs=2,
        metavar=("NAME", "JSON"),
        action="append",
        default=[],
        help="another parameter of the notebooks, such as: -p simulation 3",
    )
    study.add_argument("--timeout", type=int, help="seconds a cell may take; default: the preset's")
    study.set_defaults(run=_study)

    redraw = commands.add_parser("figures", help="a study's figures again, from its saved tables")
    redraw.add_argument("--preset", default="quick", help="which study")
    redraw.add_argument("--results", type=Path, default=Path("results"), help="default: results")
    redraw.set_defaults(run=_figures)

    gallery = commands.add_parser("gallery", help="the pictures of the README")
    gallery.add_argument("path", type=Path, help="folder of the pictures")
    gallery.add_argument(
        "--results", type=Path, default=Path("results"), help="of studies, for their verdicts"
    )
    gallery.set_defaults(run=_gallery)

    simulate = commands.add_parser("simulate", help="a preset's ensemble, nothing else")
    simulate.add_argument("path", type=Path, help="folder of the ensemble")
    simulate.add_argument("--preset", default="quick")
    simulate.add_argument("--simulations", type=int, help="instead of the preset's number")
    simulate.set_defaults(run=_simulate)

    train = commands.add_parser("train", help="one model; under torchrun, with several processes")
    train.add_argument("ensemble", type=Path, help="folder of the ensemble, raw or compressed")
    train.add_argument("model", type=Path, help="folder of the model")
    train.add_argument("--preset", default="quick", help="whose network and schedule to take")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument(
        "--hold-out",
        action="store_true",
        help="leave out the simulations that the preset's study judges its models on",
    )
    train.add_argument("--accelerator", help="cpu or cuda; by default what there is")
    # What torchrun tells its processes; 1 without it.
    world = int(os.environ.get("WORLD_SIZE", 1))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", world))
    train.add_argument("--devices", default=local, help="on each machine")
    train.add_argument("--num-nodes", type=int, default=world // local, help="machines")
    train.add_argument("--strategy", default="ddp" if world > 1 else "auto", help="such as ddp")
    train.add_argument("--precision", default="32-true", help="such as bf16-mixed")
    train.add_argument("--threads", type=int, help="CPU threads of each process")
    train.set_defaults(run=_train)

    compress = commands.add_parser("compress", help="an ensemble, to a trained model's error")
    compress.add_argument("ensemble", type=Path, help="folder of the raw ensemble")
    compress.add_argument("model", type=Path, help="folder of a model trained on it")
    compress.add_argument("path", type=Path, help="folder of the compressed ensemble")
    compress.add_argument(
        "--factor", type=float, default=1.0, help="on the model error: a safety factor below 1"
    )
    compress.set_defaults(run=_compress)

    bench = commands.add_parser("bench", help="does compression pay on this disk? (notebook 6)")
    bench.add_argument("ensemble", type=Path, help="folder of the raw ensemble")
    bench.add_argument(
        "compressed",
        type=Path,
        nargs="*",
        help="folders of compressed versions; without one, a few simulations are compressed",
    )
    bench.add_argument("--preset", default="quick", help="whose network and batches to take")
    bench.add_argument(
        "--results",
        type=Path,
        default=Path("results/bench"),
        help="default: results/bench; put it, like the ensembles, on the disk in question",
    )
    bench.add_argument("--bandwidth", type=float, default=0.0, help="MB/s of a disk to imitate")
    bench.add_argument("--latency", type=float, default=0.0, help="its latency in milliseconds")
    bench.add_argument("--processes", type=int, nargs="+", default=[1, 2], help="default: 1 2")
    bench.add_argument("--timeout", type=int, default=86_400, help="seconds a cell may take")
    bench.set_defaults(run=_bench)
    return parser


def _study(args) -> None:
    from surrlab.studies import notebooks, presets

    preset = presets.get(args.preset)
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
            everything = sorted(set().union(*known.values()))
            raise ValueError(f"no notebook has a parameter {name!r}; there are {everything}")
    for path in plan:
        chosen = given | {k: v for k, v in overrides.items() if k in known[path]}
        notebooks.run(
            path, results / args.preset / path.name, chosen, timeout=args.timeout or preset.timeout
        )
    summary = json.loads((results / args.preset / "summary.json").read_text())
    print(_verdict_table(summary["lossy_training"]["verdicts"]))
    print(f"figures, tables and executed notebooks: {results / args.preset}")


def _figures(args) -> None:
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


def _gallery(args) -> None:
    from PIL import Image

    from surrlab import _files, studies
    from surrlab.figures import catalogue
    from surrlab.studies import presets

    studied = [name for name in presets.PRESETS if "smoke" not in name]  # whose models say nothing
    wanted = {args.results / name: ("verdict", "side_by_side") for name in studied}
    for name, config in presets.GALLERY.items():
        study = studies.open_study(config, args.results / name)
        simulation = study.simulation(study.ensemble, 0)
        studies.evolution(study, simulation)
        studies.compressed_fields(study, simulation, len(study.ensemble.times) // 2)
        wanted[study.path] = ("evolution", "compressed")
    args.path.mkdir(parents=True, exist_ok=True)
    for folder, names in wanted.items():
        for name in names:
            if not (folder / f"{catalogue.PLATES[name].table}.nc").exists():
                print(f"not drawn: {name} of {folder.name}, which has not been studied yet")
            else:
                picture = args.path / f"{folder.name}-{name}.png"
                catalogue.draw(folder, name)
                with Image.open(folder / "figures" / f"{name}.png") as drawn:
                    # 256 colours do, at a third of the bytes: these pictures are committed.
                    few = {"method": Image.Quantize.MAXCOVERAGE, "dither": Image.Dither.NONE}
                    small = drawn.convert("RGB").quantize(256, **few)
                with _files.replacing(picture) as temporary:
                    small.save(temporary, format="PNG", optimize=True)
                print(f"{picture}: {picture.stat().st_size / 1000:.0f} kB")


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


def _simulate(args) -> None:
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


def _train(args) -> None:
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


def _compress(args) -> None:
    from surrlab import compression, evaluation, training
    from surrlab.data import native

    ensemble = native.open(args.ensemble)
    errors = evaluation.model_errors(training.load(args.model), ensemble)["model_error"]
    made = compression.search_and_compress(ensemble, errors * args.factor, args.path)
    ratios = compression.ratios(made)
    print(f"{made}: payload {ratios.payload:.1f}x, files {ratios.file:.1f}x")


def _bench(args) -> None:
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
        raise FileNotFoundError(f"{NOTEBOOKS} holds no notebooks: run surrlab from its checkout")
    return found


if __name__ == "__main__":
    sys.exit(main())
