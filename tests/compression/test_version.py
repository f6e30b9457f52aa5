"""Versions: names and folders that tell them apart, and what is refused."""

import dataclasses
import itertools
import json
import pickle

import numpy as np
import pytest

from surrlab.compression import Version
from surrlab.compression.version import RAW, RULES

FACTORS = (1 / 8, 1 / 3, 0.1, 0.5, 1, 1.0000000000000002, 2, 4.0, 1e-12, 1e12)
FACTORS += (0.1234567, 0.12345671, 1e-5, 0.333, 0.3333, 1000.5)
SEVERAL = [
    Version(*parts)
    for parts in itertools.product(("zfp", "sz3", "bit-round", "zfp.sample"), RULES, FACTORS)
]


def test_names_are_for_people():
    names = {
        Version("zfp", "field", 1 / 8): "zfp ×1/8",
        Version("zfp", "sample", 1): "zfp sample ×1",
        Version("sz3", "fixed", 0.05): "sz3 fixed ×1/20",
        Version("zfp", "field", 1e-5): "zfp ×1e-05",
        RAW: "raw",
    }
    assert {version: version.name for version in names} == names
    assert Version("zfp", "field", 1).label(21.04) == "21.0× (tolerance ×1)"
    assert Version("zfp", "fixed", 0.5).label(9.99) == "10.0× (fixed tolerance 0.5)"
    assert RAW.label(1.0) == "raw"


@pytest.mark.parametrize("what", ["name", "folder"])
def test_distinct_versions_have_distinct_names_and_folders(what):
    several = [*SEVERAL, RAW]
    assert len(set(several)) == len(several) == len({getattr(v, what) for v in several})
    if what == "folder":  # one part of a path, on any system
        assert all(v.folder == v.folder.strip(". ") and "/" not in v.folder for v in several)


def test_equal_versions_are_one_key_with_one_folder():
    same = [
        Version("zfp", "field", factor) for factor in (1, 1.0, np.float64(1), np.float32(1), True)
    ]
    assert len(set(same)) == 1 and len({v.folder for v in same}) == 1
    assert same[1].folder == "zfp-field-x1.0" and type(same[3].factor) is float
    assert {same[0]: "table"}[same[2]] == "table"
    with pytest.raises(dataclasses.FrozenInstanceError):
        same[0].factor = 2.0


def test_versions_of_a_codec_are_ordered_by_rule_and_factor():
    ordered = sorted(v for v in SEVERAL if v.codec == "zfp" and v.rule == "field")
    assert [v.factor for v in ordered] == sorted(FACTORS)
    both = [Version("zfp", "sample", 0.1), Version("zfp", "field", 2), Version("sz3", "field", 9)]
    assert [v.name for v in sorted(both)] == ["sz3 ×9", "zfp ×2", "zfp sample ×1/10"]


def test_a_version_comes_back_from_json_and_from_another_process():
    for version in (*SEVERAL, RAW):
        assert Version.from_config(json.loads(json.dumps(version.config()))) == version
        assert pickle.loads(pickle.dumps(version)) == version


def test_raw_is_one_of_them():
    assert Version.raw is RAW and RAW.is_raw and Version("raw", "", 0.0) == RAW
    assert not any(version.is_raw for version in SEVERAL)
    for parts in (("raw", "field", 0.0), ("raw", "", 1.0), ("raw", "field", 2.0)):
        with pytest.raises(ValueError, match="raw data have no"):
            Version(*parts)


@pytest.mark.parametrize("factor", [0, 0.0, -1, np.nan, np.inf, -np.inf])
def test_factors_that_multiply_nothing_are_refused(factor):
    with pytest.raises(ValueError, match=r"a finite number above 0, not "):
        Version("zfp", "field", factor)


@pytest.mark.parametrize("rule", ["", "fields", "Field", "raw"])
def test_unknown_rules_are_refused(rule):
    with pytest.raises(ValueError, match=rf"one of field, sample, fixed, not '{rule}'"):
        Version("zfp", rule, 1.0)


@pytest.mark.parametrize("codec", ["", "zfp sample", "a/b", "a\nb"])
def test_codecs_that_would_blur_names_and_folders_are_refused(codec):
    with pytest.raises(ValueError, match="a name without spaces"):
        Version(codec, "field", 1.0)
