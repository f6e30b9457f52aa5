"""A table in, a picture out."""

from surrlab._lazy import attach, require

require("lab", "matplotlib", "seaborn")

__all__ = attach(
    __name__,
    catalogue="PLATES draw draw_all",
)
