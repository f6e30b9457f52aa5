"""Waves on a sea with an island: constant masks, in another layout and in surrlab's own."""

import h5py
import numpy as np

NY, NX, T, RUNS = 24, 16, 5, 6
Y, X = np.meshgrid(np.linspace(0, 1, NY), np.linspace(0, 1, NX), indexing="ij")
LAND = (X - 0.5) ** 2 + (Y - 0.4) ** 2 < 0.06
WIND = (X > 0.8) & (Y > 0.7)
FILL = -999.0


def truth(run):
    """Samples (T, 3, NY, NX) of a run: pressure everywhere, water temperature, and wind."""
    speed, t = 0.5 + run / RUNS, np.arange(T)[:, None, None] / T
    wave = np.sin(6 * (X - speed * t)) * np.exp(-Y)
    samples = np.stack([wave**2, 280 + 10 * wave, np.cos(5 * Y + 4 * speed * t) + X], axis=1)
    return samples.astype(np.float32)


def masked(run):
    """As `truth`, NaN where there is no water, and no wind."""
    samples = truth(run)
    samples[:, 1, LAND] = np.nan
    samples[:, 2, WIND] = np.nan
    return samples


def write(folder, fill=FILL, dtype=np.float32, **storage):
    """NetCDF4-like files, one per run: NaN in temperature, a fill value in wind."""
    folder.mkdir()
    for run in range(RUNS):
        samples = masked(run)
        samples[:, 2, WIND] = fill
        with h5py.File(folder / f"run_{run}.nc", "w") as file:
            file.attrs["speed"] = 0.5 + run / RUNS
            axes = {"time": np.arange(T) * 0.25, "lat": Y[:, 0], "lon": X[0]}
            for name, values in axes.items():
                file[name] = values
                file[name].make_scale(name)
            for i, name in enumerate(("pressure", "temperature", "wind")):
                field = file.create_dataset(name, data=samples[:, i].astype(dtype), **storage)
                for dim, scale in zip(field.dims, axes, strict=True):
                    dim.attach_scale(file[scale])
            file["wind"].attrs["_FillValue"] = np.array(fill, dtype)
    return folder
