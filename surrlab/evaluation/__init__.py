"""How good a model is, and whether it is worse."""

from surrlab._lazy import attach

__all__ = attach(
    __name__,
    metrics="l1 psnr total_mass total_momentum mixing_layer_thickness jet_length correlation",
    quantities="Quantity register_quantity quantities_of",
    evaluate="evaluate model_errors scores score_directions score_labels score_units score_ranges",
    margins="Margin",
    variability="band Band band_share",
    verdict="verdict Verdict",
    ladder="Ladder",
)
