"""Fewer bytes within an error."""

from surrlab._lazy import attach

__all__ = attach(
    __name__,
    zfp="Zfp",
    search="find_tolerance find_sample_tolerance find_tolerances",
    compress="compress search_and_compress ratios table Ratios",
)
