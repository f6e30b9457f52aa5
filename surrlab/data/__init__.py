"""What an ensemble is, in any layout."""

from surrlab._lazy import attach

__all__ = attach(
    __name__,
    fields="Field Grid",
    native="Ensemble",
)
