"""``surrlab verdict RAW.csv LOSSY.csv``: judge scores that were made anywhere."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pandas as pd

from surrlab.evaluation.variability import LOOKS
from surrlab.evaluation.verdict import verdict


def read_scores(path: str | Path) -> pd.DataFrame:
    """Scores from a CSV file, indexed by ``seed`` or by (``seed``, ``simulation``).

    Parameters
    ----------
    path : str or Path
        A file with a column ``seed``, perhaps one ``simulation``, and a column per score; a row per
        model, or per model and test simulation.

    Raises
    ------
    ValueError
        If it cannot be read, lacks the seeds or scores, or a score is not a number.
    """
    try:
        table = pd.read_csv(path, skipinitialspace=True)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{path} is no readable CSV file: {error}") from None
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``surrlab verdict`` to a parser."""
    parser.add_argument("raw", metavar="RAW.csv", help="scores of models of raw data")
    parser.add_argument("lossy", metavar="LOSSY.csv", help="scores of models of lossy data")
    parser.add_argument(
        "--margin",
        action="append",
        default=[],
        metavar="SCORE=LOSS",
        help="loss that still counts as harmless, such as l1=5%% or psnr=0.5dB; by longest prefix",
    )
    parser.add_argument(
        "--better",
        nargs="+",
        default=[],
        metavar="SCORE=lower|higher",
        help="direction of a score; the rule: psnr… and …correlation higher, others lower",
    )
    parser.add_argument("--confidence", type=float, default=0.95)
    parser.add_argument("--looks", default=",".join(map(str, LOOKS)), help="planned seeds")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(args: argparse.Namespace) -> int:
    """Print the verdict. Returns 0 whatever its state, 2 after a sentence about bad input."""
    try:
        looks = _looks(args.looks)
        found = verdict(
            read_scores(args.raw),
            read_scores(args.lossy),
            margins=_pairs(args.margin),
            better=_pairs(args.better),
            confidence=args.confidence,
            looks=looks,
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


def main(argv=None) -> int:
    """Run ``surrlab verdict`` on its own."""
    parser = argparse.ArgumentParser(prog="surrlab verdict", description=__doc__)
    add_arguments(parser)
    return run(parser.parse_args(argv))


def _looks(text) -> tuple[int, ...]:
    try:
        return tuple(int(look) for look in text.split(","))
    except ValueError:
        raise ValueError(f"looks are numbers of seeds, such as 3,5,8,12, not {text!r}") from None


def _pairs(texts) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise ValueError(f"write SCORE=VALUE, such as l1=5%, not {text!r}")
        pairs[name.strip()] = value.strip()
    return pairs
