"""The one list of figures: notebooks and command draw from it, and from saved tables alone."""

import dataclasses
import re
import runpy
import shutil

import matplotlib
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from PIL import Image
from synthetic import TABLES

from surrlab import _notebook_runner, cli
from surrlab._tables import write_table
from surrlab.figures import FIGURES, catalogue, draw
from surrlab.studies import config


def study(path, *names):
    """A folder of these invented tables, and nothing else."""
    folder = path / "quick"
    folder.mkdir(exist_ok=True)
    for name in names:
        write_table(folder / f"{name}.nc", TABLES[name])
    return folder


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return study(tmp_path_factory.mktemp("results"), *TABLES)


def test_every_figure_of_the_notebooks_is_in_the_list_and_the_other_way_round():
    called = {}
    for notebook in sorted(_notebook_runner.FOLDER.glob("[0-9]_*.ipynb")):
        code = "".join(
            cell.source for cell in nbformat.read(notebook, 4).cells if cell.cell_type == "code"
        )
        assert not re.search(r"savefig|figures\w*\.", code)  # there is no other way to draw
        for name in re.findall(r'study\.figure\("(\w+)"\)', code):
            called[name] = notebook.stem
        for names in re.findall(r"for name in \((.*?),?\):", code):  # the paper's, all together
            for name in names.replace('"', "").split(", "):
                called.setdefault(name, notebook.stem)
    assert list(called) == list(FIGURES)
    assert called == {name: spec.notebook for name, spec in FIGURES.items()}


