from surrlab.simulation.generate import by_name as by_name
from surrlab.simulation.generate import generate as generate
from surrlab.simulation.generate import scenario_of as scenario_of
from surrlab.simulation.pchip_impact import PchipImpact as PchipImpact
from surrlab.simulation.rayleigh_taylor import RayleighTaylor as RayleighTaylor
