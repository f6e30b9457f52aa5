import json

import h5py
import numpy as np
import pytest

from surrlab.compression.codecs import Raw
from surrlab.compression.codecs.zfp import Zfp


def noise(shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def stored(path, array, codec):
    """What HDF5's own filter writes for an array, as one chunk with its checksum."""
    with h5py.File(path, "w") as file:
        chunk = (1, *array.shape)
        dataset = file.create_dataset(
            "x", chunk, array.dtype, chunks=chunk, fletcher32=True, **codec.h5_filter()
        )
        dataset[0] = array
        file.flush()
        return dataset.id.read_direct_chunk((0,) * len(chunk))[1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(48, 16), (5, 7), (1, 9), (9, 1), (30,), (3, 4, 5)])
@pytest.mark.parametrize("tolerance", [1e-3, 0.3, 1.0])
def test_no_value_is_off_by_more_than_the_tolerance(shape, tolerance, dtype):
    field, codec = noise(shape, dtype), Zfp(tolerance)
    decoded = codec.decode(codec.encode(field), shape, dtype)
    assert (decoded.shape, decoded.dtype) == (shape, dtype)
    assert 0 < abs(decoded - field).max() <= codec.tolerance == 2.0**codec.exponent <= tolerance


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tolerance_zero_is_lossless(dtype):
    field = noise((33, 18), dtype) * 10.0 ** np.arange(-9, 9)
    assert Zfp(0).exponent is None
    np.testing.assert_array_equal(Zfp(0).decode(Zfp(0).encode(field), (33, 18), field.dtype), field)


def test_a_codec_is_a_value():
    assert Zfp(0.3) == Zfp(0.25) == eval(repr(Zfp(0.3)))
    assert len({Zfp(0.25), Zfp(0.3), Zfp(0.5), Zfp(0), Raw(), Raw()}) == 4
    config = json.loads(json.dumps(Zfp(0.3).config()))
    assert config.pop("codec") == "zfp" and Zfp(**config) == Zfp(0.3)


@pytest.mark.parametrize("tolerance", [-1, np.nan, np.inf])
def test_a_tolerance_that_zfp_would_take_for_lossless_is_refused(tolerance):
    with pytest.raises(ValueError, match=f"not {tolerance}"):
        Zfp(tolerance)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("codec", [Zfp(0.1), Zfp(0), Raw()])
def test_values_that_are_not_finite_are_named(codec, value):
    field = noise((48, 16))
    field[[7, 40], [3, 0]] = value
    with pytest.raises(ValueError, match=rf"2 of 768 .* \({value}\) at \(7, 3\)"):
        codec.encode(field)


@pytest.mark.parametrize("dtype", [np.float16, np.int32, np.complex64, bool])
def test_other_types_are_refused(dtype):
    with pytest.raises(TypeError, match="float32 and float64"):
        Zfp(0.1).encode(np.ones((8, 8), dtype))
    with pytest.raises(TypeError, match="float32 and float64"):
        Zfp(0.1).decode(bytes(64), (8, 8), dtype)


@pytest.mark.parametrize("shape", [(0, 4), (2, 2, 2, 2, 2)])
def test_shapes_that_zfp_cannot_encode_are_refused(shape):
    with pytest.raises(ValueError, match=r"without values|at most 4"):
        Zfp(0.1).encode(np.ones(shape, np.float32))


@pytest.mark.parametrize("codec", [Zfp(1e-3), Zfp(0), Raw()])
def test_memory_layout_does_not_matter(codec):
    field = noise((48, 16))
    expected = codec.encode(field)
    wide = np.zeros((96, 64), np.float32)
    wide[::2, ::4] = field
    for same in (field.astype(">f4"), np.asfortranarray(field), wide[::2, ::4], field[None]):
        assert codec.encode(same) == expected
    rows = np.broadcast_to(field[0], (48, 16))  # zfpy would read past its one row
    assert codec.encode(rows) == codec.encode(rows.copy())
    np.testing.assert_allclose(codec.decode(codec.encode(rows), (48, 16)), rows, atol=1e-3)


