"""Networks and how they learn."""

from surrlab._lazy import attach

__all__ = attach(
    __name__,
    networks="NetworkConfig generator register_network",
    architectures="Generator UNet VisionTransformer FourierOperator BatchNorm",
    surrogate="Surrogate Normaliser build interface load predict save",
    step="Step rank_batches best_accelerator make_fabric",
    train="TrainConfig train run_config run_id",
)
