"""Where demonstration data come from: a solver, two benchmarks, and their ensembles."""

from surrlab._lazy import attach

__all__ = attach(
    __name__,
    generate="generate by_name scenario_of",
    rayleigh_taylor="RayleighTaylor",
    pchip_impact="PchipImpact",
)
