"""The paper's experiments, resumable."""

from surrlab._lazy import attach

__all__ = attach(
    __name__,
    config="StudyConfig PRESETS GALLERY get_preset default_results",
    results="Study Results open_study read_table",
    models="Model raw_models train_models evaluations histories",
    experiments=(
        "ensemble_table variability_study training_and_test_error curves generation_loss "
        "mean_model_errors codec_race codec_name compressed ratios algorithm_1 tolerance_search "
        "by_field stored_totals"
    ),
    _disk=(
        "storages timed_versions measure_rates measure_epochs loading_summary "
        "compress_trial_versions"
    ),
    pictures="evolution compressed_fields thresholds sample_predictions network_layers pipeline",
    answer="answer lossy_training lossy_models versions verdict_table generation_verdict",
    _certificate="certify verify_certificate",
    _claims="claims beside",
    extras="EXTRAS extra equal_bytes convergence proxy",
)
