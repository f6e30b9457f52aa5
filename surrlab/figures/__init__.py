"""A table in, a picture out."""

from surrlab._lazy import attach

__all__ = attach(
    __name__,
    catalogue="PLATES draw draw_all",
)
