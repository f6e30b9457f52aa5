"""The one list of figures: notebooks and command draw from it, and from saved tables alone."""

import dataclasses
import re
import shutil
from functools import partial

import matplotlib.pyplot as plt
import nbformat
import pytest
from PIL import Image
from synthetic import TABLES
from test_throughput import epoch_table, rate_table

from surrlab import cli, studies
from surrlab.figures import catalogue
from surrlab.figures.catalogue import PLATES
from surrlab.studies import presets

ALL = TABLES | {"loading_rates": rate_table(), "epoch_times": epoch_table()}


def study(path, *names):
    """A folder of these invented tables, and nothing else."""
    for name in names:
        studies.keep(path / "quick" / f"{name}.nc", None, partial(ALL.get, name))
    return path / "quick"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return study(tmp_path_factory.mktemp("results"), *ALL)


def test_every_figure_of_the_notebooks_is_in_the_list_and_the_other_way_round():
    called = {}
    for notebook in sorted(cli.NOTEBOOKS.glob("[0-9]_*.ipynb")):
        code = "".join(
            cell.source for cell in nbformat.read(notebook, 4).cells if cell.cell_type == "code"
        )
        assert not re.search(r"savefig|figures\w*\.", code)  # there is no other way to draw
        for name in re.findall(r'plates\.draw\(study\.path, "(\w+)"\)', code):
            called[name] = notebook.stem
    assert list(called) == list(PLATES)
    assert called == {name: plate.notebook for name, plate in PLATES.items()}


@pytest.mark.parametrize("name", PLATES)
def test_nothing_is_clipped_and_the_caption_is_whole(name, results):
    figure = catalogue.draw(results, name)
    box = figure.get_tightbbox()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= 10 and box.y1 <= figure.get_figheight()
    assert figure.get_suptitle()
    caption = figure.legends[0].get_title().get_text()
    assert caption.endswith(".") and not re.search(r"nan|inf\b|\{", caption)
    assert not plt.get_fignums()  # pyplot knows nothing of it, so a notebook can draw hundreds
    assert (results / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_draws_the_same_bytes_from_tables_alone(results, capsys):
    for name in PLATES:
        if not (results / "figures" / f"{name}.png").exists():  # where this test runs alone
            catalogue.draw(results, name)
    before = {path: path.read_bytes() for path in results.glob("figures/*.png")}
    stamps = {path: path.stat().st_mtime_ns for path in results.glob("*.nc")}
    shutil.rmtree(results / "figures")
    assert cli.main(["figures", "--results", str(results.parent)]) == 0
    assert {path: path.read_bytes() for path in results.glob("figures/*.png")} == before
    assert {path: path.stat().st_mtime_ns for path in results.glob("*.nc")} == stamps
    assert len(before) == len(PLATES)
    said = capsys.readouterr().out
    assert "not drawn" not in said and all(name in said for name in PLATES)


def test_a_missing_or_old_table_is_named_and_the_rest_is_drawn(tmp_path, capsys):
    results = study(tmp_path, "verdicts", "history")
    old = TABLES["curves"].drop_attrs(deep=False)
    old.to_netcdf(results / "raw_curves.nc", engine="h5netcdf")
    assert cli.main(["figures", "--results", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    for name in ("totals", "momentum_band_lossy"):
        assert f"{name}: there is no {results / 'curves.nc'}; 5_lossy_training.ipynb makes" in said
    assert f"momentum_band: {results / 'raw_curves.nc'} lacks 'momentum'; another" in said
    assert said.splitlines()[0] == f"{results / 'figures'}: history, verdict"
    assert said.count("\nnot drawn: ") == len(PLATES) - 2


def test_table_one_has_the_ensembles_at_hand(ensemble, tmp_path, capsys):
    study(tmp_path, "verdicts")
    shutil.copytree(ensemble.path, tmp_path / "mine" / "ensemble")
    broken = shutil.copytree(ensemble.path, tmp_path / "broken" / "ensemble")
    ensemble_file = next(broken.glob("*.h5"))
    ensemble_file.unlink()
    assert cli.main(["figures", "--results", str(tmp_path)]) == 0
    *_, mine, rt, pchip = capsys.readouterr().out.splitlines()
    assert mine.split() == ["rayleigh-taylor", "(mine)", "0.00141", "24", "8", "6", "306"]
    assert rt.split()[:3] == ["RT", "(paper)", "450"] and pchip.split()[-1] == "152184"


def test_a_folder_without_tables_is_an_error(tmp_path, capsys):
    assert cli.main(["figures", "--preset", "smoke", "--results", str(tmp_path)]) == 1
    assert "smoke holds no table that a figure is drawn from" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_gallery(tmp_path, monkeypatch):
    """Small pictures from a simulation of its own and from the tables of the studies there are."""
    study(tmp_path, "verdicts")
    coarse = dataclasses.replace(presets.GALLERY["gallery-rt"], shape=(24, 8))
    monkeypatch.setattr(presets, "GALLERY", {"gallery-rt": coarse})
    for _ in range(2):
        assert cli.main(["gallery", str(tmp_path / "out"), "--results", str(tmp_path)]) == 0
    made = {path.name: path for path in (tmp_path / "out").iterdir()}
    names = {"quick-verdict.png", "gallery-rt-evolution.png", "gallery-rt-compressed.png"}
    assert set(made) == names
    for path in made.values():
        with Image.open(path) as picture:
            assert picture.mode == "P" and picture.width == 1100


def test_committed_pictures_are_small():
    pictures = sorted((cli.NOTEBOOKS / "figures").glob("*.png"))
    assert pictures and all(path.stat().st_size < 150_000 for path in pictures)
