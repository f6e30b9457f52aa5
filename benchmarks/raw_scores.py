"""Scores of many raw models of the quick preset: the real spread and correlation of the metrics.

python benchmarks/raw_scores.py [RESULTS]    # writes benchmarks/raw_scores.csv, 16 models
python benchmarks/verdict.py --only real
"""

import sys
from pathlib import Path

import surrlab
from surrlab import evaluation, studies

N_MODELS = 16


def main(results=None):
    study = surrlab.open_study("quick", results, n_raw_models=N_MODELS, n_test_simulations=0)
    scores = evaluation.scores(studies.variability_study(study))
    scores.groupby("seed").mean().to_csv(Path(__file__).with_suffix(".csv"))


if __name__ == "__main__":
    main(*sys.argv[1:])
