import numpy as np
import pytest

from surrlab import decoding
from surrlab.codecs import Raw, Zfp, fletcher32


@pytest.fixture(params=["compiled", "zfpy"])
def way(request, monkeypatch):
    if request.param == "zfpy":
        monkeypatch.setattr(decoding, "_library", None)
    else:
        assert decoding._library is not None
    return request.param


def packed(shape, codecs, *, checked, seed=0):
    """Fields, and the arguments of `decode` for their chunks, which lie at odd places in memory."""
    fields = np.random.default_rng(seed).normal(size=(len(codecs), *shape)).astype(np.float32)
    data, starts, sizes = b"?", [], []
    for i, (field, codec) in enumerate(zip(fields, codecs, strict=True)):
        stream = codec.encode(field)
        if i % 2:  # as H5Z-ZFP leaves it
            stream = stream.rstrip(b"\0") if codec != Raw() else stream
        if checked:
            stream += fletcher32(stream).to_bytes(4, "little")
        starts.append(len(data))
        sizes.append(len(stream))
        data += stream + b"?"
    memory = np.frombuffer(bytearray(data), np.uint8)
    kinds = np.array([decoding.kind(codec, checked) for codec in codecs])
    addresses = memory.ctypes.data + np.array(starts)
    return fields, memory, [addresses, np.array(sizes), kinds, np.arange(len(codecs))]


CODECS = [Zfp(0.1), Raw(), Zfp(1e-3), Zfp(0.0), Zfp(64.0), Zfp(1e-6)]


@pytest.mark.parametrize("checked", [False, True])
@pytest.mark.parametrize("shape", [(24, 8), (5, 7), (1, 9), (9, 1), (1, 1)])
def test_fields_come_to_their_slots_as_each_codec_decodes_them(way, shape, checked):
    fields, memory, arguments = packed(shape, CODECS, checked=checked)
    slots = np.array([4, 0, 7, 1, 2, 6])
    out = np.full((8, *shape), np.nan, np.float32)
    assert decoding.decode(*arguments, slots, out) == -1
    for field, codec, slot in zip(fields, CODECS, slots, strict=True):
        expected = codec.decode(codec.encode(field), shape)
        np.testing.assert_array_equal(out[slot], expected)
    assert np.isnan(out[[3, 5]]).all()
    assert memory[0] == memory[-1] == ord("?")


@pytest.mark.parametrize("position", range(len(CODECS)))
def test_the_first_damaged_chunk_is_told(way, position):
    _, memory, arguments = packed((24, 8), CODECS, checked=True)
    addresses, sizes, kinds, _ = arguments
    for later in range(position, len(CODECS)):
        memory[addresses[later] - memory.ctypes.data + sizes[later] // 2] ^= 1
    out = np.empty((6, 24, 8), np.float32)
    assert decoding.decode(*arguments, np.arange(6), out) == position
    with pytest.raises(OSError, match="checksum"):
        decoding.explain(
            int(addresses[position]), int(sizes[position]), kinds[position], out[position]
        )


@pytest.mark.parametrize("checked", [False, True])
@pytest.mark.parametrize(
    "codec, nbytes",
    [(codec, n) for codec in (Raw(), Zfp(0.1)) for n in (0, 1, 100_000)]
    + [(Raw(), 767), (Raw(), 769)],
)
def test_a_length_that_cannot_be(way, codec, checked, nbytes):
    memory = np.zeros(100_000, np.uint8)
    arguments = [np.array([memory.ctypes.data]), np.array([nbytes])]
    kinds = np.array([decoding.kind(codec, checked)])
    out = np.empty((1, 24, 8), np.float32)
    first = np.zeros(1, int)
    assert decoding.decode(*arguments, kinds, first, first, out) == 0
    with pytest.raises((OSError, ValueError), match=r"bytes|checksum"):
        decoding.explain(memory.ctypes.data, nbytes, kinds[0], out[0])


def test_a_stream_cut_short_without_a_checksum():
    _, _, arguments = packed((24, 8), [Zfp(1e-3)], checked=False)
    arguments[1] -= 16
    first = np.zeros(1, int)
    assert decoding.decode(*arguments, first, np.empty((1, 24, 8), np.float32)) == 0


def test_no_chunks(way):
    nothing = np.empty(0, int)
    kinds, out = np.empty((0, 2)), np.empty((0, 24, 8), np.float32)
    assert decoding.decode(nothing, nothing, kinds, nothing, nothing, out) == -1
