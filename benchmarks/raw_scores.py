"""Scores of many raw models of the quick preset: the real spread and correlation of the metrics.

python benchmarks/raw_scores.py [RESULTS]    # writes benchmarks/raw_scores.csv, 16 models
python benchmarks/verdict.py --scores benchmarks/raw_scores.csv
"""

import dataclasses
import sys
from pathlib import Path

from surrlab import evaluation, studies
from surrlab.studies import presets

SEEDS = tuple(range(16))


def main(results="results/quick"):
    config = dataclasses.replace(presets.get("quick"), raw_seeds=SEEDS)
    study = studies.open_study(config, results)
    scores = evaluation.scores(studies.variability_study(study))
    scores.to_csv(Path(__file__).with_suffix(".csv"))


if __name__ == "__main__":
    main(*sys.argv[1:])
