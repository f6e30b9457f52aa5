"""What makes codecs return garbage, hang or crash: each codec refuses it, or keeps its bound."""

import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import h5py
import hdf5plugin
import numpy as np
import pytest

from surrlab import compression
from surrlab.compression import BitRound, Sperr, Sz3, Zfp
from surrlab.compression.codecs import Raw
from surrlab.compression.codecs.filter_library import local_words
from surrlab.data.ensemble import InMemoryEnsemble
from surrlab.data.native import open_native
from surrlab.loading import SampleLoader

CODECS = (Zfp, Sz3, Sperr, BitRound)
CARRYING = (Sz3, Sperr, BitRound)  # whose streams say how to decode themselves
Y, X = np.mgrid[0:1:48j, 0:1:20j]
WAVE = np.float32(np.sin(9 * X) * np.cos(7 * Y) + np.tanh(30 * (Y - 0.5)))

every_codec = pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)


def error(codec, field):
    back = codec.decode(codec.encode(field), field.shape, field.dtype.newbyteorder("="))
    assert back.shape == field.shape
    return float(np.abs(np.subtract(back, field, dtype=np.float64)).max())


@every_codec
@pytest.mark.parametrize(
    "field",
    [
        WAVE,
        WAVE.astype(float),
        WAVE.astype(">f4"),
        WAVE.astype(">f8"),
        WAVE[::2, ::-1],
        WAVE.T,
        np.asfortranarray(WAVE),
        np.broadcast_to(WAVE[0], WAVE.shape),
        np.ma.MaskedArray(WAVE, mask=False),
        WAVE[:, None],
        WAVE[None],
        np.zeros_like(WAVE),
        np.full_like(WAVE, 3.7),
        WAVE[:9, :9],
        WAVE[:5, :7],
        WAVE[:2, :2],
        WAVE[:3, :11],
        np.stack([WAVE, 2 * WAVE, WAVE[::-1]]),
    ],
    ids="float32 float64 big big64 strided transposed fortran broadcast unmasked thin deep zeros "
    "constant 9x9 5x7 2x2 3x11 volume".split(),
)
@pytest.mark.parametrize("tolerance", [1e-3, 0.1, 5.0])
def test_the_bound_holds(codec, field, tolerance):
    one = codec(tolerance)
    assert error(one, field) <= one.tolerance <= tolerance


@every_codec
@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1e15, 1e30, 1e37], ids=str)
@pytest.mark.parametrize("fineness", [1e-2, 3.0])
def test_tiny_and_huge_values_are_kept_or_refused(codec, scale, fineness):
    field = np.float32(WAVE * scale)
    if codec is Sperr and scale * fineness > 2.0**63:
        with pytest.raises(ValueError, match="below 2\\^63"):
            Sperr(scale * fineness)
        return
    found = compression.search.measure(field, codec(scale * fineness))
    # zfp's bound does not hold for such small values: `find_tolerance` measures.
    assert found.max_error <= found.tolerance or (codec is Zfp and scale <= 1e-30)


@every_codec
def test_the_bound_allows_for_rounding_to_the_fields_type(codec):
    field = 1000 + WAVE
    for tolerance in (1e-4, 1e-3, 0.04):
        assert error(codec(tolerance), field) <= tolerance


@every_codec
def test_the_search_measures_where_a_bound_cannot_hold(codec):
    for field in (WAVE * np.float32(1e-42), np.float32(1e6) + np.float32(1e-2) * WAVE):
        found = compression.find_tolerance(field, 1e-3 * float(np.ptp(field)), codec)
        back = found.codec.decode(found.stream, field.shape)
        assert np.abs(back - field).max() <= found.tolerance


@every_codec
def test_the_largest_values_do_not_hang_or_overflow(codec):
    field = np.where(WAVE > 0, np.float32(3.4e38), np.float32(-3.4e38))
    try:
        found = compression.search.measure(field, codec(1e18))
    except ValueError as refused:
        assert codec.name in str(refused).lower()
    else:
        assert found.max_error <= 1e18


