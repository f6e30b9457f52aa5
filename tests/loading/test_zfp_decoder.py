import numpy as np
import pytest
from newcomer.rounding import Rounding

from surrlab.compression.codecs import Raw
from surrlab.compression.codecs.zfp import Zfp
from surrlab.compression.hdf5_filters import fletcher32
from surrlab.loading.zfp_decoder import Decoder


def packed(shape, codecs, *, checked, dtype=np.float32):
    """Fields, a decoder, and its arguments for their chunks, which lie at odd places in memory."""
    fields = np.random.default_rng(0).normal(size=(len(codecs), *shape)).astype(dtype)
    data, starts, sizes = b"?", [], []
    for i, (field, codec) in enumerate(zip(fields, codecs, strict=True)):
        stream = codec.encode(field)
        if i % 2 and isinstance(codec, Zfp):  # as H5Z-ZFP leaves it
            stream = stream.rstrip(b"\0")
        if checked:
            stream += fletcher32(stream).to_bytes(4, "little")
        starts.append(len(data))
        sizes.append(len(stream))
        data += stream + b"?"
    memory = np.frombuffer(bytearray(data), np.uint8)
    decoder = Decoder([(codec, checked) for codec in codecs], shape, dtype)
    addresses = memory.ctypes.data + np.array(starts)
    return fields, memory, decoder, [addresses, np.array(sizes), np.arange(len(addresses))]


CODECS = [Zfp(0.1), Raw(), Zfp(1e-3), Zfp(0.0), Zfp(64.0), Zfp(1e-6), Rounding(0.1)]


@pytest.mark.parametrize("checked", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "shape", [(24, 8), (5, 7), (1, 9), (9, 1), (1, 1), (30,), (5, 1, 7), (3, 4, 5)]
)
def test_fields_come_to_their_slots_as_each_codec_decodes_them(shape, dtype, checked):
    fields, memory, decoder, arguments = packed(shape, CODECS, checked=checked, dtype=dtype)
    slots = np.array([4, 0, 7, 1, 8, 2, 6])
    out = np.full((9, *shape), np.nan, np.float32)
    assert decoder.decode(*arguments, slots, out) == -1
    for field, codec, slot in zip(fields, CODECS, slots, strict=True):
        expected = codec.decode(codec.encode(field), shape, dtype)
        np.testing.assert_array_equal(out[slot], expected.astype(np.float32))
    assert np.isnan(out[[3, 5]]).all()
    assert memory[0] == memory[-1] == ord("?")


