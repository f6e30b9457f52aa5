"""Networks and how they learn."""

from surrlab._lazy import attach

__all__ = attach(
    __name__,
    networks="Generator",
    surrogate="Surrogate Normaliser load predict save",
    train="TrainConfig train run_config run_id Step shares best_accelerator",
)