@every_codec
@pytest.mark.parametrize(
    ("field", "message"),
    [
        (np.where(WAVE > 1, np.nan, WAVE), "not finite"),
        (np.where(WAVE > 1, np.inf, WAVE), "not finite"),
        (np.ma.MaskedArray(WAVE, mask=WAVE > 0), "are masked"),
        (WAVE[:0], "without values"),
    ],
    ids=["nan", "inf", "masked", "empty"],
)
def test_what_no_codec_can_keep_is_refused(codec, field, message):
    with pytest.raises(ValueError, match=message):
        codec(0.1).encode(np.ma.asanyarray(field).astype(np.float32))


@every_codec
@pytest.mark.parametrize("shape", [(1, 1), (1,), (30,), (1, 40), (40, 1), (2, 3, 4, 5)], ids=str)
def test_one_cell_lines_and_more_dimensions_are_kept_or_refused(codec, shape):
    field = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    if codec is Sperr:
        with pytest.raises(ValueError, match="SPERR takes two or three sides longer than 1"):
            codec(0.1).encode(field)
    else:
        assert error(codec(0.1), field) <= 0.1


@every_codec
def test_lossless_changes_nothing(codec):
    for field in (WAVE, WAVE.astype(float), WAVE * np.float32(1e-42), WAVE[:2, :2]):
        assert error(codec.lossless(), field) == 0
    assert Sperr.lossless() == Raw()
    with pytest.raises(ValueError, match="above 0"):
        Sperr(0)


@pytest.mark.parametrize("rule", ["field", "fixed"])
def test_a_field_that_a_codec_refuses_is_named(ensemble, tmp_path, rule):
    one = ensemble.select([1])
    samples = one.read_simulation(1).astype(np.float64)
    samples[7, 3, 0, :2] = 3e29, -3e29
    far = InMemoryEnsemble.like(one, [samples], "far apart")
    scale = {"scale": [1.0] * 6} if rule == "fixed" else {}
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(
            ValueError, match="far apart: simulation 1: time 7, field pressure: it cannot be"
        ):
            compression.find_tolerances(far, 0.1, codec=Picky, rule=rule, executor=pool, **scale)


class Picky(Zfp):
    """A codec that refuses large values."""

    def encode(self, array):
        if np.abs(array).max() > 1e29:
            raise ValueError("it cannot be")
        return super().encode(array)


# ------------------------------------------------------------------------------- damaged streams


