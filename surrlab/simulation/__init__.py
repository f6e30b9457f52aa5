"""Where demonstration data come from: a solver, two benchmarks, and their ensembles."""

from surrlab._lazy import attach

__all__ = attach(
    __name__,
    scenario="Scenario Parameter",
    rayleigh_taylor="RayleighTaylor",
    pchip_impact="PchipImpact",
    generate="generate",
)
