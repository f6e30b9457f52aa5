"""What each command of ``surrlab`` does with its arguments, which `cli` has checked."""

from __future__ import annotations

import argparse
import json
import math
import sys
import textwrap
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surrlab import _arguments
from surrlab._files import read_json

if TYPE_CHECKING:
    import pandas as pd

# Of a first `surrlab study` on two cores; the paper's studies take GPUs for days.
MINUTES = {"smoke": "1", "smoke-pchip": "1", "quick": "10", "quick-pchip": "20"}


def presets(args: argparse.Namespace) -> None:
    """List the studies there are."""
    from surrlab.studies.config import PRESETS

    print(f"{'preset':<12} simulations        grid   raw data  models  minutes on two cores")
    for name, config in PRESETS.items():
        assert config.scenario is not None
        sample = 4 * len(config.scenario.fields) * math.prod(config.shape)
        nbytes = config.n_simulations * len(config.scenario.times) * sample
        size = f"{nbytes / 1e9:,.0f} GB" if nbytes > 1e9 else f"{nbytes / 1e6:,.0f} MB"
        # All that the answer may need: raw models, and each version's up to the last look.
        models = max(config.n_raw_models, config.looks[-1]) + len(config.generation_seeds)
        models += config.looks[-1] * len(config.fixed + config.factors)
        print(
            f"{name:<12} {config.n_simulations:>11,} {' × '.join(map(str, config.shape)):>11} "
            f"{size:>10} {f'≤ {models}':>7}  {MINUTES.get(name, 'days on GPUs')}"
        )


def study(args: argparse.Namespace) -> None:
    """Run the notebooks in order, and print the answer."""
    from surrlab import _notebook_runner as notebooks
    from surrlab.data.open import open_ensemble
    from surrlab.studies.extras import EXTRAS, extra
    from surrlab.studies.pictures import check_pictured
    from surrlab.studies.results import open_study

    if unknown := set(args.extra) - set(EXTRAS):
        raise ValueError(f"there is no extra {min(unknown)!r}; there are {', '.join(EXTRAS)}")
    chosen = _parameters(args.overrides)
    plan = {path: notebooks.parameters(path) for path in _notebooks("[0-9]_*.ipynb")}
    of_notebooks = set().union(*plan.values())
    settings = {name: value for name, value in chosen.items() if name not in of_notebooks}
    same = "seeds_max budget_minutes network quantities minutes trainer trainer_layout keep"
    same += " executor resources"
    asked = {name: getattr(args, name) for name in same.split()}
    asked |= {"looks": args.seeds, "factors": args.levels, "codec": args.codec, "rule": args.rule}
    asked = {name: value for name, value in asked.items() if value is not None}
    settings |= json.loads(json.dumps(asked))  # papermill would write a tuple as text
    if args.margin:
        settings["margins"] = _arguments.pairs(args.margin)
    if args.card:
        settings["card"] = str(args.card.resolve())
    students = settings.get("generation_seeds")
    if isinstance(students, list) and len(students) == 1:
        raise ValueError(
            f"generation_seeds is {students}: the verdict on students needs two or more seeds"
        )
    _arguments.importable_from_here()
    given: dict[str, Any] = {"preset": args.preset or "", "results": str(args.results.resolve())}
    if args.ensemble:
        check_pictured(open_ensemble(args.ensemble, card=settings.get("card")))
        given["ensemble"] = str(args.ensemble.resolve())
    opened = open_study(**given, **settings)  # refuses what is no number of a study
    if opened.config.trainer:
        settings["trainer"] = opened.config.trainer  # with files named from the root on
    timeout = args.timeout or opened.config.timeout
    with notebooks.one_kernel() as kernel:
        for path, names in plan.items():
            mine = {**given, "settings": settings} | {n: chosen[n] for n in names if n in chosen}
            notebooks.run(path, opened.path / path.name, mine, timeout=timeout, kernel=kernel)
    print(_answer(opened.results.summary["answer"]))
    for name in args.extra:
        table = extra(opened, name)
        print(f"\n{name}\n{table.to_string(float_format='{:.4g}'.format)}")
        print(textwrap.fill(table.attrs.get("sentence", ""), 88))
    print(f"figures, tables and executed notebooks: {opened.path}")


