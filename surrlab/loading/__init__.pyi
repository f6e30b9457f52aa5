from surrlab.loading.bandwidth import Storage as Storage
from surrlab.loading.loader import SampleLoader as SampleLoader
