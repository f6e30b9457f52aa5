import copy
import pickle
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch import nn

from surrlab.data import Field, Grid, InMemoryEnsemble, Run
from surrlab.training import (
    Generator,
    NetworkConfig,
    TrainConfig,
    generator,
    load,
    predict,
    register_network,
    run_config,
    run_id,
)
from surrlab.training.architectures.generator import ConvTranspose2d, start_shape
from surrlab.training.networks import _factories, check_output, layers


# A network of one's own: this class and the line below it.
class MLP(nn.Module):
    """Two layers."""

    def __init__(self, n_inputs, n_fields, shape, width=16, activation="Tanh"):
        super().__init__()
        self.shape = (n_fields, *shape)
        self.layers = nn.Sequential(
            nn.Linear(n_inputs, width),
            getattr(nn, activation)(),
            nn.Linear(width, int(np.prod(self.shape))),
        )

    def forward(self, inputs):
        return self.layers(inputs).reshape(-1, *self.shape)


register_network("mlp", MLP)


def test_a_network_of_one_s_own_learns(ensemble, fit):
    config = TrainConfig(epochs=12, learning_rate=1e-2, network=NetworkConfig("mlp"))
    surrogate = fit(ensemble, config)
    losses = [epoch["loss"] for epoch in surrogate.history]
    assert isinstance(surrogate.network, MLP) and losses[-1] < 0.6 * losses[0]
    assert predict(surrogate, ensemble.inputs).shape == ensemble.shape


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(5,), (3, 4), (4, 2, 3)])
def test_any_grid_and_simulations_of_any_length(fit, shape, dtype):
    axes = dict(zip("zyx", ((n, 0.0, 1.0) for n in shape), strict=False))
    rng, runs = np.random.default_rng(0), (Run(3, (1.0,), (0.0, 1.0)), Run(7, (2.0,), (0.5,)))
    arrays = {r.simulation: 10 + rng.normal(size=(len(r.times), 1, *shape)) for r in runs}
    ensemble = InMemoryEnsemble(
        name="two runs",
        fields=(Field("height", "m"),),
        grid=Grid.uniform(axes, unit="m"),
        input_names=("depth", "time"),
        input_units=("m", "s"),
        runs=runs,
        dtype=np.dtype(dtype).name,
        metadata={},
        arrays={s: a.astype(dtype) for s, a in arrays.items()},
    )
    config = TrainConfig(epochs=2, batch_size=2, network=NetworkConfig("mlp", {"width": 4}))
    surrogate = fit(ensemble, config)
    assert predict(surrogate, ensemble.inputs).shape == (3, 1, *shape)
    values = np.concatenate([ensemble.read(i).ravel() for i in range(3)])
    np.testing.assert_allclose(surrogate.normaliser.field_mean, values.mean(), rtol=1e-6)
    np.testing.assert_allclose(surrogate.normaliser.field_scale, values.std(), rtol=1e-6)


def test_a_configuration_is_a_value():
    one = NetworkConfig("mlp", {"width": 4, "activation": "ReLU"})
    for other in (
        NetworkConfig("mlp", {"activation": "ReLU", "width": 4}),
        eval(repr(one)),
        NetworkConfig(**one.config()),
        pickle.loads(pickle.dumps(one)),
        copy.deepcopy(one),
    ):
        assert other == one and hash(other) == hash(one)
    assert generator(start=(3, 1)) == generator(start=[3, 1])
    assert one not in {NetworkConfig("mlp"), NetworkConfig("mlp", {"width": 4}), generator()}
    one.arguments["width"] = 5
    assert one.arguments["width"] == 4
    with pytest.raises(AttributeError):
        one.name = "other"


@pytest.mark.parametrize("wrong", [{"f": nn.ReLU}, {"a": np.float32(1)}, {"a": float("nan")}])
def test_arguments_that_are_not_json_are_refused(wrong):
    with pytest.raises(TypeError, match="'mlp' must be numbers, strings"):
        NetworkConfig("mlp", wrong)


