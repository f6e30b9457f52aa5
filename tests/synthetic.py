"""Tables as the studies keep them, invented: what the tests of the figures draw.

They know nothing of the package: a table says its labels and units itself.
"""

import functools

import numpy as np
import xarray as xr

FIELDS = {
    "density": ("density", "g/cm³"),
    "velocity_x": ("velocity x", "cm/s"),
    "velocity_y": ("velocity y", "cm/s"),
    "pressure": ("pressure", "g/(cm s²)"),
    "energy": ("specific internal energy", "cm²/s²"),
    "material": ("material", "1"),
}
X, Y = (-1 / 6, 1 / 6), (-0.5, 0.5)
TIMES = np.linspace(0, 10, 51)
FACTORS = (0.125, 1.0, 4.0)
RATIOS = {0.125: 10.93, 1.0: 21.7, 4.0: 34.6}
LABELS = {
    0.125: "10.9× (tolerance ×1/8)",
    1.0: "21.7× (tolerance ×1)",
    4.0: "34.6× (tolerance ×4)",
}
SCORES = {
    "l1": ("L1 error", 5.0, "%"),
    **{f"psnr_{name}": (f"PSNR of {label}", 0.5, "dB") for name, (label, _) in FIELDS.items()},
    "mass": ("error of total mass", 2.0, "% of range"),
    "momentum_x": ("error of total x-momentum", 2.0, "% of range"),
    "momentum_y": ("error of total y-momentum", 2.0, "% of range"),
    "thickness_correlation": ("correlation of mixing-layer thickness", 0.01, "1"),
}


def field_coords(names=tuple(FIELDS)):
    labels, units = zip(*(FIELDS[name] for name in names), strict=True)
    return {"field": list(names), "label": ("field", list(labels)), "unit": ("field", list(units))}


def sample_coords(lengths, times=TIMES):
    """Simulations 0, 3, 6, … with so many samples each."""
    lengths = list(lengths)
    steps = np.concatenate([np.arange(n) for n in lengths])
    return {
        "simulation": ("sample", np.repeat(3 * np.arange(len(lengths)), lengths)),
        "step": ("sample", steps),
        "time": ("sample", times[steps], {"units": "s"}),
    }


def model_coords(factors, seeds, ratios=RATIOS, codec="zfp", rule="field"):
    """Of models with these factors, 0 being raw, as `Version` has them."""
    raw = [not factor for factor in factors]
    names = ["raw" if r else f"{codec} ×{f:g}" for r, f in zip(raw, factors, strict=True)]
    return {
        "model": [f"{name} seed {seed}" for name, seed in zip(names, seeds, strict=True)],
        "kind": ("model", ["raw" if r else "lossy" for r in raw]),
        "version": ("model", names),
        "codec": ("model", ["" if r else codec for r in raw]),
        "rule": ("model", [rule] * len(raw)),
        "factor": ("model", [float(factor) for factor in factors]),
        "ratio": ("model", [ratios.get(factor, 1.0) for factor in factors]),
        "seed": ("model", list(seeds)),
        "folder": ("model", [f"{k:04x}" for k in range(len(raw))]),
    }


@functools.cache
def sample_stack(n=51, blur=0.0):
    """A Rayleigh-Taylor-like mixing layer that grows, ``(n, 6, ny, nx)``."""
    x, y = (low + (high - low) * (np.arange(m) + 0.5) / m for (low, high), m in ((X, 16), (Y, 48)))
    x, y = np.meshgrid(x, y)
    fields = []
    for t in np.linspace(0, 1, n):
        front = y - 0.3 * t * np.cos(6 * np.pi * x) * (1 + 0.3 * np.sin(20 * x * t))
        heavy = 0.5 * (1 + np.tanh(front / (0.02 + blur)))
        density, material = 1 + 3 * heavy, heavy
        swirl = t * np.exp(-((y / 0.3) ** 2))
        u, v = swirl * np.sin(6 * np.pi * x), -swirl * np.cos(6 * np.pi * x)
        pressure = 10 - density * (y + 0.5)
        fields.append([density, u, v, pressure, pressure / density / 0.4, material])
    return np.array(fields, np.float32)


