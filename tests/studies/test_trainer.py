"""Any trainer: a command gets data and inputs, and what it predicts is judged like our own."""

import json
import shlex
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import foreign
import h5py
import masked
import numpy as np
import pytest
from waves import waves

import surrlab
from surrlab import studies
from surrlab.compression import compress
from surrlab.compression.codecs import codec_class
from surrlab.data.open import open_ensemble
from surrlab.evaluation import evaluate, model_errors
from surrlab.studies._trainer import Predictions, Trainer, train_elsewhere, write_data, write_inputs
from surrlab.studies.models import folder

pytestmark = pytest.mark.timeout(300)
SCRIPT = Path(__file__).with_name("a_trainer.py")
COMMAND = shlex.join([sys.executable, str(SCRIPT), "{data}", "{inputs}", "{seed}", "{out}"])
SMALL = {"looks": [2], "n_raw_models": 3, "generation_seeds": [1, 2], "factors": [1.0, 4.0]}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "waves"
    waves(path, [6, 5, 6, 4, 6, 5, 3, 6, 1, 4], shape=(9, 7))
    return path


@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture(scope="module")
def study(path, tmp_path_factory, pool):
    results = tmp_path_factory.mktemp("study")
    return surrlab.open_study(None, results, path, executor=pool, trainer=COMMAND, **SMALL)


@pytest.fixture(scope="module")
def answer(study):
    return studies.answer(study)


def test_a_study_of_another_s_trainer_ends_with_an_answer(study, answer):
    assert answer["sentence"].endswith(".") and len(answer["rows"]) == 2
    evaluation, found = studies.lossy_training(study)
    assert found and set(evaluation["kind"].values) == {"raw", "lossy"}
    students = studies.generation_loss(study)
    assert (students["kind"] == "generated").sum() == 2
    pictures = studies.sample_predictions(study, study.test_set.simulations[0], 0)
    assert pictures.sizes["model"] >= 3
    history = studies.histories(study, studies.raw_models(study))
    assert history["loss"].shape == (3, 0) and study.figure("history") is None
    certificate = studies.certify(study, answer)
    assert certificate["training"] == {"trainer": study.config.trainer, "layout": "professor"}


def test_errors_are_of_what_the_trainer_wrote(study, answer):
    model = studies.raw_models(study)[1]
    with h5py.File(folder(study, model) / "predictions.h5") as file:
        made = file["fields"][:]
    train_set, test_set = study.train_set, study.test_set
    assert len(made) == len(train_set.samples) + len(test_set.samples)
    ours = Predictions.stored(folder(study, model), test_set, "test")
    np.testing.assert_array_equal(ours.read(2), made[len(train_set.samples) + 2])
    table = evaluate(ours, test_set, study.field_statistics, study.quantities)
    truth = np.concatenate([test_set.read_simulation(s) for s in test_set.simulations])
    expected = np.abs(made[len(train_set.samples) :].astype(float) - truth).mean((2, 3))
    np.testing.assert_allclose(table["l1"], expected)
    s = train_set.simulations[3]
    part = train_set.select([s])
    errors = model_errors(Predictions.stored(folder(study, model), part, "training"), part)
    expected = np.abs(made[train_set.of(s)].astype(float) - train_set.read_simulation(s))
    np.testing.assert_allclose(errors["model_error"], expected.mean((2, 3)))


def test_test_fields_are_never_given_away(study, answer):
    """Of each version the trainer sees the training simulations, with what compression left."""
    truth = {s: study.train_set.read_simulation(s) for s in study.train_set.simulations}
    folders = sorted((study.path / "trainer").glob("professor-*"))
    assert len(folders) == 4  # raw, two versions, a model's output
    for one in folders:
        names = {f"simulation_{s:06d}.h5" for s in truth}
        assert {p.name for p in one.iterdir()} == names | {"filelist.txt"}
        lines = (one / "filelist.txt").read_text().splitlines()
        assert len(lines) == len(study.train_set.samples)
    raw = study.path / "trainer" / f"professor-{study.train_set.digest}"
    for s, samples in truth.items():
        with h5py.File(raw / f"simulation_{s:06d}.h5") as file:
            assert file["fields"].is_virtual  # raw fields are shown where they lie
            np.testing.assert_array_equal(file["fields"], samples)
            positions = study.train_set.of(s)
            np.testing.assert_array_equal(file["inputs"], study.train_set.inputs[positions])
    (inputs,) = (study.path / "trainer").glob("inputs-*.h5")
    with h5py.File(inputs) as file:
        both = np.concatenate([study.train_set.inputs, study.test_set.inputs])
        np.testing.assert_array_equal(file["inputs"], both)


