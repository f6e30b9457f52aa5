"""Small ensembles in other people's layouts, written as their own tools write them.

Each function writes one under a folder and returns its path and what is in it: for each simulation
(parameters, times, samples), samples being (T, fields, *axes) as stored.
"""

import h5py
import numpy as np

NY, NX = 12, 7
RAGGED = (5, 4, 6)


def runs(shape=(NY, NX), n_fields=3, dtype=np.float32, times=RAGGED, n_parameters=2):
    rng = np.random.default_rng(7)
    for n in times:
        parameters = rng.uniform(0.5, 2, n_parameters).astype(np.float32).tolist()
        samples = rng.normal(size=(n, n_fields, *shape)).astype(dtype)
        yield parameters, (np.arange(n) * 0.25).tolist(), samples


def professor(folder, kind=1):
    """LLNL professor (docs/basics.md, mltrainer.py): ``inputs``, ``fields`` and a list of samples.

    Type 1: inputs (T, n), fields (T, F, ny, nx), lines ``file i``; a file may mix simulations.
    Type 0: one sample per file, lines ``file``. No names; the last input is time.
    """
    truth, lines = list(runs()), []
    folder.mkdir()
    for s, (parameters, times, samples) in enumerate(truth):
        inputs = np.float32([[*parameters, t] for t in times])
        for i in range(len(times)):
            lines.append(f"run_{s}.h5 {i}" if kind == 1 else f"image_{s}_{i}.h5")
            if kind == 0:
                with h5py.File(folder / lines[-1], "w") as f:
                    f["inputs"], f["fields"] = inputs[i], samples[i]
        if kind == 1:
            with h5py.File(folder / f"run_{s}.h5", "w") as f:
                f["inputs"], f["fields"] = inputs, samples
    (folder / "filelist.txt").write_text("# samples\n" + "\n".join(lines) + "\n")
    return folder, truth


def well(folder):
    """The Well (docs/data_format.md): two trajectories a file, a scalar and a vector of (y, x).

    Groups ``t0_fields``, ``t1_fields``, ``t2_fields`` with attribute ``field_names``; arrays over
    (trajectory, time, *dims, *components); parameters are attributes of the file.
    """
    truth = []
    fixed = {"sample_varying": False, "time_varying": False}
    full = {"sample_varying": True, "time_varying": True, "dim_varying": [True, True]}
    text = h5py.string_dtype()
    for split, viscosity in (("train", 0.5), ("train", 0.25), ("test", 0.125)):
        (folder / "data" / split).mkdir(parents=True, exist_ok=True)
        two = list(runs(times=(4, 4)))
        with h5py.File(folder / "data" / split / f"flow_{viscosity}.hdf5", "w") as f:
            f.attrs.update({"dataset_name": "flow", "n_trajectories": 2, "n_spatial_dims": 2})
            f.attrs.update({"simulation_parameters": ["viscosity"], "viscosity": viscosity})
            f.attrs["grid_type"] = "cartesian"
            f.create_group("boundary_conditions")
            f["scalars/viscosity"] = np.float32(viscosity)
            f["scalars/viscosity"].attrs.update(fixed)
            f["scalars"].attrs["field_names"] = ["viscosity"]
            for name, values in (("time", two[0][1]), ("y", np.arange(NY)), ("x", np.arange(NX))):
                f[f"dimensions/{name}"] = np.float32(values)
                f[f"dimensions/{name}"].attrs.update(fixed)
            f["dimensions"].attrs["spatial_dims"] = ["y", "x"]
            both = np.stack([samples for *_, samples in two]) * np.float32(viscosity)
            arrays = {"heat": both[:, :, 0]}, {"velocity": np.moveaxis(both[:, :, 1:], 2, -1)}, {}
            for order, named in enumerate(arrays):
                group = f.create_group(f"t{order}_fields")
                group.attrs["field_names"] = np.array(list(named), text)
                for name, values in named.items():
                    group[name] = values
                    group[name].attrs.update(full)
        truth += [([viscosity], two[0][1], samples) for samples in both]
    ranks = (2, 3, 0, 1, 4, 5)  # train comes first, by name: 0.25 before 0.5
    return folder, [truth[i] for i in ranks]


def netcdf_runs(folder, dtype=np.float64):
    """NetCDF4 by xarray, a file per run: attributes are parameters, y is stretched, runs ragged."""
    import xarray as xr

    folder.mkdir()
    truth = list(runs(dtype=dtype))
    axes = {"lat": ("lat", np.arange(NY) ** 1.5, {"units": "m"}), "lon": ("lon", np.arange(NX))}
    for s, (parameters, times, samples) in enumerate(truth):
        named = {
            n: (("t", "lat", "lon"), samples[:, i], {"units": "K"}) for i, n in enumerate("abc")
        }
        coords = {"t": ("t", times, {"units": "s"}), **axes}
        attrs = dict(zip(("viscosity", "speed"), parameters, strict=True), title="a run")
        xr.Dataset(named, coords, attrs).to_netcdf(folder / f"run_{s}.nc", engine="h5netcdf")
    return folder, truth


