import pytest
from ragged import write_ensemble


@pytest.fixture
def write(tmp_path):
    """Write an invented ensemble into this test's folder: `ragged.write_ensemble`."""

    def write(*arguments, path=tmp_path / "written", **changes):
        return write_ensemble(path, *arguments, **changes)

    return write