@pytest.mark.parametrize("position", range(len(CODECS)))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_first_damaged_chunk_is_told(position, dtype):
    _, memory, decoder, arguments = packed((24, 8), CODECS, checked=True, dtype=dtype)
    addresses, sizes, _ = arguments
    for later in range(position, len(CODECS)):
        memory[addresses[later] - memory.ctypes.data + sizes[later] // 2] ^= 1
    out = np.empty((len(CODECS), 24, 8), np.float32)
    assert decoder.decode(*arguments, np.arange(len(CODECS)), out) == position
    with pytest.raises(OSError, match="checksum"):
        decoder.explain(addresses[position], sizes[position], position, out[position])


@pytest.mark.parametrize("checked", [False, True])
@pytest.mark.parametrize(
    "codec, nbytes",
    [(codec, n) for codec in (Raw(), Zfp(0.1), Zfp(0)) for n in (0, 1, 100_000)]
    + [(Raw(), 767), (Raw(), 769)],
)
def test_a_length_that_cannot_be(codec, checked, nbytes):
    memory = np.zeros(100_000, np.uint8)
    decoder = Decoder([(codec, checked)], (24, 8), np.float32)
    out, first = np.empty((1, 24, 8), np.float32), np.zeros(1, int)
    address = np.array([memory.ctypes.data])
    assert decoder.decode(address, np.array([nbytes]), first, first, out) == 0
    with pytest.raises((OSError, ValueError), match=r"bytes|checksum"):
        decoder.explain(memory.ctypes.data, nbytes, 0, out[0])


def test_a_stream_cut_short_without_a_checksum():
    _, _, decoder, arguments = packed((24, 8), [Zfp(1e-3)], checked=False)
    arguments[1] -= 16
    assert decoder.decode(*arguments, np.zeros(1, int), np.empty((1, 24, 8), np.float32)) == 0


def test_a_number_beyond_float32_is_refused():
    stream = Raw().encode(np.full((24, 8), 1e300))
    memory, zero = np.frombuffer(stream, np.uint8), np.zeros(1, int)
    decoder = Decoder([(Raw(), False)], (24, 8), np.float64)
    out, place = np.zeros((1, 24, 8), np.float32), np.array([memory.ctypes.data])
    assert decoder.decode(place, np.array([len(stream)]), zero, zero, out) == 0
    with pytest.raises(ValueError, match="beyond the range of float32"):
        decoder.explain(place[0], len(stream), 0, out[0])


def test_no_chunks():
    nothing = np.empty(0, int)
    decoder = Decoder([], (24, 8), np.float32)
    out = np.empty((0, 24, 8), np.float32)
    assert decoder.decode(nothing, nothing, nothing, nothing, out) == -1


@pytest.mark.parametrize("exponent", [-149, -126, -30, -12, -5, -1, 0, 3, 20, 100])
@pytest.mark.parametrize("shape", [(24, 8), (7, 6), (2, 3)])
def test_every_bit_is_zfps(shape, exponent):
    """Fields of all sizes under a tolerance: smooth, rough, with empty blocks, with tiny values."""
    codec, rng = Zfp(2.0**exponent), np.random.default_rng(exponent + 200)
    decoder = Decoder([(codec, False)], shape, np.float32)
    y, x = np.mgrid[: shape[0], : shape[1]]
    for size in (-3, 0, 4, 9, 15, 24, 31):
        scale = min(2.0 ** (exponent + size), 1e38)
        for kind in range(6):
            field = [
                lambda: rng.normal(size=shape),
                lambda: np.sin(x / 5) * np.cos(y / 7),
                lambda: np.where(x + y < 6, 1, -0.25),
                lambda: np.where(rng.random(shape) < 0.05, 1, 0) * rng.normal(size=shape),
                lambda: np.exp(-((x - 3.0) ** 2)) * 2.0 ** -rng.integers(0, 40, shape),
                lambda: np.zeros(shape),
            ][kind]()
            stream = codec.encode((scale * field / max(abs(field).max(), 1)).astype(np.float32))
            memory, zero = np.frombuffer(stream, np.uint8), np.zeros(1, int)
            out = np.empty((1, *shape), np.float32)
            addresses = np.array([memory.ctypes.data])
            assert decoder.decode(addresses, np.array([len(stream)]), zero, zero, out) == -1
            assert out[0].tobytes() == codec.decode(stream, shape).tobytes()


def test_noise_is_never_read_beyond_its_end():
    """Any bytes are a stream, or a damaged one; nothing crashes, and zfpy sees the same numbers."""
    rng, codec = np.random.default_rng(0), Zfp(2.0**-100)
    decoder, zero = Decoder([(codec, False)], (24, 8), np.float32), np.zeros(1, int)
    low, high = Zfp.plausible_bytes((24, 8), 4)
    whole = 0
    for turn in range(300):
        n = int(rng.integers(low, high + 1)) if turn % 2 else high
        memory = rng.integers(0, 256, n, dtype=np.uint8) | np.uint8(rng.integers(0, 256))
        out = np.empty((1, 24, 8), np.float32)
        place = np.array([memory.ctypes.data])
        found = decoder.decode(place, np.array([n]), zero, zero, out)
        if found == -1:
            whole += 1
            assert out[0].tobytes() == codec.decode(memory.tobytes(), (24, 8)).tobytes()
    assert 0 < whole < 300


@pytest.mark.parametrize("shape", [(24, 8), (7, 6), (4, 700)])
def test_a_damaged_stream_is_refused_or_zfps(shape):
    """Bits turned over, an end cut off: what is not refused has the values that zfp reads."""
    rng, zero, whole = np.random.default_rng(0), np.zeros(1, int), 0
    for turn in range(300):
        codec = Zfp(2.0 ** int(rng.integers(-40, 1)))
        decoder = Decoder([(codec, False)], shape, np.float32)
        stream = bytearray(codec.encode(rng.normal(size=shape).astype(np.float32)))
        if turn % 2:
            del stream[rng.integers(1, len(stream)) :]
        else:
            for place in rng.integers(0, len(stream), 3):
                stream[place] ^= 1 << rng.integers(8)
        memory, out = np.frombuffer(stream, np.uint8), np.full((3, *shape), 7, np.float32)
        found = decoder.decode(
            np.array([memory.ctypes.data]), np.array([len(stream)]), zero, zero + 1, out
        )
        assert (out[[0, 2]] == 7).all()
        if found == -1:
            whole += 1
            assert out[1].tobytes() == codec.decode(bytes(stream), shape).tobytes()
    assert 0 < whole < 300