def test_what_cannot_be_built_is_refused():
    for config, match in [
        (NetworkConfig("nothing"), "no network is called 'nothing'; there are fno, generator, mlp"),
        (NetworkConfig("mlp", {"depth": 3}), r"NetworkConfig\('mlp', .*depth.* unexpected"),
        (NetworkConfig("no_such_module:Net"), "'no_such_module:Net' cannot be imported"),
        (NetworkConfig("json:Net"), "'json:Net' cannot be imported"),
    ]:
        with pytest.raises(ValueError, match=match) as error:
            config.build(4, 6, (24, 8))
        assert "\n" not in str(error.value)


def test_a_module_is_imported_when_its_network_is_built(tmp_path, monkeypatch):
    (tmp_path / "network_in_a_module.py").write_text(
        "from torch import nn\ndef net(n_inputs, n_fields, shape):\n    return nn.Identity()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    config = NetworkConfig("network_in_a_module:net")
    assert not config.known and "network_in_a_module" not in sys.modules
    assert isinstance(config.build(1, 1, (1,)), nn.Identity) and config.known


def test_a_factory_goes_along_to_processes_that_have_not_registered_it(monkeypatch):
    pickled = pickle.dumps(NetworkConfig("relu", {"inplace": True}))
    monkeypatch.setitem(_factories, "relu", make_relu)
    with_factory = pickle.dumps(NetworkConfig("relu", {"inplace": True}))
    monkeypatch.delitem(_factories, "relu")
    assert not pickle.loads(pickled).known
    assert pickle.loads(with_factory).build(1, 1, (1,)).inplace
    _factories.pop("relu")


def make_relu(n_inputs, n_fields, shape, inplace):
    return nn.ReLU(inplace)


def test_names_are_taken_once():
    register_network("mlp", MLP)  # a cell that is run again
    with pytest.raises(ValueError, match=r"'generator' belongs to .*Generator"):
        register_network("generator", MLP)
    with pytest.raises(ValueError, match="no colon"):
        register_network("a:b", MLP)


class Wrong(nn.Module):
    def __init__(self, n_inputs, n_fields, shape, what):
        super().__init__()
        self.what, self.weight = what, nn.Parameter(torch.ones(1))

    def forward(self, inputs):
        if self.what == "fails":
            raise RuntimeError("mat1 and mat2\nin two lines")
        value = float("nan") if self.what == "nan" else 1.0
        return torch.full((len(inputs), 6, 8 if self.what == "turned" else 24, 8), value)


register_network("wrong", Wrong)


@pytest.mark.parametrize(
    ("what", "match"),
    [
        ("fails", r"Wrong fails on inputs \(2, 4\): mat1 and mat2"),
        ("turned", r"into \(2, 6, 8, 8\), not \(2, 6, 24, 8\)"),
        ("nan", "not finite before it is trained"),
    ],
)
def test_a_network_that_does_not_fit_is_refused_before_training(ensemble, fit, what, match):
    config = TrainConfig(network=NetworkConfig("wrong", {"what": what}))
    with pytest.raises(ValueError, match=match) as error:
        fit(ensemble, config)
    assert "\n" not in str(error.value)


def test_the_check_leaves_a_network_as_it_is():
    network = generator(max_features=16, min_features=8).build(4, 6, (24, 8))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    check_output(network, 4, 6, (24, 8))
    assert network.training
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_the_network_is_part_of_the_run_id(ensemble, fit, tmp_path):
    """Weights of the same shapes would fit: a folder and a checkpoint ask for the run."""
    tanh, relu = (
        TrainConfig(epochs=1, network=NetworkConfig("mlp", {"activation": name}))
        for name in ("Tanh", "ReLU")
    )
    first, second = (run_id(run_config(ensemble, config, seed=0)) for config in (tanh, relu))
    assert first != second
    fit(ensemble, tanh, path=tmp_path)
    with pytest.raises(ValueError, match="model of another run"):
        fit(ensemble, relu, path=tmp_path)


@pytest.mark.parametrize(
    ("n_inputs", "shape", "start", "layers", "parameters"),
    [(4, (768, 256), (3, 1), 9, 78_155_532), (6, (512, 512), (4, 4), 8, 61_462_284)],
)
def test_it_is_the_paper_s_network(n_inputs, shape, start, layers, parameters):
    with torch.device("meta"):
        network = Generator(n_inputs, 6, shape, start)
    convolutions = [m for m in network.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert len(convolutions) == layers
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_scale_and_shift_act_on_each_field():
    network = Generator(4, 6, (24, 8), (3, 1), 16, 8).eval()
    inputs = torch.randn(2, 4)
    plain = network(inputs)
    with torch.no_grad():
        network.scale[3] = 2.0
        network.shift[3] = 5.0
    changed = network(inputs)
    torch.testing.assert_close(changed[:, 3], 2 * plain[:, 3] + 5)
    torch.testing.assert_close(changed[:, :3], plain[:, :3])


@pytest.mark.parametrize(
    ("shape", "match"),
    [
        ((50, 16), "50 x 16 is not 3 x 1 doubled: .* such as 4 x 1"),
        ((97, 33), "97 x 33 is not 3 x 1 doubled: .* such as 4 x 2"),
        ((24, 40), "24 x 40 is not 3 x 1 doubled: .* such as 2 x 3"),
        ((24,), "maps of two axes, and the grid is 24: choose another network"),
        ((8, 8, 8), "maps of two axes, and the grid is 8 x 8 x 8"),
    ],
)
def test_a_grid_out_of_reach_is_refused(shape, match):
    with pytest.raises(ValueError, match=match):
        Generator(4, 6, shape, (3, 1))


@pytest.mark.parametrize("shape", [(50, 30), (97, 33), (5, 3), (1, 1), (48, 16)])
def test_a_rim_is_cut_off_where_sides_do_not_double(shape):
    network = Generator(2, 3, shape, max_features=8, min_features=4).eval()
    inputs = torch.randn(2, 2)
    fields = network(inputs)
    assert fields.shape == (2, 3, *shape)
    whole = network.layers(inputs[:, :, None, None])
    assert all(w // 2 <= n <= w for w, n in zip(whole.shape[2:], shape, strict=True))
    top, left = ((w - n) // 2 for w, n in zip(whole.shape[2:], shape, strict=True))
    torch.testing.assert_close(
        fields, whole[:, :, top : top + shape[0], left : left + shape[1]], rtol=0, atol=0
    )
    assert network.layers[0].kernel_size == start_shape(shape)


@pytest.mark.parametrize("sides", [(1, 1), (3, 1), (1, 5), (4, 2), (6, 2), (2, 7)])
def test_small_maps_are_doubled_as_torch_doubles_them(sides):
    """Values and all gradients, with a scale and shift; 2 x 7 is oneDNN's own way."""
    ours = ConvTranspose2d(5, 3, kernel_size=4, stride=2, padding=1, bias=False)
    maps, scale, shift = torch.randn(2, 5, *sides), torch.rand(3, 1, 1), torch.randn(3, 1, 1)
    leaves = [maps.requires_grad_(), ours.weight, scale.requires_grad_(), shift.requires_grad_()]
    found = ours(maps, scale, shift)
    wanted = nn.ConvTranspose2d.forward(ours, maps) * scale + shift
    torch.testing.assert_close(found, wanted)
    weights = torch.randn(wanted.shape)
    gradients = [torch.autograd.grad((out * weights).sum(), leaves) for out in (found, wanted)]
    torch.testing.assert_close(*gradients)


def test_a_start_shape_may_be_named():
    network = Generator(2, 3, (50, 30), start=(7, 4), max_features=8, min_features=4)
    assert network(torch.zeros(2, 2)).shape == (2, 3, 50, 30)
    assert sum(isinstance(m, nn.ConvTranspose2d) for m in network.layers) == 4


FNO = find_spec("neuralop") is not None
BUILT_IN = {
    "fno": {"modes": 6, "width": 16, "layers": 3},
    "generator": {"max_features": 16, "min_features": 8},
    "unet": {"features": 8, "max_features": 16, "upsampling": "bilinear"},
    "vit": {"patch": (3, 4), "width": 16, "depth": 2, "heads": 2},
}
NAMED = [
    pytest.param(name, marks=pytest.mark.skipif(name == "fno" and not FNO, reason="an extra"))
    for name in BUILT_IN
]


@pytest.mark.parametrize("shape", [(24, 8), (50, 30), (7, 5), (1, 3)])
@pytest.mark.parametrize("name", NAMED)
def test_every_network_takes_any_grid_and_learns_in_all_its_parts(name, shape):
    torch.manual_seed(0)  # the signs of so few cells may cancel in the gradient of a shift
    network = NetworkConfig(name, BUILT_IN[name]).build(3, 2, shape)
    inputs = torch.randn(4, 3)
    fields = network(inputs)
    assert fields.shape == (4, 2, *shape) and torch.isfinite(fields).all()
    (fields - torch.randn(4, 2, *shape)).abs().mean().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())
    changed = network.eval()(inputs + torch.tensor([0.0, 0.0, 1.0]))  # time alone
    assert (changed - network(inputs)).abs().max() > 1e-6


@pytest.mark.parametrize("name", NAMED)
def test_every_network_needs_no_parameter_but_time(name):
    assert NetworkConfig(name, BUILT_IN[name]).build(1, 2, (6, 5))(torch.zeros(3, 1)).ndim == 4


@pytest.mark.parametrize("name", NAMED)
def test_every_network_trains_and_is_loaded_to_the_bit(name, ensemble, fit, tmp_path):
    config = TrainConfig(
        epochs=6, batch_size=32, learning_rate=4e-3, network=NetworkConfig(name, BUILT_IN[name])
    )
    surrogate = fit(ensemble, config, path=tmp_path)
    losses = [epoch["loss"] for epoch in surrogate.history]
    assert losses[-1] < 0.75 * losses[0]
    again = load(tmp_path)  # nothing to trust: it came with the package
    inputs = ensemble.inputs[:70]
    np.testing.assert_array_equal(predict(again, inputs), predict(surrogate, inputs))


def test_networks_have_run_ids_of_their_own(ensemble):
    configs = [TrainConfig(network=NetworkConfig(name, a)) for name, a in BUILT_IN.items()]
    configs.append(TrainConfig(network=NetworkConfig("unet")))
    assert len({run_id(run_config(ensemble, config, seed=0)) for config in configs}) == 5


@pytest.mark.skipif(FNO, reason="neuraloperator is here")
def test_a_network_that_is_not_installed_says_so():
    with pytest.raises(ImportError, match="'fno' needs neuraloperator: pip install neuraloper"):
        NetworkConfig("fno").build(3, 2, (24, 8))


@pytest.mark.skipif(not FNO, reason="an extra")
@pytest.mark.parametrize("shape", [(9,), (5, 6, 7)])
def test_a_fourier_operator_takes_one_and_three_axes(shape):
    network = NetworkConfig("fno", BUILT_IN["fno"]).build(3, 2, shape)
    assert network(torch.zeros(4, 3)).shape == (4, 2, *shape)


@pytest.mark.parametrize(
    ("name", "arguments", "match"),
    [
        ("unet", {"upsampling": "cubic"}, "nearest or bilinear upsampling, not .*'cubic'"),
        ("unet", {"features": 9}, "multiples of 8"),
        ("vit", {"heads": 5}, "a width that its heads divide"),
        ("vit", {"patch": (0, 4)}, "patches of two axes"),
        ("vit", {"wdith": 5}, "cannot be built: .*wdith"),
    ],
)
def test_arguments_that_make_no_network_are_refused(name, arguments, match):
    with pytest.raises(ValueError, match=match):
        NetworkConfig(name, arguments).build(3, 2, (24, 8))


@pytest.mark.parametrize("wrong", [{"max_features": 0}, {"min_features": -1}])
def test_features_are_positive(wrong):
    with pytest.raises(ValueError, match=f"positive, not .*{next(iter(wrong.values()))}"):
        generator(**wrong).build(4, 6, (24, 8))


def test_layers_are_listed_with_what_they_return_and_their_weights():
    network = generator(start=(3, 1), max_features=32, min_features=16).build(4, 6, (24, 8))
    found = [row for row in layers(network, 4) if row["kind"] == "ConvTranspose2d"]
    assert [row["shape"] for row in found] == [[32, 3, 1], [32, 6, 2], [16, 12, 4], [6, 24, 8]]
    own = sum(p.numel() for p in network.parameters())
    assert sum(row["parameters"] for row in layers(network, 4)) == own
    assert network.training and not network._forward_hooks