@pytest.mark.parametrize("name", [*FIGURES, *catalogue.EXTRAS])
def test_nothing_is_clipped_and_the_caption_is_whole(name, results):
    figure = draw(results, name)
    box = figure.get_tightbbox()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= 10 and box.y1 <= figure.get_figheight()
    assert figure.get_suptitle()
    caption = figure.legends[0].get_title().get_text()
    assert caption.endswith(".") and not re.search(r"nan|inf\b|\{", caption)
    assert not plt.get_fignums()  # pyplot knows nothing of it, so a notebook can draw hundreds
    assert (results / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_draws_the_same_bytes_from_tables_alone(results, capsys):
    names = [*FIGURES, *catalogue.EXTRAS]
    for name in names:
        if not (results / "figures" / f"{name}.png").exists():  # where this test runs alone
            draw(results, name)
    before = {path: path.read_bytes() for path in results.glob("figures/*")}
    stamps = {path: path.stat().st_mtime_ns for path in results.glob("*.nc")}
    shutil.rmtree(results / "figures")
    assert cli.main(["figures", "--results", str(results.parent)]) == 0
    assert {path: path.read_bytes() for path in results.glob("figures/*")} == before
    assert {path: path.stat().st_mtime_ns for path in results.glob("*.nc")} == stamps
    assert len(before) == len(names)
    said = capsys.readouterr().out
    assert "not drawn" not in said and all(name in said for name in names)


def test_a_missing_or_old_table_is_named_and_the_rest_is_drawn(tmp_path):
    results = study(tmp_path, "verdicts", "history")
    old = TABLES["raw_curves"].drop_vars("version")
    write_table(results / "raw_curves.nc", old)
    foreign = TABLES["lossy_training"][["normalised_l1"]].drop_attrs(deep=False)
    write_table(results / "lossy_training.nc", foreign)
    drawn, missing = catalogue.draw_all(results)
    assert drawn == ["history", "verdict"]
    assert len(missing) == len(FIGURES) - 2
    for name in ("totals", "momentum_band_lossy"):
        path = results / "curves.nc"
        assert f"{name}: there is no {path}; 5_lossy_training.ipynb makes it" in missing
    with pytest.raises(FileNotFoundError, match="surrlab study --extra convergence makes it"):
        draw(results, "convergence")
    (band,) = (said for said in missing if said.startswith("momentum_band: "))
    assert f"{results / 'raw_curves.nc'} lacks" in band and "version" in band
    assert band.endswith("another version made it, 2_variability.ipynb makes it again")
    said = "correlation: the ensemble names no curve quantity"
    assert any(line.startswith(said) for line in missing)  # not every ensemble has one


def test_the_command_names_what_it_does_not_draw(tmp_path, capsys):
    results = study(tmp_path, "verdicts", "history")
    assert cli.main(["figures", "--results", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[0] == f"{results / 'figures'}: history, verdict"
    assert said.count("\nnot drawn: ") == len(FIGURES) - 2


def test_other_formats_hold_the_same_figure_to_the_byte(results, capsys):
    kinds = ("svg", "pdf")
    draw(results, "verdict", formats=kinds)
    paths = [results / "figures" / f"verdict.{kind}" for kind in kinds]
    before = [path.read_bytes() for path in paths]
    assert before[0].startswith(b"<?xml") and before[1].startswith(b"%PDF")
    arguments = ["figures", "--results", str(results.parent), "--format", "png,svg,pdf"]
    assert cli.main(arguments) == 0
    assert [path.read_bytes() for path in paths] == before
    assert len(list((results / "figures").glob("*.svg"))) == len(FIGURES) + len(catalogue.EXTRAS)
    for kind in kinds:  # other tests count what lies there
        for path in (results / "figures").glob(f"*.{kind}"):
            path.unlink()
    with pytest.raises(ValueError, match="figures are png, svg, pdf, not gif"):
        draw(results, "verdict", formats=("gif",))


def test_a_figure_that_is_not_in_the_list(tmp_path):
    with pytest.raises(KeyError, match="there is no figure 'momentum'; there are evolution, hist"):
        draw(tmp_path, "momentum")


def test_times_stay_numbers_whatever_their_unit(tmp_path):
    table = TABLES["evolution"].copy()
    table["time"] = table["time"].assign_attrs(units="hours")  # xarray knows how to decode these
    write_table(tmp_path / "evolution.nc", table)
    titles = [ax.get_title() for ax in draw(tmp_path, "evolution").axes]
    assert titles[4] == "10 hours"
    np.testing.assert_array_equal(table["time"], TABLES["evolution"]["time"])


def test_table_one_has_the_ensembles_at_hand(ensemble, tmp_path, capsys):
    study(tmp_path, "verdicts")
    shutil.copytree(ensemble.path, tmp_path / "mine" / "ensemble")
    broken = shutil.copytree(ensemble.path, tmp_path / "broken" / "ensemble")
    ensemble_file = next(broken.glob("*.h5"))
    ensemble_file.unlink()
    assert cli.main(["figures", "--results", str(tmp_path)]) == 0
    *_, mine, rt, pchip = capsys.readouterr().out.splitlines()
    assert mine.split() == ["rayleigh-taylor", "(mine)", "0.00141", "24", "×", "8", "6", "306"]
    assert rt.split()[:3] == ["RT", "(paper)", "450"] and pchip.split()[-1] == "152184"


def test_a_folder_without_tables_is_an_error(tmp_path, capsys):
    assert cli.main(["figures", "--preset", "smoke", "--results", str(tmp_path)]) == 1
    assert "smoke holds no table that a figure is drawn from" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_user_s_tex_is_not_asked(tmp_path, monkeypatch):
    """With usetex in a matplotlibrc, and no LaTeX: the picture is that of everybody."""
    study(tmp_path, "verdicts")
    draw(tmp_path / "quick", "verdict")
    image = tmp_path / "quick" / "figures" / "verdict.png"
    plain = image.read_bytes()
    image.unlink()
    monkeypatch.setenv("PATH", "/nonexistent")
    with matplotlib.rc_context({"text.usetex": True}):
        draw(tmp_path / "quick", "verdict").savefig(tmp_path / "shown.png")
    assert image.read_bytes() == plain


def test_gallery(tmp_path, monkeypatch):
    """Small pictures from a simulation of its own and from the tables of the studies there are."""
    study(tmp_path, "verdicts")
    coarse = dataclasses.replace(config.GALLERY["gallery-rt"], shape=(24, 8))
    monkeypatch.setattr(config, "GALLERY", {"gallery-rt": coarse})
    script = runpy.run_path(str(_notebook_runner.FOLDER.resolve().parent / "docs/pictures.py"))
    for _ in range(2):
        script["main"](tmp_path / "out", tmp_path)
    made = {path.name: path for path in (tmp_path / "out").iterdir()}
    names = {
        "quick-verdict.png",
        "gallery-rt-evolution.png",
        "gallery-rt-compressed.png",
        "peers.png",
        "codec-verdicts.png",
    }
    assert set(made) == names
    for path in made.values():
        with Image.open(path) as picture:
            assert picture.mode == "P" and picture.width == 1100


def test_committed_pictures_are_small():
    pictures = sorted((_notebook_runner.FOLDER / "figures").glob("*.png"))
    assert pictures and all(path.stat().st_size < 150_000 for path in pictures)
