import numpy as np
import pytest

from surrlab import data
from surrlab.data import native
from surrlab.data import open as opening
from surrlab.data.ensemble import InMemoryEnsemble
from surrlab.data.fields import Field


@pytest.fixture
def layouts(monkeypatch):
    """A registry that a test may fill."""
    monkeypatch.setattr(opening, "_LAYOUTS", dict(opening._LAYOUTS))


def open_npy(path, card):
    field = Field(card.get("name", "field"), card.get("unit", "1"))
    return InMemoryEnsemble.of_field(np.load(path), field, name=str(path))


def save(path, values):
    with path.open("wb") as file:
        np.save(file, values)


def register(name="npy", suffix=".array"):
    data.register_layout(name, open_npy, lambda path: path.suffix == suffix)


def test_an_ensemble_opens_by_what_it_is(write, monkeypatch):
    made, _ = write()
    for opened in (data.open_ensemble(made.path), data.open_ensemble(str(made.path), "native")):
        assert isinstance(opened, native.NativeEnsemble) and opened.digest == made.digest
    monkeypatch.setenv("HOME", str(made.path.parent))
    assert data.open_ensemble("~/written").digest == made.digest
    assert data.open_ensemble("~/written", layout="native").path == made.path


def test_another_layout_registers_and_is_recognised(layouts, tmp_path):
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    save(tmp_path / "t.array", values)
    with pytest.raises(FileNotFoundError, match=r"none of the layouts native, .* recognises it"):
        data.open_ensemble(tmp_path / "t.array")
    register()
    card = {"name": "t", "unit": "K"}
    for layout in (None, "npy"):
        opened = data.open_ensemble(tmp_path / "t.array", layout, card)
        np.testing.assert_array_equal(opened.read(0)[0], values)
        assert opened.fields == (Field("t", "K"),)
    assert data.open_ensemble(tmp_path / "t.array").field_names == ("field",)


def test_two_layouts_that_fit_are_named(layouts, tmp_path):
    save(tmp_path / "t.array", np.ones((2, 3)))
    register("first")
    register("second")
    with pytest.raises(ValueError, match=r"looks like first and second: name the layout"):
        data.open_ensemble(tmp_path / "t.array")
    assert data.open_ensemble(tmp_path / "t.array", layout="second").shape == (1, 1, 2, 3)


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no .*nowhere"):
        data.open_ensemble(tmp_path / "nowhere")
    with pytest.raises(KeyError, match="no layout 'tape'; there are native, "):
        data.open_ensemble(tmp_path, layout="tape")
    with pytest.raises(FileNotFoundError, match="is not an ensemble: it has no ensemble"):
        data.open_ensemble(tmp_path, layout="native")
    with pytest.raises(FileNotFoundError, match="is not an ensemble: none of the layouts"):
        data.open_ensemble(tmp_path)
    (tmp_path / "request.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match="is not finished: it has no ensemble"):
        data.open_ensemble(tmp_path)
