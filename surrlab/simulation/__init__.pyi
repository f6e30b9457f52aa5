from surrlab.simulation.generate import generate as generate
from surrlab.simulation.pchip_impact import PchipImpact as PchipImpact
from surrlab.simulation.rayleigh_taylor import RayleighTaylor as RayleighTaylor
from surrlab.simulation.scenario import Parameter as Parameter
from surrlab.simulation.scenario import Scenario as Scenario
