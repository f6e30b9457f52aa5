"""Its sums over ranks are tested in `test_ddp`; torch's own layer needs GPUs."""

import pytest
import torch
from torch import nn

from surrlab.training import BatchNorm, generator
from surrlab.training.architectures.batch_norm import synchronise


def layers(network):
    return [type(m) for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


def test_on_gpus_it_is_torch_s_own_with_the_same_weights():
    network = generator(max_features=16, min_features=8).build(4, 6, (24, 8))
    inputs, before = torch.randn(5, 4), network.state_dict()
    network(inputs)  # statistics that are not the first ones
    fields = network.eval()(inputs)
    there = synchronise(network, torch.device("cuda"))
    assert set(layers(there)) == {nn.SyncBatchNorm}
    assert list(there.state_dict()) == list(before)
    assert torch.equal(there(inputs), fields)
    back = generator(max_features=16, min_features=8).build(4, 6, (24, 8)).eval()
    back.load_state_dict(there.state_dict())
    assert torch.equal(back(inputs), fields)


def test_on_cpus_every_layer_of_a_network_becomes_ours():
    network = nn.Sequential(
        nn.BatchNorm1d(3), nn.BatchNorm2d(3), nn.BatchNorm3d(3), nn.SyncBatchNorm(3)
    )
    network.append(nn.BatchNorm1d(3, affine=False))
    names = list(network.state_dict())
    assert layers(synchronise(network, torch.device("cpu"))) == [BatchNorm] * 4 + [nn.BatchNorm1d]
    assert list(network.state_dict()) == names


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 5), (4, 3, 5, 2), (4, 3, 2, 5, 2)])
def test_one_process_gets_torch_s_own_kernel(shape):
    torch.manual_seed(0)
    maps = torch.randn(shape)
    ours, torchs = (
        BatchNorm(3),
        {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}.get(len(shape), nn.BatchNorm3d)(
            3
        ),
    )
    assert torch.equal(ours(maps), torchs(maps))
    assert torch.equal(ours.running_var, torchs.running_var)
    with pytest.raises(ValueError, match=r"not an array \(4,\)"):
        ours(maps[:, 0].reshape(-1)[:4])
