from surrlab.loading.bandwidth import Bandwidth as Bandwidth
from surrlab.loading.device import DeviceCache as DeviceCache
from surrlab.loading.device import on_device as on_device
from surrlab.loading.device import page_locked as page_locked
from surrlab.loading.loader import SampleLoader as SampleLoader
