"""Fewer bytes within an error."""

from surrlab._lazy import attach

__all__ = attach(
    __name__,
    codecs="Codec Raw register_codec codec_class codec_from_config codecs_by_field",
    **{
        "codecs.bit_round": "BitRound",
        "codecs.sperr": "Sperr",
        "codecs.sz3": "Sz3",
        "codecs.zfp": "Zfp",
    },
    version="Version",
    search="find_tolerance find_sample_tolerance",
    tolerances="find_tolerances",
    compress="compress search_and_compress table ratios Ratios",
    race="race recommend choose",
    _views="export",
)
