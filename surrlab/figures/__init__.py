"""A table in, a figure out: every figure of the paper, drawn from a study's saved tables."""

from surrlab._lazy import attach, require

require("lab", "matplotlib", "seaborn")

__all__ = attach(
    __name__,
    catalogue="FIGURES FigureSpec draw draw_all",
)