def evaluation_table(
    n_raw=5, factors=FACTORS, n_lossy=2, lengths=(51,) * 4, seed=0, **versions
) -> xr.Dataset:
    """An evaluation in which the version of factor 4 is harmful."""
    rng = np.random.default_rng(seed)
    of_model = [0.0] * n_raw + [factor for factor in factors for _ in range(n_lossy)]
    seeds = [*range(n_raw), *(s for _ in factors for s in range(n_lossy))]
    harm = np.array([6.0 * (factor == 4.0) for factor in of_model])
    samples = sample_coords(lengths)
    time, place = samples["time"][1], samples["simulation"][1] // 3
    shape = (len(of_model), len(time))

    def noisy(truth, scale):
        drift = rng.normal(size=(shape[0], len(lengths)))[:, place] + harm[:, None]
        return truth + scale * (drift * np.sin(time) + 0.3 * rng.normal(size=shape))

    ramp = time / 10 * (1 + place / 9)
    truth = {
        "mass": (np.full(len(time), 0.9), "g/cm", "total mass"),
        "momentum_x": (np.zeros(len(time)), "g/s", "total x-momentum"),
        "momentum_y": (-0.05 * ramp**2, "g/s", "total y-momentum"),
        "thickness": (0.3 * ramp, "cm", "mixing-layer thickness"),
    }
    base = rng.normal(38, 4, (1, len(time), 6)) + 2 * np.arange(6)
    psnr = base + rng.normal(0, 0.4, (shape[0], 1, 6)) - harm[:, None, None]
    both = ("model", "sample")
    correlation = np.abs(rng.normal(0.01, 0.005, (shape[0], len(lengths)))) * (1 + harm[:, None])
    variables = {
        "psnr": ((*both, "field"), psnr, {"long_name": "PSNR", "units": "dB"}),
        "normalised_l1": (both, 10 ** (-psnr.mean(-1) / 40)),
        "thickness_correlation": (("model", "test_simulation"), 1 - correlation),
    }
    for name, (values, unit, label) in truth.items():
        attributes = {"units": unit, "long_name": label}
        variables[name] = both, noisy(values, 0.003), attributes
        variables[f"truth_{name}"] = "sample", values, attributes
    coords = field_coords() | samples | model_coords(of_model, seeds, **versions)
    coords["test_simulation"] = 3 * np.arange(len(lengths))
    return xr.Dataset(variables, coords, {"curve": "thickness", "momentum": "momentum_y"})


def one(table, simulation):
    """One simulation of a table, as studies keep it for Figs. 3 and 6."""
    table = table.isel(sample=table["simulation"].values == simulation)
    return table.sel(test_simulation=[simulation])


def generation_table():
    """An evaluation of raw models and of two that learned from a model's output."""
    table = evaluation_table(factors=(4.0,))
    kind, generated = table["kind"].values, table["kind"].values == "lossy"
    change = {"kind": ("model", np.where(generated, "generated", kind))}
    for name, raw in (("version", "raw"), ("codec", ""), ("factor", 0.0), ("ratio", 1.0)):
        change[name] = "model", np.where(generated, raw, table[name].values)
    return table.assign_coords(change)


def threshold_table():
    scale = 2.0 ** np.array([[0], [-2], [-1], [2], [4], [-2]])
    steps = 2.0 ** np.arange(26)
    bits = 1 + np.log2(1 + 2.0**20 * scale / steps) * np.linspace(0.8, 1.3, 6)[:, None]
    return xr.Dataset(
        {
            "error": (("field", "setting"), 0.07 * 2.0**-22 * steps * np.ones((6, 1))),
            "ratio": (("field", "setting"), 32 / bits),
            "model_error": ("field", 0.01 * scale[:, 0]),
            "roundoff": ("field", 6e-8 * np.array([1, 0.1, 0.1, 10, 40, 1])),
        },
        coords=field_coords(),
    )


