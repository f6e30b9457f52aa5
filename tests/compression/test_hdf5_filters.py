import h5py
import numpy as np
import pytest

from surrlab.compression import codecs, hdf5_filters
from surrlab.compression.codecs import Raw
from surrlab.compression.codecs.zfp import Zfp
from surrlab.data import stored


@pytest.mark.parametrize("n", [1, 2, 3, 719, 720, 721, 1 << 17, (1 << 18) + 5])
@pytest.mark.parametrize("fill", [None, 0, 255])
def test_checksums_are_those_of_hdf5(tmp_path, n, fill):
    random = np.random.default_rng(n).integers(0, 256, n, np.uint8)
    data = random if fill is None else np.full(n, fill, np.uint8)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        dataset = file.create_dataset("x", data=data, chunks=(n,), fletcher32=True)
        file.flush()
        chunk = dataset.id.read_direct_chunk((0,))[1]
    assert hdf5_filters.fletcher32(data.tobytes()).to_bytes(4, "little") == chunk[-4:]


def encoding(dataset, mask=0):
    """Codec and checksum of a dataset's chunks, as HDF5 itself lists their filters."""
    return hdf5_filters.codec_of(stored.filters_of(dataset, mask))


def test_a_file_tells_how_its_chunks_are_stored(tmp_path, monkeypatch):
    monkeypatch.delitem(codecs._by_filter, 1, raising=False)  # another test's codec reads deflate
    with h5py.File(tmp_path / "x.h5", "w") as file:

        def dataset(**arguments):
            return file.create_dataset(None, (1, 8, 8), "f4", chunks=(1, 8, 8), **arguments)

        for codec in (Zfp(0.3), Zfp(2.0**-40), Zfp(2.0**40), Zfp(0), Raw()):
            assert encoding(dataset(**codec.h5_filter())) == (codec, False)
            assert encoding(dataset(fletcher32=True, **codec.h5_filter())) == (codec, True)
        both = dataset(fletcher32=True, **Zfp(1).h5_filter())
        assert encoding(both, 0b01) == (Raw(), True)
        assert encoding(both, 0b10) == (Zfp(1), False)
        with pytest.raises(ValueError, match="deflate"):
            encoding(dataset(compression="gzip"))
        with pytest.raises(ValueError, match="shuffle"):
            encoding(dataset(shuffle=True, **Zfp(1).h5_filter()))
        rate = {"compression": 32013, "compression_opts": (1, 0, 0, 1 << 30, 0, 0)}
        with pytest.raises(ValueError, match="mode other than accuracy"):
            encoding(dataset(**rate))


def test_a_chain_of_filters_that_surrlab_never_writes_is_refused(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        dataset = file.create_dataset("x", (1, 8, 8), "f4", chunks=(1, 8, 8), **Zfp(1).h5_filter())
        (zfp,) = stored.filters_of(dataset, 0)
    fletcher32 = (3, ())
    assert hdf5_filters.codec_of([zfp, fletcher32]) == (Zfp(1), True)
    for filters in ([zfp, zfp], [fletcher32, zfp], [fletcher32, fletcher32], [(299, (1, 2))]):
        with pytest.raises(ValueError, match="are not those of one registered codec"):
            hdf5_filters.codec_of(filters)