def import_(args: argparse.Namespace) -> None:
    """Write an ensemble in surrlab's own layout."""
    from surrlab.data.open import import_ensemble

    print(import_ensemble(args.ensemble, args.path, card=args.card))


def explore(args: argparse.Namespace) -> int:
    """Serve the explorer as a page."""
    from surrlab._notebook_runner import explore as serve

    return serve(args.path)


def card(args: argparse.Namespace) -> None:
    """Print the card of an ensemble, with "?" where its files say nothing."""
    from surrlab.data.open import card_template

    print(json.dumps(card_template(args.ensemble), indent=1, ensure_ascii=False))


def certificate(args: argparse.Namespace) -> int:
    """Check a certificate: 0 if all of it holds, 1 with a sentence for each thing that does not."""
    from surrlab.studies._certificate import verify_certificate

    problems = verify_certificate(args.path)
    print("\n".join(problems) or f"{args.path}: everything that it says holds")
    return 1 if problems else 0


def figures(args: argparse.Namespace) -> None:
    """Draw every figure of a study from its tables, and print Table I."""
    from surrlab.data.open import open_ensemble
    from surrlab.figures import catalogue
    from surrlab.studies.experiments import ensemble_table

    folder = args.results / args.preset
    drawn, missing = catalogue.draw_all(folder, formats=args.format)
    print(f"{folder / 'figures'}: {', '.join(drawn)}")
    for reason in missing:
        print(f"not drawn: {reason}")
    at_hand = {}
    for path in sorted(args.results.glob("*/ensemble")):
        with suppress(OSError, ValueError, KeyError):  # a broken one is no reason to draw nothing
            at_hand[path.parent.name] = open_ensemble(path)
    print(f"\nTable I\n{ensemble_table(at_hand).to_string(float_format='{:.3g}'.format)}")


def simulate(args: argparse.Namespace) -> None:
    """Simulate a preset's ensemble."""
    from surrlab.simulation.generate import generate
    from surrlab.studies.config import get_preset

    preset = get_preset(args.preset)
    assert preset.scenario is not None
    ensemble = generate(
        preset.scenario,
        args.path,
        n_simulations=args.simulations or preset.n_simulations,
        shape=preset.shape,
        seed=preset.seed,
        executor=_arguments.executor(args),
    )
    print(ensemble)


def train(args: argparse.Namespace) -> None:
    """Train one model."""
    from surrlab.data.open import open_ensemble
    from surrlab.studies.config import get_preset
    from surrlab.training import step
    from surrlab.training.train import train as train_model

    preset = get_preset(args.preset)
    ensemble = open_ensemble(args.ensemble)
    if args.hold_out:
        ensemble, _ = ensemble.split(preset.test_fraction, preset.seed)
    fabric = step.make_fabric(
        args.accelerator, args.devices, args.num_nodes, args.strategy, args.precision
    )
    model = train_model(
        ensemble,
        preset.train,
        seed=args.seed,
        path=args.model,
        fabric=fabric,
        threads=args.threads,
    )
    if fabric.is_global_zero:
        print(f"{args.model}: {len(model.history)} epochs, loss {model.history[-1]['loss']:.4f}")


