import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from newcomer.rounding import Rounding

from surrlab.compression.codecs import (
    Codec,
    Raw,
    checked,
    codec_class,
    codec_from_config,
    codec_from_filter,
    register_codec,
)
from surrlab.compression.codecs.zfp import Zfp


@pytest.mark.parametrize("codec", [Raw(), Zfp(0.3), Zfp(0), Rounding(0.3), Rounding(0)])
def test_a_codec_is_a_value_that_its_configuration_rebuilds(codec):
    assert eval(repr(codec)) == codec
    again = codec_from_config(json.loads(json.dumps(codec.config())))
    assert again == codec and hash(again) == hash(codec)
    assert codec_class(codec.name) is type(codec)


def test_equal_settings_are_equal_codecs():
    codecs = [Zfp(0.25), Zfp(0.3), Zfp(0), Raw(), Raw(), Rounding(0.25), Rounding(0.3)]
    assert len(set(codecs)) == 5


def test_an_unknown_codec_is_named_with_those_that_there_are():
    with pytest.raises(KeyError, match=r"called 'sz9'; there are .*raw.*zfp"):
        codec_from_config({"codec": "sz9", "tolerance": 1.0})
    with pytest.raises(KeyError):
        codec_from_filter(299, ())


def test_a_name_or_a_filter_belongs_to_one_class():
    @dataclass(frozen=True)
    class Other(Rounding):
        name: ClassVar[str] = "other"

    with pytest.raises(ValueError, match=r"collides with .*Rounding"):
        register_codec(Other, h5_filter_id=1)
    Other.name = "zfp"
    with pytest.raises(ValueError, match=r"collides with .*Zfp"):
        register_codec(Other)
    register_codec(Rounding, h5_filter_id=1)  # a cell that ran twice


@pytest.mark.parametrize("tolerance", [-1, np.nan, np.inf])
def test_a_tolerance_that_is_none_is_refused(tolerance):
    with pytest.raises(ValueError, match=f"not {tolerance}"):
        Rounding(tolerance)


def test_what_a_codec_has_without_saying_so():
    codec, field = Rounding(0.5), np.linspace(-3, 3, 48, dtype=np.float32).reshape(8, 6)
    assert Rounding.snap(0.3) == 0.3 and Rounding.lossless() == Rounding(0)
    assert (codec.coarser(), codec.finer()) == (Rounding(1.0), Rounding(0.25))
    assert Rounding(0).finer() == Rounding(0) and Raw().finer() == Raw()
    assert Rounding.expected_tolerance(0.25, ndim=2) == 0.5
    assert (
        not Rounding(Rounding.erasing_tolerance(3, 2))
        .encode(field)
        .strip(Rounding(1.0).encode(0 * field))
    )
    stream, outs = codec.encode(field), np.empty((2, 8, 6), np.float32)
    codec.decode_many([stream, stream], list(outs))
    assert 0 < abs(outs - field).max() <= 0.5
    low, high = Rounding.plausible_bytes(field.shape, 4)
    assert low <= len(stream) <= high
    assert codec.class_name == "rounding" and Rounding.from_h5_options((4,)) == Rounding(0)


def test_streams_that_need_their_tolerance_say_so():
    class Plain(Rounding):
        carries_bound = False

    assert Plain(0.25).class_name == "rounding-0.25"
    with pytest.raises(ValueError, match="does not read its tolerance"):
        Plain.from_h5_options((4,))


def test_a_class_that_lacks_a_part_cannot_be_made():
    @dataclass(frozen=True)
    class Half(Codec):
        name: ClassVar[str] = "half"
        tolerance: float

    with pytest.raises(TypeError, match="abstract"):
        Half(0.1)


@pytest.mark.parametrize("dtype", [np.float16, np.int32, np.complex64, bool])
def test_only_floats_are_checked_in(dtype):
    with pytest.raises(TypeError, match="float32 and float64"):
        checked(np.ones((8, 8), dtype))


def test_what_is_checked_in_is_native_contiguous_and_without_sides_of_one():
    field = np.arange(12, dtype=">f8").reshape(3, 1, 4)
    ready = checked(field[::-1])
    assert ready.dtype == np.float64 and ready.dtype.isnative and ready.flags.c_contiguous
    np.testing.assert_array_equal(ready, field[::-1, 0])
