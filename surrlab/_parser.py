"""The arguments of the ``surrlab`` command, and what each command runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import NoReturn

import surrlab
from surrlab import _arguments, _commands


class _Parser(argparse.ArgumentParser):
    """Refuses in one sentence, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = _Parser(prog="surrlab", description=surrlab.__doc__.partition("\n")[0])
    top.add_argument("--version", action="version", version=f"surrlab {surrlab.__version__}")
    top.set_defaults(run=lambda _: top.print_help())
    commands = top.add_subparsers(metavar="command")

    def command(name: str, run: Callable, text: str, *, preset: str = "") -> _Parser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        if preset:
            added.add_argument("--preset", default="quick", help=f"{preset}; default: quick")
        return added

    command("presets", _commands.presets, "the studies there are, with their size and minutes")

    study = command("study", _commands.study, "the whole study, from simulation to verdict")
    study.add_argument(
        "--preset", help="its numbers; default: quick, or chosen from the --ensemble"
    )
    study.add_argument(
        "--results", type=_arguments.new_folder, default=Path("results"), help="default: results"
    )
    study.add_argument(
        "--ensemble", type=_arguments.existing, help="an ensemble that exists already"
    )
    study.add_argument(
        "--card", type=_arguments.existing, help="JSON file with what its files do not say"
    )
    study.add_argument(
        "--minutes",
        type=_arguments.number(1e-3, 1e6),
        help="for all trainings, where the epochs are chosen from the ensemble; default: 30",
    )
    study.add_argument(
        "--network", help="generator, unet, vit or MODULE:FACTORY; arguments: -p network"
    )
    study.add_argument(
        "--trainer",
        metavar="COMMAND",
        help="trains in place of surrlab: 'CMD {data} {inputs} {seed} {out}'",
    )
    study.add_argument(
        "--trainer-layout", help="of its {data}: professor (plain HDF5; default) or native"
    )
    study.add_argument(
        "--quantities",
        nargs="+",
        metavar="NAME",
        help="to follow: registered names, integral_FIELD, MODULE:NAME",
    )
    study.add_argument(
        "-p",
        dest="overrides",
        nargs=2,
        metavar=("NAME", "JSON"),
        action="append",
        default=[],
        help='another number of the study or its notebooks: -p looks "[3, 5]", -p simulation 3',
    )
    study.add_argument(
        "--seeds", type=_arguments.ascending(int), help="planned looks, such as 3,5,8,12"
    )
    study.add_argument(
        "--levels",
        type=_arguments.ascending(Fraction),
        help="tolerance factors, the control last; default: 1/8,1/4,1/2,1,2,4",
    )
    study.add_argument(
        "--margin",
        action="append",
        default=[],
        metavar="SCORE=LOSS",
        help="what counts as harmless, such as l1=3%% or psnr=0.2dB",
    )
    study.add_argument("--codec", help="zfp, sz3, sperr …; auto: by field, what takes least")
    study.add_argument(
        "--keep", type=_arguments.names, help="totals that stay exact: mass,momentum_x,momentum_y"
    )
    study.add_argument(
        "--rule",
        choices=["field", "sample", "fixed"],
        help="how tolerances are chosen; default: field",
    )
    study.add_argument(
        "--extra",
        type=lambda text: text.split(","),
        default=[],
        metavar="NAME,…",
        help="also: equal-bytes, convergence, proxy",
    )
    study.add_argument(
        "--seeds-max", type=_arguments.whole(0), help="go on to so many seeds where needed"
    )
    study.add_argument(
        "--budget-minutes",
        type=_arguments.number(0, 1e6),
        help="for training: none begins beyond them, and the answer says what is known by then",
    )
    study.add_argument(
        "--timeout", type=_arguments.whole(1), help="seconds a cell may take; default: the preset's"
    )
    _arguments.add_executor(study)

    figures = command(
        "figures", _commands.figures, "a study's figures again, from its tables", preset="which"
    )
    figures.add_argument(
        "--format", type=_arguments.names, default=("png",), help="such as png,svg,pdf"
    )
    figures.add_argument(
        "--results", type=_arguments.folder, default=Path("results"), help="default: results"
    )

    explore = command(
        "explore", _commands.explore, "look into a study, an ensemble or a file, in the browser"
    )
    explore.add_argument(
        "path", type=_arguments.existing, nargs="?", help="default: results/quick, of the study"
    )

    verdict = command(
        "verdict", _commands.verdict, "judge scores of models that were made anywhere"
    )
    verdict.add_argument("raw", type=Path, metavar="RAW.csv", help="scores of models of raw data")
    verdict.add_argument("lossy", type=Path, metavar="LOSSY.csv", help="… of lossy data")
    verdict.add_argument(
        "--margin",
        action="append",
        default=[],
        metavar="SCORE=LOSS",
        help="loss that still counts as harmless, such as l1=5%% or psnr=0.5dB; by longest prefix",
    )
    verdict.add_argument(
        "--better",
        nargs="+",
        default=[],
        metavar="SCORE=lower|higher",
        help="direction of a score; the rule: psnr… and …correlation higher, others lower",
    )
    verdict.add_argument("--confidence", type=float, default=0.95)
    verdict.add_argument("--looks", help="planned numbers of seeds; default: 3,5,8,12")
    verdict.add_argument("--json", action="store_true", help="print everything as JSON")

    simulate = command(
        "simulate", _commands.simulate, "a preset's ensemble, nothing else", preset="whose"
    )
    simulate.add_argument("path", type=_arguments.new_folder, help="folder of the ensemble")
    simulate.add_argument(
        "--simulations", type=_arguments.whole(1), help="instead of the preset's number"
    )
    _arguments.add_executor(simulate)

    train = command(
        "train",
        _commands.train,
        "one model; under torchrun, with several processes",
        preset="whose network and schedule to take",
    )
    train.add_argument(
        "ensemble", type=_arguments.existing, help="folder of the ensemble, raw or compressed"
    )
    train.add_argument("model", type=_arguments.new_folder, help="folder of the model")
    train.add_argument("--seed", type=_arguments.whole(0, 2**32 - 1), default=0)
    train.add_argument(
        "--hold-out",
        action="store_true",
        help="leave out the simulations that the preset's study judges its models on",
    )
    train.add_argument("--accelerator", help="cpu or cuda; by default what there is")
    world = _arguments.processes("WORLD_SIZE", 1)
    local = _arguments.processes("LOCAL_WORLD_SIZE", world)
    train.add_argument("--devices", type=_arguments.devices, default=local, help="on each machine")
    train.add_argument("--num-nodes", type=_arguments.whole(1), default=max(1, world // local))
    train.add_argument("--strategy", default="ddp" if world > 1 else "auto", help="such as ddp")
    train.add_argument("--precision", default="32-true", help="such as bf16-mixed")
    train.add_argument("--threads", type=_arguments.whole(1), help="CPU threads of each process")

    compress = command("compress", _commands.compress, "an ensemble, to a model's error")
    compress.usage = "surrlab compress [-h] ENSEMBLE (MODEL | --errors FILE.csv) PATH [--factor F]"
    compress.add_argument("ensemble", type=_arguments.existing, help="the raw ensemble")
    compress.add_argument("model", help="folder of a model trained on it; not with --errors")
    compress.add_argument("path", nargs="?", help="folder of the compressed ensemble")
    compress.add_argument(
        "--errors",
        type=_arguments.existing,
        metavar="FILE.csv",
        help="errors of any model: columns simulation, step or time, and one per field",
    )
    compress.add_argument(
        "--factor",
        type=_arguments.number(1e-6, 1e6),
        default=1.0,
        help="on the model error: a safety factor below 1",
    )
    compress.add_argument(
        "--codec", default="zfp", help="zfp, sz3, sperr …; auto: by field, what takes least"
    )
    compress.add_argument(
        "--keep",
        type=_arguments.names,
        default=(),
        help="totals that stay exact: mass,integral_FIELD …",
    )
    compress.add_argument(
        "--views",
        type=_arguments.names,
        metavar="NAME,…",
        help="layouts that files show, too: professor, well; default: professor, if it adds < 1 %%",
    )
    _arguments.add_executor(compress)

    copy = command("import", _commands.import_, "an ensemble in any layout, once more in ours, raw")
    copy.add_argument("ensemble", type=_arguments.existing, help="in any layout")
    copy.add_argument("path", type=_arguments.new_folder, help="a new folder, or one begun before")
    copy.add_argument("--card", type=_arguments.existing, help="JSON: what its files do not say")

    card = command("card", _commands.card, "what an ensemble's files do not say, to fill in")
    card.add_argument("ensemble", type=_arguments.existing, help="in any layout")

    certificate = command(
        "certificate", _commands.certificate, "check what a study's certificate says"
    )
    certificate.add_argument("verb", choices=["verify"])
    certificate.add_argument(
        "path", type=_arguments.existing, help="certificate.json, or its folder"
    )

    export = command(
        "export", _commands.export, "an ensemble as another program's trainer wants it"
    )
    export.add_argument("ensemble", type=_arguments.existing, help="in any layout")
    export.add_argument("path", type=_arguments.new_folder, help="a new folder")
    export.add_argument("--as", dest="layout", choices=["professor", "well"], required=True)

    race = command("race", _commands.race, "which codec takes the fewest bytes at the same error")
    race.add_argument("ensemble", type=_arguments.existing, help="folder of the raw ensemble")
    race.add_argument(
        "--targets",
        nargs="+",
        type=_arguments.number(1e-6, 10),
        default=(0.01, 0.02, 0.05),
        help="L1 errors in standard deviations of each field; default: 0.01 0.02 0.05",
    )
    race.add_argument(
        "--bandwidth", type=_arguments.number(1e-3), help="MB/s of a storage: what loads fastest?"
    )
    race.add_argument("--simulations", type=_arguments.whole(1), default=2, help="default: 2")
    race.add_argument("--json", action="store_true", help="print everything as JSON")

    bench = command(
        "bench",
        _commands.bench,
        "does compression pay on this disk? (notebook 6)",
        preset="whose network and batches to take",
    )
    bench.add_argument("ensemble", type=_arguments.existing, help="folder of the raw ensemble")
    bench.add_argument(
        "compressed",
        type=_arguments.existing,
        nargs="*",
        help="folders of compressed versions; without one, a few simulations are compressed",
    )
    bench.add_argument(
        "--results",
        type=_arguments.new_folder,
        default=Path("results/bench"),
        help="default: results/bench; put it, like the ensembles, on the disk in question",
    )
    bench.add_argument(
        "--bandwidth", type=_arguments.number(0), default=0.0, help="MB/s of a disk to imitate"
    )
    bench.add_argument(
        "--latency", type=_arguments.number(0), default=0.0, help="its latency in milliseconds"
    )
    bench.add_argument(
        "--processes", type=_arguments.whole(1), nargs="+", default=[1, 2], help="default: 1 2"
    )
    bench.add_argument(
        "--timeout",
        type=_arguments.whole(1),
        default=86_400,
        help="seconds a cell may take; default: a day",
    )
    return top
