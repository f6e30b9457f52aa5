"""Networks that come with the package, one file each; `networks` knows them by name."""

from surrlab.training.architectures.batch_norm import BatchNorm
from surrlab.training.architectures.fno import FourierOperator
from surrlab.training.architectures.generator import Generator
from surrlab.training.architectures.unet import UNet
from surrlab.training.architectures.vit import VisionTransformer

__all__ = ["BatchNorm", "FourierOperator", "Generator", "UNet", "VisionTransformer"]