def test_what_was_trained_is_not_trained_again(study, answer, monkeypatch):
    def run(*_, **__):
        raise AssertionError("the trainer was started again")

    monkeypatch.setattr("subprocess.run", run)
    for table in study.path.glob("models/*/evaluation*.nc"):
        table.unlink()
    for table in (study.path / "judged").glob("*.nc"):
        table.unlink()
    again = surrlab.open_study(None, study.path.parent, study.source, executor=study.executor,
                               trainer=COMMAND, **SMALL)  # fmt: skip
    assert studies.answer(again) == answer
    other = studies.StudyConfig(**vars(again.config) | {"trainer": COMMAND + " x"})
    models = studies.raw_models(again)
    assert (
        folder(studies.Study(other, again.path, again.source), models[0]).name
        != folder(again, models[0]).name
    )


def test_native_data_are_the_compressed_files_themselves(study, answer, pool, tmp_path):
    trainer = Trainer(COMMAND, "native")
    lossy = studies.compressed(study, studies.algorithm_1(study))
    assert write_data(trainer, lossy, tmp_path, pool) == Path(lossy.path).absolute()
    raw = open_ensemble(write_data(trainer, study.train_set, tmp_path, pool))
    assert all(file.stat().st_nlink > 1 for file in raw.files)  # no byte is written twice
    assert raw.simulations == study.train_set.simulations
    s = raw.simulations[2]
    np.testing.assert_array_equal(raw.read_simulation(s), study.train_set.read_simulation(s))
    stamp = (tmp_path / f"native-{study.train_set.digest}/ensemble.json").stat().st_mtime_ns
    again = write_data(trainer, study.train_set, tmp_path, pool)
    assert (again / "ensemble.json").stat().st_mtime_ns == stamp


def test_native_data_hold_the_totals_that_were_kept(ensemble, pool, tmp_path, capsys):
    """Files with offsets beside their fields are decoded: a program would read the fields alone."""
    one = ensemble.select([1])
    kept = compress(one, 0.1, tmp_path / "kept", keep=("mass",), executor=pool)
    data = write_data(Trainer(COMMAND, "native"), kept, tmp_path, pool)
    assert data != kept.path and "so that mass stay exact" in capsys.readouterr().out
    with h5py.File(data / "simulation_00001.h5") as file:
        density = file["density"][:]
    np.testing.assert_array_equal(density, kept.read_simulation(1)[:, 0])
    truth = one.read_simulation(1)[:, 0].sum((1, 2), dtype=float)
    np.testing.assert_allclose(density.sum((1, 2), dtype=float), truth, rtol=1e-7)


def test_fields_with_offsets_are_not_shown_without_them(ensemble, pool, tmp_path):
    """Bit rounding leaves plain HDF5 that every program reads: less what keeps the mass."""
    one = ensemble.select([1])
    codec = codec_class("bitround")
    kept = compress(one, 0.1, tmp_path / "kept", codec=codec, keep=("mass",), executor=pool)
    data = write_data(Trainer(COMMAND), kept, tmp_path, pool)
    with h5py.File(data / "simulation_000001.h5") as file:
        assert not file["fields"].is_virtual
        np.testing.assert_array_equal(file["fields"], kept.read_simulation(1))


@pytest.mark.parametrize(
    ("write", "shown"),
    [
        (foreign.professor, True),
        (lambda folder: foreign.professor(folder, 0), False),  # a sample has no axis of times
        (foreign.well, False),  # components of vectors come last
        (foreign.netcdf_runs, True),
        (lambda folder: foreign.netcdf(folder, compression="gzip"), True),
        (foreign.pdebench_groups, False),  # channels come last
        (foreign.npz, False),
        (lambda folder: (masked.write(folder), None), False),  # surrlab knows the masks
    ],
)
def test_raw_data_of_any_layout_are_shown_where_they_lie(tmp_path, pool, write, shown):
    path, _ = write(tmp_path / "it")
    ensemble = open_ensemble(path, card=foreign.NPZ_CARD if path.suffix == ".npz" else None)
    some = ensemble.select(ensemble.simulations[1:3])
    folder = write_data(Trainer(COMMAND), some, tmp_path / "data", pool)
    lines = (folder / "filelist.txt").read_text().splitlines()
    samples = []
    for name, row in map(str.split, lines):
        with h5py.File(folder / name) as file:
            assert file["fields"].is_virtual == shown
            samples.append(file["fields"][int(row)])
            assert file["fields"].dtype == some.dtype
    expected = np.concatenate([some.read_simulation(s) for s in some.simulations])
    np.testing.assert_array_equal(samples, expected)


