"""Which codec leaves the better model: `quick` with each, at the same error and the same bytes.

    python benchmarks/codec_verdicts.py RESULTS [CODEC ...]    # beside zfp; default: sz3 auto

One study of the preset for zfp and for each codec, on one ensemble and with the same raw models:
what every version costs, and the answer. Then each codec's models against zfp's of the same seeds,
as a verdict compares lossy with raw: at Algorithm 1's tolerances (the same error), and at the
finest version that takes no more bytes on disk than zfp's at Algorithm 1 (the same bytes). It goes
on where it stopped; numbers of finished codecs stand in benchmarks/codec_verdicts.json.
"""

import json
import sys
from pathlib import Path

from machine import machine

from surrlab import studies
from surrlab.studies.answer import judge, versions
from surrlab.studies.experiments import algorithm_1, ratios

HERE = Path(__file__).parent
LADDER = {"factors": [0.25, 0.5, 1.0, 2.0, 4.0], "looks": [3, 5], "n_raw_models": 5}
BASE = "zfp"


def worst(verdict, kind):
    """Shift, interval and bound of the score of a kind (``l1``, ``psnr``) that lost most."""
    rows = verdict.table[[name.split("_")[0] == kind for name in verdict.table.index]]
    row = rows.loc[rows["shift"].idxmax()]
    numbers = {key: round(float(row[key]), 4) for key in ("shift", "low", "high", "bound")}
    return numbers | {"score": row.name, "unit": row["unit"]}


def cost(verdict):
    """What a verdict says, as JSON."""
    shifts = {kind: worst(verdict, kind) for kind in ("l1", "psnr")}
    said = {"state": verdict.state, "reason": verdict.reason, "n_seeds": len(verdict.seeds)}
    return said | shifts


def of_version(table, name):
    """Rows of an evaluation that belong to one version."""
    return table.isel(model=table["version"].values == name)


def studied(results, codec):
    """A codec's study, the evaluation of its models, and its numbers."""
    study = studies.open_study("quick", results, codec=codec, **LADDER)
    found = studies.tolerance_search(study)
    table, verdicts = studies.lossy_training(study)
    known = versions(study)
    rows = []
    for name, verdict in verdicts.items():
        size = ratios(study, known[name])
        row = {"version": name, "factor": known[name].factor}
        rows.append(row | {"payload": size.payload, "file": size.file} | cost(verdict))
    said = studies.answer(study)
    numbers = {
        "codec": algorithm_1(study).codec,
        "error_used": float((found["error"] / found["model_error"]).mean()),
        "versions": rows,
        "answer": {key: said[key] for key in ("sentence", "ratio_payload", "ratio_file")},
    }
    return study, table, numbers


def same_bytes(rows, file_ratio):
    """The finest of a codec's versions that takes no more bytes on disk, or None."""
    return next((row["version"] for row in rows if row["file"] >= file_ratio), None)


def main(results, *codecs):
    out, report = HERE / "codec_verdicts.json", {"codecs": {}}
    base_study, base_table, report["codecs"][BASE] = studied(results, BASE)
    base, base_ratio = algorithm_1(base_study), ratios(base_study, algorithm_1(base_study)).file
    for codec in codecs or ("sz3", "auto"):
        study, table, numbers = studied(results, codec)
        against = {
            "same error": algorithm_1(study).name,
            "same bytes": same_bytes(numbers["versions"], base_ratio),
        }
        numbers["against zfp"] = {
            label: {"version": name}
            | cost(judge(study, of_version(base_table, base.name), of_version(table, name)))
            for label, name in against.items()
            if name in table["version"].values
        }
        report["codecs"][codec] = numbers
        report["machine"] = machine("torch", "numpy", "zfpy", "hdf5plugin")
        out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
        print(codec, numbers["answer"]["sentence"], flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