def tolerance_table(lengths=(51,) * 12):
    rng = np.random.default_rng(1)
    samples = sample_coords(lengths)
    time = samples["time"][1]
    growth = np.exp(rng.normal(0, 0.7, (len(time), 6))) * (0.1 + time[:, None] / 10)
    model_error = 0.01 * growth * 3.0 ** np.arange(6)
    tolerance = 2 ** np.floor(np.log2(10 * model_error))
    dims = ("sample", "field")
    return xr.Dataset(
        {
            "tolerance": (dims, tolerance),
            "error": (dims, 0.07 * tolerance),
            "model_error": (dims, model_error),
            "nbytes": (dims, np.ceil(60 * np.arange(1, 7) * (0.1 + growth / 3))),
        },
        coords=samples | field_coords(),
        attrs={"raw_field_nbytes": 4 * 48 * 16},
    )


def race_table(codecs=("zfp", "sz3", "sperr", "bitround"), targets=(0.25, 1.0, 4.0)):
    rng = np.random.default_rng(2)
    shape = (len(codecs), len(targets), len(FIELDS))
    dims = ("codec", "target", "field")
    ratio = 8 * np.reshape(targets, (-1, 1)) ** 0.5 * np.exp(rng.normal(0, 0.3, shape))
    columns = {"ratio_file": ratio, "ratio_payload": 1.2 * ratio, "l1": rng.uniform(0.6, 1, shape)}
    columns["decode_mb_s"] = rng.uniform(100, 700, shape)
    return xr.Dataset(
        {name: (dims, values) for name, values in columns.items()},
        {"codec": list(codecs), "target": list(targets), **field_coords()},
    )


def state_of(low, bound):
    """State of a score from its limits in units of the margin."""
    if low > 1:
        return "harmful"
    if bound > 1:
        return "undecided"
    return "small" if low > 0 else "benign"


def verdict_table():
    """As studies keep it: a benign, a small, an undecided and a harmful version; one untrained."""
    rng = np.random.default_rng(2)
    factors = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
    ratios = (10.93, 13.4, 17.1, 21.7, np.nan, 34.6)
    margin = np.array([margin for _, margin, _ in SCORES.values()])
    centres, halves = (0.0, 0.3, 0.5, 0.9, np.nan, 16.0), (0.4, 0.25, 0.3, 0.6, np.nan, 3.0)
    shift = np.array([c + rng.normal(0, 0.12 + 0.2 * abs(c), 11) for c in centres])
    half = np.array([h * rng.uniform(0.7, 1.2, 11) for h in halves])
    low, bound = shift - 1.2 * half, shift + half
    states = np.array([[state_of(*ends) for ends in zip(*row, strict=True)]
                       for row in zip(low, bound, strict=True)], object)  # fmt: skip
    states[4] = "not trained"
    order = ("harmful", "undecided", "small", "benign")
    verdicts = [next((s for s in order if s in row), "not trained") for row in states]
    names = [f"zfp ×{label}" for label in ("1/8", "1/4", "1/2", "1", "2", "4")]
    rise = [f"L1 error rises by {5 * value:.2g} %, " for value in shift[:, 0]]
    limits = zip(rise, low[:, 0], bound[:, 0], verdicts, strict=True)
    reasons = [
        start + (f"at least {5 * low:.2g} %" if state == "harmful" else f"at most {5 * most:.2g} %")
        for start, low, most, state in limits
    ]
    dims = ("version", "score")
    labels, _, units = zip(*SCORES.values(), strict=True)
    return xr.Dataset(
        {
            **{name: (dims, values * margin) for name, values in
               (("shift", shift), ("low", low), ("high", 2 * shift - low), ("bound", bound))},
            "state": (dims, states.astype(str)),
            "label": ("score", list(labels)),
            "unit": ("score", list(units)),
            "margin": ("score", margin),
            "verdict": ("version", verdicts),
            "reason": ("version", reasons),
        },
        {
            "version": names,
            "score": list(SCORES),
            "codec": ("version", ["zfp"] * 6),
            "rule": ("version", ["field"] * 6),
            "factor": ("version", list(factors)),
            "ratio": ("version", list(ratios)),
            "ratio_file": ("version", [0.9 * ratio for ratio in ratios]),
        },
        {"confidence": 0.95},
    )  # fmt: skip