def compress(args: argparse.Namespace) -> None:
    """Compress an ensemble to a model's error."""
    from surrlab.compression.codecs import AUTO, codec_class, codecs_by_field
    from surrlab.compression.compress import ratios, search_and_compress
    from surrlab.compression.race import choose
    from surrlab.compression.tolerances import from_frame
    from surrlab.data.open import open_ensemble

    if args.codec != AUTO:
        codec_class(args.codec)  # refuses before any work
    *models, path = (text for text in (args.model, args.path) if text is not None)
    if len(models) == bool(args.errors):
        raise ValueError("name a model or --errors, and the folder of the compressed ensemble")
    path, executor = _arguments.new_folder(path), _arguments.executor(args)
    if args.errors:
        ensemble = open_ensemble(args.ensemble)
        errors = from_frame(_read_csv(args.errors), ensemble, str(args.errors))
    else:
        from surrlab.evaluation.evaluate import model_errors
        from surrlab.training.surrogate import load

        folder = _arguments.folder(models[0])
        ensemble = open_ensemble(args.ensemble)
        errors = model_errors(load(folder), ensemble)["model_error"]
    errors = errors * args.factor
    if args.codec == AUTO:
        codec = choose(ensemble, errors)
        print("fewest bytes: " + ", ".join(f"{field} {one.name}" for field, one in codec.items()))
    else:
        codec = codecs_by_field(args.codec, ensemble.field_names)
    made = search_and_compress(
        ensemble,
        errors,
        path,
        codec=codec,
        executor=executor,
        views=args.views,
        keep=args.keep,
    )
    found = ratios(made)
    print(f"{made}: payload {found.payload:.1f}×, files {found.file:.1f}×")


def export(args: argparse.Namespace) -> None:
    """Lay an ensemble as another program's trainer wants it."""
    from surrlab.compression._views import export as lay
    from surrlab.data.open import open_ensemble

    made = lay(open_ensemble(args.ensemble), args.path, args.layout)
    print(f"{args.path}: {made.linked} files linked, {made.written} written ", end="")
    print(f"({made.nbytes / 1e6:.2f} MB)")
    if made.without:
        print(f"Not kept: {', '.join(made.without)}. <field>_offset (time) is still to be added.")
    print("A trainer that never heard of the codec needs, in its environment:")
    print('HDF5_PLUGIN_PATH=$(python -c "import hdf5plugin; print(hdf5plugin.PLUGIN_PATH)")')
    print('and xarray, which would take these files for netCDF4\'s, engine="h5netcdf"')


def race(args: argparse.Namespace) -> None:
    """Compare the codecs on an ensemble, and name the best for each field."""
    import loky

    from surrlab.compression.race import race as race_codecs
    from surrlab.compression.race import recommend
    from surrlab.data.open import open_ensemble

    ensemble = open_ensemble(args.ensemble)
    table = race_codecs(ensemble, targets=args.targets, n_simulations=args.simulations)
    best = recommend(table)
    if args.json:
        rows = table.to_dataframe().reset_index().to_dict("records")
        clean = [{k: None if v != v else v for k, v in row.items()} for row in rows]
        print(json.dumps({"rows": clean, "recommended": best} | table.attrs, indent=1))
        return
    print(table.mean("field").to_dataframe().to_string(float_format="{:.3g}".format, na_rep="–"))
    for codec, reason in json.loads(table.attrs["refused"]).items():
        print(f"{codec} refuses: {reason}")
    print("fewest bytes on disk: " + ", ".join(f"{f} {codec}" for f, codec in best.items()))
    if args.bandwidth:
        best = recommend(table, args.bandwidth, loky.cpu_count())
        each = ", ".join(f"{f} {codec}" for f, codec in best.items())
        print(f"fastest to load at {args.bandwidth:g} MB/s on all cores: {each}")


def bench(args: argparse.Namespace) -> None:
    """Run the notebook on loading."""
    from surrlab import _notebook_runner as notebooks
    from surrlab.data.open import open_ensemble
    from surrlab.studies import compress_trial_versions
    from surrlab.studies.config import get_preset

    get_preset(args.preset)
    ensemble, folder = open_ensemble(args.ensemble), args.results.resolve() / args.preset
    compressed = args.compressed or compress_trial_versions(ensemble, folder)
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
    print(read_json(folder / "summary.json")["loading"]["sentence"])
    print(f"figures, tables and the executed notebook: {folder}")


