from surrlab.loading.bandwidth import Bandwidth as Bandwidth
from surrlab.loading.loader import SampleLoader as SampleLoader