@pytest.mark.parametrize("codec", [Zfp(1e-3), Zfp(0), Raw()])
def test_decode_fills_its_part_of_a_batch_and_nothing_else(codec):
    field, batch = noise((48, 16)), np.full((3, 6, 48, 16), 7, np.float32)
    out = batch[1, 2]
    assert codec.decode(codec.encode(field), (48, 16), out=out) is out
    np.testing.assert_allclose(batch[1, 2], field, atol=1e-3)
    out[:] = 7
    assert (batch == 7).all()


@pytest.mark.parametrize("codec", [Zfp(0.1), Raw()])
@pytest.mark.parametrize(
    "out",
    [
        np.zeros((48, 32), np.float32)[:, ::2],
        np.zeros((16, 48), np.float32).T,
        np.zeros((16, 48), np.float32),
        np.zeros((48, 16), np.float64),
        np.zeros((48, 16), ">f4"),
    ],
)
def test_decode_refuses_an_output_that_does_not_fit(codec, out):
    stream = codec.encode(noise((48, 16)))
    with pytest.raises(ValueError, match="C-contiguous"):
        codec.decode(stream, (48, 16), out=out)
    assert not out.any()


def test_a_stream_of_an_impossible_length_is_refused():
    stream = Zfp(0).encode(noise((48, 16)))
    for wrong in (b"", stream[:5], stream + stream):
        with pytest.raises(ValueError, match=f"{len(wrong)} bytes"):
            Zfp(0).decode(wrong, (48, 16))
    with pytest.raises(ValueError, match="takes 256 bytes, got 255"):
        Raw().decode(bytes(255), (8, 8))


@pytest.mark.parametrize("tolerance", [0.3, 1e-4, 0])
@pytest.mark.parametrize("shape", [(48, 16), (5, 7), (1, 9), (9, 1)])
def test_streams_are_those_of_the_hdf5_filter(tmp_path, shape, tolerance):
    field, codec = noise(shape), Zfp(tolerance)
    stream = codec.encode(field)
    chunk = stored(tmp_path / "by_hdf5.h5", field, codec)[:-4]
    assert stream[: len(chunk)] == chunk and not any(stream[len(chunk) :])
    decoded = codec.decode(stream, shape)
    np.testing.assert_array_equal(codec.decode(chunk, shape), decoded)
    path = tmp_path / "by_hand.h5"
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset(
            "x", (1, *shape), "f4", chunks=(1, *shape), **codec.h5_filter()
        )
        dataset.id.write_direct_chunk((0, 0, 0), stream)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["x"][0], decoded)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_expected_tolerance_gives_that_error_on_noise(ndim):
    field = 100 * noise((4096, 64, 16)[ndim - 1 : ndim] * ndim, np.float64)
    error = 1 / Zfp.expected_tolerance(1, ndim)  # of tolerance 1, a power of two
    decoded = Zfp(1).decode(Zfp(1).encode(field), field.shape, field.dtype)
    assert abs(decoded - field).mean() == pytest.approx(error, rel=0.05)


def test_neighbours_are_the_double_and_the_half():
    assert (Zfp(0.3).coarser(), Zfp(0.3).finer()) == (Zfp(0.5), Zfp(0.125))
    assert Zfp.snap(0.3) == 0.25 and Zfp.snap(0) == 0 and Zfp.lossless() == Zfp(0)
    with pytest.raises(ValueError, match="lossless"):
        Zfp(0).coarser()


def test_classes_are_named_by_what_the_filter_must_be_told():
    assert [Zfp(t).class_name for t in (0.3, 0.25, 2, 0)] == ["-2", "-2", "1", "reversible"]


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("peak", [1e-20, 1.0, 3.7, 1e20])
def test_at_the_erasing_tolerance_nothing_is_left(ndim, peak):
    field = (noise((64, 24, 8)[ndim - 1 : ndim] * ndim, np.float64)).clip(-1, 1) * peak
    codec = Zfp(Zfp.erasing_tolerance(float(abs(field).max()), ndim))
    assert not codec.decode(codec.encode(field), field.shape, field.dtype).any()