@pytest.mark.parametrize("codec", CARRYING, ids=lambda codec: codec.name)
@pytest.mark.parametrize("field", [WAVE, np.stack([WAVE] * 9), 0 * WAVE, WAVE[:2, :3]])
def test_a_stream_cut_short_or_of_another_field_is_refused(codec, field):
    one = codec(0.01)
    stream = one.encode(field)
    for length in range(0, len(stream), max(1, len(stream) // 97)):
        with pytest.raises(ValueError, match=f"not a {one.name} stream .* {length} bytes"):
            one.decode(stream[:length], field.shape)
    noise = [] if len(stream) == field.nbytes else [b"\xff" * len(stream)]
    for wrong in (b"\0" + stream, stream + b"\0", *noise):
        with pytest.raises(ValueError, match=f"not a {one.name} stream"):
            one.decode(wrong, field.shape)


def test_the_sides_of_an_sz3_stream_are_its_own():
    with pytest.raises(ValueError, match=r"without settings of SZ3 for sides \(20, 48\)"):
        Sz3(0.1).decode(Sz3(0.1).encode(WAVE), (20, 48))


@pytest.fixture(scope="module", params=CODECS, ids=lambda codec: codec.name)
def stored(request, ensemble, tmp_path_factory):
    path = tmp_path_factory.mktemp("stored") / request.param.name
    with ThreadPoolExecutor(1) as pool:
        return compression.search_and_compress(
            ensemble.select([3]), 0.01, path, codec=request.param, executor=pool
        )


def test_bounds_hold_in_a_fresh_process_with_h5py_alone(stored, ensemble, tmp_path):
    program = (
        "import sys, h5py, hdf5plugin, numpy as np\n"
        f"with h5py.File({str(stored.file(3))!r}) as f:\n"
        f"    np.save('all.npy', np.stack([f[n][:] for n in {list(stored.field_names)}], 1))\n"
        "assert not any(name.startswith('surrlab') for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)
    table = compression.table(stored)
    truth = ensemble.select([3]).read_simulation(3).astype(float)
    back = np.load(tmp_path / "all.npy")
    largest = np.abs(back - truth).max(axis=(2, 3))
    np.testing.assert_array_equal(largest, table["max_error"])
    assert (largest <= table["tolerance"]).all() and len(np.unique(table["tolerance"])) > 3
    np.testing.assert_array_equal(back, stored.read_simulation(3))
    with SampleLoader(stored, 16, seed=0, shuffle=False) as loader:
        np.testing.assert_array_equal(np.concatenate([batch for _, batch in loader]), back)
        assert loader.reads_in_place


def test_streams_that_carry_their_bound_lie_in_one_dataset(stored):
    with h5py.File(stored.file(3)) as file:
        for name in stored.field_names:
            assert file[name].is_virtual == (stored.metadata["request"]["codec"] == "zfp")
            assert file[name].is_virtual or file[name].fletcher32


@pytest.mark.parametrize("place", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_a_flipped_bit_in_a_file_is_noticed(stored, tmp_path, place):
    copy = open_native(shutil.copytree(stored.path, tmp_path / "copy"))
    (chunk,) = (c for c in copy.chunks(copy.file(3)) if (c.sample, c.field) == (20, 3))
    with copy.file(3).open("r+b") as file:
        file.seek(chunk.offset + int(place * (chunk.nbytes - 1)))
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 8]))
    with pytest.raises(OSError, match=r"checksum|filter|read"):
        copy.read(20)
    name = copy.field_names[3]
    with SampleLoader(copy, 16, seed=0) as loader:
        with pytest.raises(OSError, match=f"simulation 3, time 20, field {name}: the checksum"):
            list(loader)


# ------------------------------------------------------------------------------------- threads


@every_codec
def test_threads_decode_at_the_same_time(codec):
    field = np.tile(WAVE, (30, 60))
    one = codec(0.01)
    stream, stop, turns = one.encode(field), threading.Event(), 0

    def decode():
        one.decode(stream, field.shape)
        stop.set()

    worker = threading.Thread(target=decode)
    switch = sys.getswitchinterval()
    sys.setswitchinterval(100)  # nobody is made to let go of the lock
    try:
        worker.start()
        while not stop.is_set():
            turns += 1
            time.sleep(1e-4)
    finally:
        sys.setswitchinterval(switch)
        worker.join()
    assert turns > 3


@every_codec
def test_many_threads_decode_the_same_values(codec):
    one = codec(0.01)
    fields = [np.float32(WAVE * k) for k in range(1, 30)]
    with ThreadPoolExecutor(4) as pool:
        streams = list(pool.map(one.encode, fields))
        backs = list(pool.map(lambda s: one.decode(s, WAVE.shape), streams * 3))
    assert streams == [one.encode(field) for field in fields]
    for back, field in zip(backs, fields * 3, strict=True):
        assert np.abs(back - field).max() <= one.tolerance


def test_threads_may_begin_at_the_same_time():
    """The first call for a shape asks HDF5, and several threads of a loader make it at once."""
    together = threading.Barrier(8)

    def first(n):
        together.wait()
        return local_words(Sz3.number, Sz3(1.0)._options(), (24, 8 + n // 2), "<f4")

    for _ in range(20):
        local_words.cache_clear()
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(first, range(8)))
        assert found[::2] == found[1::2] and len(set(found)) == 4


def test_a_filter_that_this_machine_lacks_is_named(monkeypatch, tmp_path):
    from surrlab.compression.codecs import filter_library

    filter_library._function.cache_clear()
    monkeypatch.setattr(hdf5plugin, "PLUGIN_PATH", str(tmp_path))
    with pytest.raises(ImportError, match=r"HDF5 filter sz3 .*pip install --upgrade hdf5plugin"):
        Sz3(0.1).encode(WAVE)
    filter_library._function.cache_clear()


def test_a_file_whose_filter_is_missing_names_it(stored):
    """And does not call itself damaged: whoever removed it would make the same again."""
    name = stored.metadata["request"]["codec"]
    number = {"zfp": 32013, "sz3": Sz3.number, "sperr": Sperr.number, "bitround": BitRound.number}
    plugin = {"bitround": "blosc2"}.get(name, name)
    h5py.h5z.unregister_filter(number[name])
    try:
        with pytest.raises(OSError, match=f"needs the HDF5 filter .*{number[name]}.* pip install"):
            stored.read(20)
    finally:
        assert hdf5plugin.register(plugin, force=True)
    assert stored.read(20).shape == stored.sample_shape
