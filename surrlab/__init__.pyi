__version__: str
from surrlab.compression import compress as compress
from surrlab.compression import find_tolerances as find_tolerances
from surrlab.data import open_ensemble as open_ensemble
from surrlab.evaluation import evaluate as evaluate
from surrlab.evaluation import verdict as verdict
from surrlab.explorer import explore as explore
from surrlab.loading import SampleLoader as SampleLoader
from surrlab.simulation import generate as generate
from surrlab.studies import open_study as open_study
from surrlab.training import train as train
