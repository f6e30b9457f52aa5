import numpy as np
import pytest

from surrlab.compression import zfp
from surrlab.compression.codecs import Raw
from surrlab.compression.hdf5_filters import fletcher32
from surrlab.compression.zfp import Zfp
from surrlab.loading import zfp_decoder


def packed(shape, kinds, *, checked, seed=0):
    """Fields, and the arguments of `decode` for their chunks, which lie at odd places in memory."""
    fields = np.random.default_rng(seed).normal(size=(len(kinds), *shape)).astype(np.float32)
    data, starts, sizes = b"?", [], []
    for i, (field, codec) in enumerate(zip(fields, kinds, strict=True)):
        stream = codec.encode(field)
        if i % 2:  # as H5Z-ZFP leaves it
            stream = stream.rstrip(b"\0") if codec != Raw() else stream
        if checked:
            stream += fletcher32(stream).to_bytes(4, "little")
        starts.append(len(data))
        sizes.append(len(stream))
        data += stream + b"?"
    memory = np.frombuffer(bytearray(data), np.uint8)
    rows = np.array([zfp_decoder.kind(codec, checked) for codec in kinds])
    addresses = memory.ctypes.data + np.array(starts)
    return fields, memory, [addresses, np.array(sizes), rows, np.arange(len(addresses))]


KINDS = [Zfp(0.1), Raw(), Zfp(1e-3), Zfp(0.0), Zfp(64.0), Zfp(1e-6)]


@pytest.mark.parametrize("checked", [False, True])
@pytest.mark.parametrize("shape", [(24, 8), (5, 7), (1, 9), (9, 1), (1, 1)])
def test_fields_come_to_their_slots_as_each_codec_decodes_them(shape, checked):
    fields, memory, arguments = packed(shape, KINDS, checked=checked)
    slots = np.array([4, 0, 7, 1, 2, 6])
    out = np.full((8, *shape), np.nan, np.float32)
    assert zfp_decoder.decode(*arguments, slots, out) == -1
    for field, codec, slot in zip(fields, KINDS, slots, strict=True):
        expected = codec.decode(codec.encode(field), shape)
        np.testing.assert_array_equal(out[slot], expected)
    assert np.isnan(out[[3, 5]]).all()
    assert memory[0] == memory[-1] == ord("?")


@pytest.mark.parametrize("position", range(len(KINDS)))
def test_the_first_damaged_chunk_is_told(position):
    _, memory, arguments = packed((24, 8), KINDS, checked=True)
    addresses, sizes, kinds, _ = arguments
    for later in range(position, len(KINDS)):
        memory[addresses[later] - memory.ctypes.data + sizes[later] // 2] ^= 1
    out = np.empty((6, 24, 8), np.float32)
    assert zfp_decoder.decode(*arguments, np.arange(6), out) == position
    with pytest.raises(OSError, match="checksum"):
        zfp_decoder.explain(
            int(addresses[position]), int(sizes[position]), kinds[position], out[position]
        )


@pytest.mark.parametrize("checked", [False, True])
@pytest.mark.parametrize(
    "codec, nbytes",
    [(codec, n) for codec in (Raw(), Zfp(0.1)) for n in (0, 1, 100_000)]
    + [(Raw(), 767), (Raw(), 769)],
)
def test_a_length_that_cannot_be(codec, checked, nbytes):
    memory = np.zeros(100_000, np.uint8)
    arguments = [np.array([memory.ctypes.data]), np.array([nbytes])]
    kinds = np.array([zfp_decoder.kind(codec, checked)])
    out = np.empty((1, 24, 8), np.float32)
    first = np.zeros(1, int)
    assert zfp_decoder.decode(*arguments, kinds, first, first, out) == 0
    with pytest.raises((OSError, ValueError), match=r"bytes|checksum"):
        zfp_decoder.explain(memory.ctypes.data, nbytes, kinds[0], out[0])


def test_a_stream_cut_short_without_a_checksum():
    _, _, arguments = packed((24, 8), [Zfp(1e-3)], checked=False)
    arguments[1] -= 16
    first = np.zeros(1, int)
    assert zfp_decoder.decode(*arguments, first, np.empty((1, 24, 8), np.float32)) == 0


def test_no_chunks():
    nothing = np.empty(0, int)
    kinds, out = np.empty((0, 2)), np.empty((0, 24, 8), np.float32)
    assert zfp_decoder.decode(nothing, nothing, kinds, nothing, nothing, out) == -1


@pytest.mark.parametrize("exponent", [-149, -126, -30, -12, -5, -1, 0, 3, 20, 100])
@pytest.mark.parametrize("shape", [(24, 8), (7, 6), (2, 3)])
def test_every_bit_is_zfps(shape, exponent):
    """Fields of all sizes under a tolerance: smooth, rough, with empty blocks, with tiny values."""
    codec, rng = Zfp(2.0**exponent), np.random.default_rng(exponent + 200)
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
            kinds = np.array([zfp_decoder.kind(codec, False)])
            addresses = np.array([memory.ctypes.data])
            assert (
                zfp_decoder.decode(addresses, np.array([len(stream)]), kinds, zero, zero, out) == -1
            )
            assert out[0].tobytes() == codec.decode(stream, shape).tobytes()


def test_noise_is_never_read_beyond_its_end():
    """Any bytes are a stream, or a damaged one; nothing crashes, and zfpy sees the same numbers."""
    rng, codec = np.random.default_rng(0), Zfp(2.0**-100)
    kinds, zero = np.array([zfp_decoder.kind(codec, False)]), np.zeros(1, int)
    low, high = zfp.plausible_bytes((24, 8), 4)
    whole = 0
    for turn in range(300):
        n = int(rng.integers(low, high + 1)) if turn % 2 else high
        memory = rng.integers(0, 256, n, dtype=np.uint8) | np.uint8(rng.integers(0, 256))
        out = np.empty((1, 24, 8), np.float32)
        found = zfp_decoder.decode(
            np.array([memory.ctypes.data]), np.array([n]), kinds, zero, zero, out
        )
        if found == -1:
            whole += 1
            assert out[0].tobytes() == codec.decode(memory.tobytes(), (24, 8)).tobytes()
    assert 0 < whole < 300
