"""The paper's experiments, resumable."""

from surrlab._lazy import attach

__all__ = attach(
    __name__,
    config="StudyConfig",
    results="Study open_study",
    models="Model raw_models train_models evaluations histories",
    experiments="table_one evolution compressed_fields variability_study generation_loss generation_errors tolerance_search by_field thresholds compressed ratios lossy_training curves pictures verdicts rows mean_model_errors lossy_models",
)
