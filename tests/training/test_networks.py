import pytest
import torch

from surrlab.training.networks import Generator


@pytest.mark.parametrize(
    ("n_inputs", "shape", "start", "layers", "parameters"),
    [(4, (768, 256), (3, 1), 9, 78_155_532), (6, (512, 512), (4, 4), 8, 61_462_284)],
)
def test_it_is_the_paper_s_network(n_inputs, shape, start, layers, parameters):
    with torch.device("meta"):
        network = Generator(n_inputs, 6, shape, start)
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.ConvTranspose2d)]
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


def test_a_grid_out_of_reach_is_refused():
    with pytest.raises(ValueError, match="50 x 16 is not 3 x 1 doubled"):
        Generator(4, 6, (50, 16), (3, 1))
