"""Sliders over fields, settings of a codec and models."""

from surrlab._lazy import attach, require

require("lab", "ipywidgets", "matplotlib", "IPython")

__all__ = attach(
    __name__,
    widget="explore explore_field restore Explorer",
    _paper="picture picture_field picture_prediction",
    _look="Look",
)