def test_data_that_moved_are_shown_anew(tmp_path, pool):
    """HDF5 shows NaN where a file is gone, and says nothing."""
    path, _ = foreign.netcdf_runs(tmp_path / "it")
    trainer, folder = Trainer(COMMAND), tmp_path / "data"
    first = write_data(trainer, open_ensemble(path), folder, pool)
    stamps = [file.stat().st_mtime_ns for file in sorted(first.iterdir())]
    assert write_data(trainer, open_ensemble(path), folder, pool) == first
    assert [file.stat().st_mtime_ns for file in sorted(first.iterdir())] == stamps
    path = path.rename(tmp_path / "there")
    moved = open_ensemble(path)
    assert write_data(trainer, moved, folder, pool) == first
    with h5py.File(first / "simulation_000001.h5") as file:
        np.testing.assert_array_equal(file["fields"], moved.read_simulation(1))


@pytest.mark.parametrize(
    ("mode", "match"),
    [
        ("fails", r"the trainer ended with 1 \(no room left in memory\); all that it said is in"),
        ("nothing", "the trainer wrote no .*predictions.h5"),
        ("text", "the trainer left .*predictions.h5 damaged"),
        ("other name", "the trainer wrote no dataset 'fields' into"),
        ("half", "the trainer left .*predictions.h5 half written"),
        ("chunks", "the trainer left .*predictions.h5 half written"),
        ("few", r"the trainer wrote float64 \(45, 4, 9, 7\) into .*, not float32 \(46, 4, 9, 7\)"),
        ("nan", "the trainer predicts NaN or Inf in row 2 of"),
    ],
)
def test_a_trainer_that_does_not_do_its_work(study, pool, tmp_path, mode, match):
    trainer = Trainer(f"{COMMAND} '{mode}'")
    sides = {"training": study.train_set, "test": study.test_set}
    data = write_data(trainer, study.train_set, tmp_path, pool)
    inputs = write_inputs(sides, tmp_path)
    with pytest.raises(RuntimeError, match=match) as error:
        train_elsewhere(trainer, {"seed": 3}, sides, data, inputs, tmp_path / "model")
    assert "\n" not in str(error.value)
    good = Trainer(COMMAND)  # the same folder, once the trainer is repaired
    train_elsewhere(good, {"seed": 3}, sides, data, inputs, tmp_path / "model")
    assert json.loads((tmp_path / "model" / "trainer.json").read_text())["run"] == {"seed": 3}


def test_a_program_that_is_not_there(study, tmp_path):
    trainer = Trainer("no_such_program {data} {inputs} {seed} {out}")
    sides = {"training": study.train_set, "test": study.test_set}
    with pytest.raises(RuntimeError, match="the trainer 'no_such_program' cannot be started"):
        train_elsewhere(trainer, {"seed": 3}, sides, tmp_path, tmp_path, tmp_path / "model")


@pytest.mark.parametrize(
    ("command", "match"),
    [
        ("train {data} {inputs} {out}", "needs {seed} among its arguments"),
        ("train {data} {seed} {out}", "needs {inputs}"),
        ("train '{data} {inputs} {seed} {out}", "cannot be parted: No closing quotation"),
    ],
)
def test_a_command_that_cannot_do_is_refused_at_once(path, tmp_path, command, match):
    with pytest.raises(ValueError, match=match):
        surrlab.open_study(None, tmp_path, path, trainer=command)
    with pytest.raises(ValueError, match="trainer_layout is professor or native, not 'csv'"):
        surrlab.open_study(None, tmp_path, path, trainer=COMMAND, trainer_layout="csv")


def test_files_are_named_from_the_root_on_and_nothing_meets_a_shell(tmp_path, monkeypatch):
    (tmp_path / "my trainer.py").touch()
    monkeypatch.chdir(tmp_path)
    trainer = Trainer("python 'my trainer.py' --data={data} {inputs} {seed} {out} '; rm *'")
    words = trainer.arguments(data="/d e", inputs="i", seed=4, out="o")
    assert words == [
        "python",
        str(tmp_path / "my trainer.py"),
        "--data=/d e",
        "i",
        "4",
        "o",
        "; rm *",
    ]
    assert Trainer(trainer.command) == trainer
