"""The better the model, the less may go: does it hold from network to network?

    python benchmarks/networks.py RESULTS [PRESET [NETWORK ...]]

A study of the preset (default: quick) for each network (default: all three), each with about as
many parameters, on one ensemble: the error of its raw models, the tolerance and ratio that
Algorithm 1 gives it, and its own answer. It goes on where it stopped. Numbers of the networks that
are finished stand in benchmarks/networks.json (RESULTS/networks.json for another preset).
"""

import json
import sys
from pathlib import Path

import numpy as np
from machine import machine

from surrlab import studies
from surrlab.studies.config import get_preset

HERE = Path(__file__).parent
NETWORKS = {
    "generator": None,  # the preset's own: transposed convolutions
    "unet": ["unet", {"features": 16, "max_features": 96}],
    "vit": ["vit", {"width": 96, "depth": 4}],
}
LADDER = {"looks": [3], "factors": [0.5, 1.0, 2.0], "n_raw_models": 4}


def studied(name, results, preset):
    """Numbers of one network's study."""
    folder = results / name / preset
    folder.mkdir(parents=True, exist_ok=True)
    for shared in ("ensemble", "test_ensemble"):  # simulated once, for all networks
        first = results / next(iter(NETWORKS)) / preset / shared
        if first.exists() and not (folder / shared).exists():
            (folder / shared).symlink_to(first.absolute())
    study = studies.open_study(preset, folder.parent, network=NETWORKS[name], **LADDER)
    found = studies.tolerance_search(study)
    fit = studies.training_and_test_error(study)
    table, verdicts = studies.lossy_training(study)
    studies.verdict_table(study, table, verdicts)
    answer = study.results.summarise("answer", studies.answer(study))
    answer["sentence"] = answer["sentence"].partition("; to go on")[0]  # by which command
    ratios = studies.ratios(study, studies.algorithm_1(study))
    relative = found["tolerance"].median("sample") / study.field_statistics["scale"]
    ensemble = study.ensemble
    arguments = len(ensemble.input_names), len(ensemble.fields), ensemble.grid.shape
    network = study.config.train.network
    return {
        "network": network.config(),
        "parameters": sum(p.numel() for p in network.build(*arguments).parameters()),
        "training_l1": float(fit["training L1"].mean()),
        "test_l1": float(fit["test L1"].mean()),
        "tolerance_std": float(np.exp(np.log(relative).mean())),
        "payload": ratios.payload,
        "file": ratios.file,
        "answer": {key: answer[key] for key in ("sentence", "ratio_payload", "ratio_file", "rows")},
    }


def main(results, preset="quick", *names):
    results = Path(results)
    get_preset(preset)
    out = (HERE if preset == "quick" else results) / "networks.json"
    report = json.loads(out.read_text()) if out.exists() else {"preset": preset, "networks": {}}
    for name in names or NETWORKS:
        row = studied(name, results, preset)
        report["networks"][name] = row
        report["machine"] = machine("torch", "numpy", "zfpy")
        out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
        print(
            f"| {name} | {row['parameters']:,} | {row['test_l1']:.3f} | "
            f"{row['tolerance_std']:.3f} | {row['payload']:.1f} ({row['file']:.1f}) | "
            f"{row['answer']['sentence']} |",
            flush=True,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