def verdict(args: argparse.Namespace) -> int:
    """Judge scores that were made anywhere; 0 whatever the verdict, 2 where there is none."""
    from surrlab.evaluation import verdict as judge
    from surrlab.evaluation.variability import LOOKS

    try:
        found = judge(
            read_scores(args.raw),
            read_scores(args.lossy),
            margins={**_arguments.pairs(args.margin)},
            better=_arguments.pairs(args.better),
            confidence=args.confidence,
            looks=_looks(args.looks) if args.looks else LOOKS,
        )
    except (ValueError, KeyError) as error:
        print(f"surrlab verdict: {error.args[0]}", file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps(found.config(), indent=1, allow_nan=False))
    else:
        print(f"{found.state}: {found.reason}\n")
        columns = ["shift", "low", "high", "bound", "margin", "unit", "state"]
        print(found.table[columns].to_string(float_format="{:.3g}".format, na_rep=""))
    return 0


def read_scores(path: Path) -> pd.DataFrame:
    """Scores from a CSV file, indexed by ``seed`` or by (``seed``, ``simulation``).

    Parameters
    ----------
    path : Path
        A file with a column ``seed``, perhaps one ``simulation``, and a column per score; a row per
        model, or per model and test simulation.

    Raises
    ------
    ValueError
        If it cannot be read, lacks the seeds or scores, or a score is not a number.
    """
    import pandas as pd

    table = _read_csv(path)
    index = [name for name in ("seed", "simulation") if name in table]
    scores = [name for name in table if name not in index]
    if "seed" not in index or not scores:
        raise ValueError(
            f"{path} needs a column seed and a column per score; it has {', '.join(table)}"
        )
    if table[index].isna().any(axis=None):
        raise ValueError(f"{path} has rows without a {' or '.join(index)}")
    for name in scores:
        if not pd.api.types.is_numeric_dtype(table[name]):
            odd = table[name][pd.to_numeric(table[name], errors="coerce").isna()].iloc[0]
            raise ValueError(f"{path}: score {name} has {odd!r} where a number belongs")
    return table.set_index(index)


def _read_csv(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.read_csv(path, skipinitialspace=True)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{path} is no readable CSV file: {error}") from None


def _looks(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(look) for look in text.split(","))
    except ValueError:
        raise ValueError(f"looks are numbers of seeds, such as 3,5,8,12, not {text!r}") from None


def _parameters(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Values of ``-p NAME JSON``."""
    chosen = {}
    for name, text in pairs:
        if name in ("preset", "results", "ensemble", "card"):
            raise ValueError(f"-p {name} would mix two studies; use --{name}")
        if name == "settings":
            raise ValueError("-p takes each setting by its own name")
        try:
            chosen[name] = json.loads(text)
        except ValueError as error:
            raise ValueError(f"-p {name} {text}: not JSON ({error}); texts need quotes") from error
    return chosen


def _answer(answer: Mapping[str, Any]) -> str:
    """The answer of a study as text: the sentence, then a row per version and its reason."""
    lines = ["", textwrap.fill(answer["sentence"], 88), "", "stored at  on disk  noticed"]
    for row in answer["rows"]:
        stored_at = row["stored_at"] or row["version"]
        lines.append(f"{stored_at:<10} {row['on_disk']:<8} {row['noticed']}")
        lines.append(textwrap.indent(textwrap.fill(row["because"], 64), " " * 12))
    return "\n".join([*lines, ""])


def _notebooks(pattern: str) -> list[Path]:
    from surrlab._notebook_runner import FOLDER

    if not (found := sorted(FOLDER.glob(pattern))):
        raise FileNotFoundError(f"{FOLDER} holds no notebooks: install surrlab again")
    return found
