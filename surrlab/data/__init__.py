"""What an ensemble is, in any layout."""

from surrlab._lazy import attach

__all__ = attach(
    __name__,
    fields="Field Axis Grid Run Samples",
    ensemble="Ensemble InMemoryEnsemble",
    native="NativeEnsemble",
    open="card_template import_ensemble open_ensemble register_layout",
)
