"""Other people's own readers see in their files what surrlab sees."""

import foreign
import h5py
import numpy as np
import pytest

from surrlab.data.open import open_ensemble


def test_the_well_s_dataset(tmp_path):
    """``pip install --no-deps the-well einops``: it wants an fsspec of 2024."""
    data = pytest.importorskip("the_well.data")
    folder, _ = foreign.well(tmp_path / "flow")
    ensemble = open_ensemble(folder)
    seen = []
    for split in ("train", "test"):
        theirs = data.WellDataset(
            path=str(folder),
            well_split_name=split,
            n_steps_input=4,
            n_steps_output=0,
            return_grid=False,
            boundary_return_type=None,
        )
        assert theirs.metadata.spatial_resolution == ensemble.grid.shape
        seen += [theirs[i] for i in range(len(theirs))]
    ours = {tuple(ensemble.read_simulation(s).ravel()): s for s in ensemble.simulations}
    assert len(seen) == len(ensemble.simulations) == 6
    for one in seen:
        fields = np.moveaxis(one["input_fields"].numpy(), -1, 1)  # channels come last
        s = ours[tuple(fields.ravel())]
        assert float(one["constant_scalars"]) == ensemble.run(s).parameters[0]


def test_h5netcdf_and_plain_h5py_on_surrlab_s_own_files(tmp_path):
    """Masks lie in a group of their own: nobody stumbles over it."""
    import masked
    import xarray as xr

    from surrlab.data.native import copy

    made = copy(open_ensemble(masked.write(tmp_path / "sea")), tmp_path / "own")
    with xr.open_dataset(made.file(2), engine="h5netcdf") as table:
        np.testing.assert_array_equal(table["wind"], made.read_simulation(2)[:, 2])
        assert table["wind"].dims == ("time", "lat", "lon")
    with h5py.File(made.file(2)) as file:
        assert set(file["_masks"]) == {"temperature", "wind"}
