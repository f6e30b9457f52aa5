"""Batches straight from compressed files."""

from surrlab._lazy import attach

__all__ = attach(
    __name__,
    loader="SampleLoader",
    bandwidth="Bandwidth",
    device="DeviceCache on_device page_locked",
)
