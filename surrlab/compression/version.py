"""Training data as one model sees them: raw, or compressed by a codec, a rule and a factor."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

from surrlab._text import version_label
from surrlab.compression.codecs import BETWEEN

RULES = ("field", "sample", "fixed")
"""How tolerances are chosen: Algorithm 1 per field, per sample (as printed), or fixed."""


@dataclass(frozen=True, order=True)
class Version:
    """What training data have been through.

    Parameters
    ----------
    codec : str
        Name of the codec, as its ``config()["codec"]`` says it; of several, one for each field,
        joined by ``+``.
    rule : {"field", "sample", "fixed"}
        How tolerances are chosen; ``"fixed"``: in standard deviations of each field.
    factor : float
        What the tolerances are multiplied by; for ``"fixed"`` the tolerance itself.
    keep : tuple of str
        Names of the totals that stay exact, as `compress` takes them.

    Raises
    ------
    ValueError
        If there is no such rule, the factor is not a finite number above 0, or the name of the
        codec or of a total does not suit a folder.

    Examples
    --------
    >>> version = Version("zfp", "field", 1 / 8)
    >>> version.name, version.folder, version.label(10.93)
    ('zfp ×1/8', 'zfp-field-x0.125', '10.9× (tolerance ×1/8)')
    >>> Version.from_config(version.config()) == version, version.is_raw, RAW.name
    (True, False, 'raw')
    """

    codec: str
    rule: str
    factor: float
    keep: tuple[str, ...] = ()

    raw: ClassVar[Version]

    def __post_init__(self):
        if self.codec == "raw":
            if self.rule or self.factor or self.keep:
                raise ValueError(f"raw data have no rule {self.rule!r}, and no {self.factor}")
            return
        if isinstance(self.keep, str):
            raise ValueError(f"keep holds names of totals; it is not a name itself: {self.keep!r}")
        object.__setattr__(self, "keep", tuple(self.keep))
        for name in self.keep:
            if not re.fullmatch(r"[\w.:+-]+", name) or self.keep.count(name) > 1:
                raise ValueError(f"a total that is kept has a name, once, not {name!r}")
        if not re.fullmatch(r"[\w.+-]+", self.codec):
            raise ValueError(f"a codec has a name without spaces, not {self.codec!r}")
        if self.rule not in RULES:
            raise ValueError(f"a rule is one of {', '.join(RULES)}, not {self.rule!r}")
        if not 0 < self.factor < float("inf"):
            raise ValueError(f"a tolerance factor is a finite number above 0, not {self.factor}")
        object.__setattr__(self, "factor", float(self.factor))  # 1 and 1.0 share a folder

    @property
    def is_raw(self) -> bool:
        """Whether nothing was compressed."""
        return self.codec == "raw"

    @property
    def name(self) -> str:
        """Unique name in tables."""
        if self.is_raw:
            return "raw"
        rule = "" if self.rule == "field" else f"{self.rule} "
        fraction = Fraction(self.factor).limit_denominator(1000)
        exact = str(fraction) if float(fraction) == self.factor else repr(self.factor)
        return f"{self.codec} {rule}×{exact}{self._kept(' keeping ', ', ')}"

    def _kept(self, before: str, between: str) -> str:
        return before + between.join(self.keep) if self.keep else ""

    @property
    def folder(self) -> str:
        """Name of its folder among a study's compressed ensembles."""
        return f"{self.codec}-{self.rule}-x{self.factor!r}{self._kept('-keep-', '-')}"

    def label(self, ratio: float) -> str:
        """What figures call it, given its payload ratio."""
        if self.is_raw:
            return "raw"
        codec = "codecs by field" if BETWEEN in self.codec else self.codec
        codec = "" if codec == "zfp" else codec
        label = version_label(ratio, self.factor, self.rule, codec)
        return label.removesuffix(")") + ", totals kept)" if self.keep else label

    def config(self) -> dict[str, Any]:
        """Return the version as JSON; `from_config` rebuilds it."""
        kept = {"keep": list(self.keep)} if self.keep else {}
        return {"codec": self.codec, "rule": self.rule, "factor": self.factor, **kept}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Version:
        """Return the version whose `config` this is."""
        keep = tuple(config.get("keep", ()))
        return cls(config["codec"], config["rule"], config["factor"], keep)


RAW = Version("raw", "", 0.0)
Version.raw = RAW