def history_table():
    factors = [0.0] * 5 + [factor for factor in FACTORS for _ in range(2)]
    loss = np.exp(-np.arange(25) / 8) + 0.13 + 0.003 * np.arange(len(factors))[:, None]
    coords = model_coords(factors, [*range(5), *([0, 1] * 3)])
    return xr.Dataset({"loss": (("model", "epoch"), loss)}, coords | {"epoch": np.arange(25)})


def fields_table(samples, row, names=("density", "pressure", "energy"), x=X, y=Y, **attributes):
    """Samples ``(n, 6, ny, nx)`` as fields over (row, field, y, x); `row` is its name."""
    chosen = samples[:, [list(FIELDS).index(name) for name in names]]
    axes = {}
    for name, (low, high), n in (("y", y, samples.shape[2]), ("x", x, samples.shape[3])):
        centres = low + (high - low) * (np.arange(n) + 0.5) / n
        axes[name] = name, centres, {"units": "cm", "extent": [low, high]}
    coords = field_coords(names) | axes
    dims = (row, "field", "y", "x")
    return xr.Dataset({"fields": (dims, chosen)}, coords, {"title": "simulation 3", **attributes})


def evolution_table(names=("density",), columns=8):
    steps = np.linspace(0, 50, columns).round().astype(int)
    attributes = {"title": "density ratio 4", "description": "Heavy gas falls."}
    table = fields_table(sample_stack()[steps], "sample", names, **attributes)
    return table.assign_coords(time=("sample", TIMES[steps], {"units": "s"}))


def pictures_table(names=("density", "pressure", "energy")):
    samples = np.stack([sample_stack(blur=blur)[30] for blur in (0.0, 0.01, 0.02, 0.2)])
    table = fields_table(samples, "model", names)
    return table.assign_coords(model=["simulation", "raw model", "21.7× model", "34.6× model"])


def compressed_table(names=("density", "pressure", "energy")):
    samples = np.stack([sample_stack(blur=blur)[30] for blur in (0.0, 0.002, 0.02)])
    loss = np.array([[0.0], [0.0042], [0.314]]) * np.ones(len(names))
    table = fields_table(samples, "version", names).assign(loss=(("version", "field"), loss))
    return table.assign_coords(ratio=("version", [1.0, 20.3, 49.6]))


STORAGES = {"disk": 120.0, "network": 500.0, "this machine": np.inf, "memory": np.inf}


def ratio_coords(ratios=(1.0, 10.8, 20.5)):
    names = ["raw", *(f"zfp ×{2.0**k:g}" for k in range(1, len(ratios)))]
    return {"version": names, "ratio": ("version", list(ratios))}


def rate_table(memory=(900.0, 400.0, 500.0), storages=STORAGES):
    """Storages as a model of them has it: no faster than their bytes, nor than decoding."""
    speeds, versions = np.array([*storages.values()]), ratio_coords()
    rates = np.minimum(speeds[:, None] * versions["ratio"][1], memory)
    noise = 1 + 0.02 * np.array([-1, 0, 3])
    return xr.Dataset(
        {"rate": (("storage", "version", "round"), rates[..., None] * noise, {"units": "MB/s"})},
        {"storage": list(storages), "bandwidth": ("storage", speeds), **versions},
    )