def labelled(dtype=np.float32):
    """One dataset (member, step, lat, lon) with parameters over the members, and its contents."""
    import xarray as xr

    truth = list(runs(times=(4, 4, 4), dtype=dtype))
    every = np.stack([samples for *_, samples in truth])
    dims = ("member", "step", "lat", "lon")
    named = {n: (dims, every[:, :, i], {"units": "K"}) for i, n in enumerate("abc")}
    values = np.array([p for p, *_ in truth])
    coords = {"step": truth[0][1], "lat": np.arange(NY) * 1.0, "lon": np.arange(NX) * 1.0}
    coords |= {n: ("member", values[:, i]) for i, n in enumerate(("viscosity", "speed"))}
    return xr.Dataset(named, coords), truth


def netcdf(folder, **encoding):
    """One NetCDF4 file of all runs."""
    folder.mkdir()
    dataset, truth = labelled()
    dataset.to_netcdf(folder / "all.nc", engine="h5netcdf", encoding=dict.fromkeys("abc", encoding))
    return folder / "all.nc", truth


def zarr(folder, version):
    """One Zarr store of all runs, as ``to_zarr`` writes it."""
    dataset, truth = labelled()
    dataset.to_zarr(folder, zarr_format=version, consolidated=False)
    return folder, truth


def pdebench(folder):
    """PDEBench's CFD files: (N, T, x, y), ``t-coordinate`` one longer, attributes M and eta."""
    folder.mkdir()
    truth = []
    for mach in (0.1, 0.5):
        three = list(runs((NX, NY), times=(4, 4, 4)))
        every = np.stack([samples for *_, samples in three]) * np.float32(mach)
        with h5py.File(folder / f"2D_CFD_M{mach}.hdf5", "w") as f:
            for i, name in enumerate(("Vx", "density", "pressure")):
                f[name] = every[:, :, i]
            f["t-coordinate"] = np.arange(5) * 0.25
            f["x-coordinate"], f["y-coordinate"] = np.arange(NX) * 1.0, np.arange(NY) * 1.0
            f.attrs.update({"M": mach, "eta": 0.01})
        truth += [([mach], three[0][1], samples) for samples in every]
    return folder, truth


def pdebench_groups(folder):
    """PDEBench's grouped files: ``0000/data`` (T, x, y, C), channels last, ``config`` as YAML."""
    folder.mkdir()
    truth = list(runs((NX, NY), n_parameters=1))
    with h5py.File(folder / "2D_diff-react.h5", "w") as f:
        for s, ((du,), times, samples) in enumerate(truth):
            f[f"{s:04d}/data"] = np.moveaxis(samples, 1, -1)
            for name, values in (("x", np.arange(NX)), ("y", np.arange(NY)), ("t", times)):
                f[f"{s:04d}/grid/{name}"] = np.float32(values)
            f[f"{s:04d}"].attrs["config"] = f"sim:\n  Du: {du!r}\n  k: 0.005\n  seed: {s}\n"
    return folder / "2D_diff-react.h5", truth


def npz(folder):
    """One npz file: (run, time, field, y, x), times, and two parameters side by side."""
    folder.mkdir()
    truth = list(runs(times=(4, 4, 4), dtype=np.float64))
    values, every = np.array([p for p, *_ in truth]), np.stack([samples for *_, samples in truth])
    np.savez(folder / "all.npz", u=every, t=truth[0][1], p=values)
    return folder / "all.npz", truth


NPZ_CARD = {
    "arrays": {"u": ["run", "time", "field", "y", "x"], "t": ["time"], "p": ["run", "field"]},
    "axes": {"y": {"low": 0, "high": 3, "unit": "m"}},
}


def pyro(folder):
    """pyro-hydro: a folder per run, a file per step, float64 (x, y), runtime parameters."""
    truth = list(runs((NX, NY), dtype=np.float64))
    for s, (parameters, times, samples) in enumerate(truth):
        (folder / f"run_{s}").mkdir(parents=True)
        for i, time in enumerate(times):
            with h5py.File(folder / f"run_{s}" / f"rt_{i * 17:04d}.h5", "w") as f:
                f.attrs.update({"solver": "compressible", "problem": "rt", "time": time})
                ends = {"xmin": 0.0, "xmax": 1.0, "ymin": 0.0, "ymax": 2.0}
                f.create_group("grid").attrs.update({"nx": NX, "ny": NY, "ng": 4, **ends})
                rt = {"rt.amp": parameters[0], "rt.dens2": parameters[1], "io.basename": "rt_"}
                f.create_group("runtime parameters").attrs.update({**rt, "eos.gamma": 1.4})
                for k, name in enumerate(("density", "energy", "x-momentum")):
                    f[f"state/{name}/data"] = samples[i, k]
    return folder, truth
