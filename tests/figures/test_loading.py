"""The figures of Section VI-C, drawn from invented measurements."""

import numpy as np
from synthetic import STORAGES, caption, epoch_table, rate_table

from surrlab.figures import loading


def test_throughput_draws_the_medians():
    table = rate_table()
    figure = loading.throughput(table)
    assert len(figure.axes) == len(STORAGES)
    for ax, name in zip(figure.axes, STORAGES, strict=True):
        heights = [bar.get_height() for bar in ax.patches]
        np.testing.assert_allclose(heights, table["rate"].sel(storage=name).median("round"))
        assert [t.get_text() for t in ax.get_xticklabels()] == ["raw", "10.8×", "20.5×"]
    gains = [text.get_text() for text in figure.axes[0].texts]
    assert gains == ["", "3.3×", "4.2×"]  # 120 MB/s raw; decoding gives 400 and 500
    assert "raw data: disk: 4.2×; network: 1×; this machine: 0.56×" in caption(figure)


def test_epoch_time_draws_loading_computing_and_waiting():
    figure = loading.epoch_time(epoch_table())
    assert [ax.get_title() for ax in figure.axes] == ["1 process", "2 processes"]
    bars = np.array([bar.get_height() for bar in figure.axes[1].patches]).reshape(3, 3)
    np.testing.assert_allclose(bars[0], 1.1 * np.array([5, 2, 2]))  # an epoch
    np.testing.assert_allclose(bars[1], 1.1 * np.array([2, 2, 2]))  # of which computing
    np.testing.assert_allclose(bars[2], 1.1 * np.array([5, 1.5, 0.8]))  # loading alone
    assert "Share of an epoch with 2 processes: raw: 60 %; 10.8×: 0 %;" in caption(figure)


def test_two_versions_of_one_ratio_are_two_bars():
    table = rate_table().assign_coords(ratio=("version", [1.0, 20.5, 20.5]))
    ax, *_ = loading.throughput(table).axes
    names = ["raw\nraw", "20.5×\nzfp ×2", "20.5×\nzfp ×4"]
    assert [t.get_text() for t in ax.get_xticklabels()] == names and len(ax.patches) == 3