def epoch_table(compute=(4.0, 2.0), data=((5.0, 2.0, 1.0), (5.0, 1.5, 0.8)), nbytes=600e6):
    rounds = np.array([1.0, 1.1, 3.0])
    data, compute = np.array(data), np.array(compute)
    both = np.maximum(data, compute[:, None])
    return xr.Dataset(
        {
            "data": (("processes", "version", "round"), data[..., None] * rounds),
            "both": (("processes", "version", "round"), both[..., None] * rounds),
            "compute": (("processes", "round"), compute[:, None] * rounds),
        },
        {"processes": [1, 2], **ratio_coords()},
        {"epoch_nbytes": nbytes, "storage": "120 MB/s, page cache in use", "bandwidth": 120.0},
    )


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def caption(figure):
    """What stands beneath the panels, in one line."""
    text = figure.legends[0].get_title().get_text()
    return text.replace("\n", " ").replace("\N{NO-BREAK SPACE}", " ")


def lines(ax, label):
    return [line for line in ax.lines if line.get_label() == label]


def bars(figure):
    """Axes of the colour bars."""
    return [ax for ax in figure.axes if ax.get_label() == "<colorbar>"]


def network_table():
    """Layers of a network that doubles its grid four times."""
    rows = {
        "kind": ["Linear", *3 * ["ConvTranspose2d"]],
        "shape": ["384", "64 × 6 × 2", "32 × 12 × 4", "6 × 24 × 8"],
        "parameters": [1920, 98304, 32768, 3072],
    }
    table = xr.Dataset({name: ("layer", values) for name, values in rows.items()})
    return table.assign_attrs(network="generator", inputs='["density_ratio", "time"]')


def pipeline_table():
    """Raw data, and a tenth of them."""
    rows = {"MB": [60.2, 5.5], "MB_s": [280.0, np.nan], "ratio_file": [1.0, 10.9]}
    table = xr.Dataset({name: ("workflow", values) for name, values in rows.items()})
    return table.assign_attrs(version="zfp ×1")


def extra_tables():
    """Of ``surrlab study --extra``: a row for each training set, and for each number of epochs."""
    sentence = "In the 3.1 MB of 58 compressed simulations there is room for 3 raw ones."
    names = ["all raw data", "compressed (zfp ×1)", "raw simulations of equal bytes"]
    rows = {
        "L1": [0.20, 0.21, 0.55],
        "sigma": [0.004, 0.005, 0.03],
        "MB": [60.0, 3.1, 3.0],
        "simulations": [58, 58, 3],
    }
    bytes_ = xr.Dataset({k: ("data", v) for k, v in rows.items()}, {"data": names})
    curves = {"training": [0.3, 0.2, 0.15, 0.12], "test": [0.31, 0.22, 0.18, 0.17]}
    curves["ratio"] = [24.0, 20.0, 18.0, 17.0]
    epochs = xr.Dataset({k: ("epochs", v) for k, v in curves.items()}, {"epochs": [5, 10, 20, 40]})
    said = {"sentence": "At 20 epochs test L1 is 0.180; at 40 it is 0.170, and the ratio 17.0×."}
    return {
        "extra_equal_bytes": bytes_.assign_attrs(sentence=sentence),
        "extra_convergence": epochs.assign_attrs(said),
    }


TABLES = {
    "network": network_table(),
    "pipeline": pipeline_table(),
    **extra_tables(),
    "evolution": evolution_table(("density", "velocity_y"), columns=5),
    "history": history_table(),
    "raw_curves": one(evaluation_table(factors=()), 6),
    "generation_loss": generation_table(),
    "thresholds": threshold_table(),
    "codecs": race_table(),
    "tolerance_search": tolerance_table(),
    "compressed_fields": compressed_table(("density", "energy")),
    "curves": one(evaluation_table(n_lossy=5), 6),
    "lossy_training": evaluation_table(n_lossy=3, lengths=(51, 40, 51)),
    "pictures": pictures_table(("density", "energy")),
    "verdicts": verdict_table(),
    "loading_rates": rate_table(),
    "epoch_times": epoch_table(),
}
"""A table for each figure, by the name of its file."""
