from surrlab.data.fields import Field as Field
from surrlab.data.fields import Grid as Grid
from surrlab.data.native import Ensemble as Ensemble
