"""Numbers, units and lists as people write them: shared by figures, command line and explorer."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from fractions import Fraction


def number(value: float, digits: int = 3) -> str:
    """A number with so many significant digits, three at most; those before the point stay.

    >>> number(0.0000123), number(-0.25), number(1234.5), number(0.0), number(0.419, 2)
    ('1.23·10⁻⁵', '−0.25', '1,234', '0', '0.42')
    >>> number(190.3, 2)
    '190'
    """
    value = float(value)
    if not math.isfinite(value):
        return "∞" if value > 0 else "−∞" if value < 0 else "—"
    size = abs(value)
    if size and not 1e-3 <= size < 1e5:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return minus(f"{mantissa}·10{superscript(int(exponent))}")
    return minus(f"{value:,.0f}" if size >= 10 ** min(digits, 3) else f"{value:.{digits}g}")


def signed(value: float, decimals: int = 2) -> str:
    """A change, with its sign and a fixed number of decimals.

    >>> signed(0.304), signed(-2.5, 1)
    ('+0.30', '−2.5')
    """
    return minus(f"{float(value):+.{decimals}f}")


def quantity(value: float, unit: str, digits: int = 3) -> str:
    """A number and its unit; the unit 1 is left out.

    >>> quantity(0.125, "cm"), quantity(3.0, "1")
    ('0.125 cm', '3')
    """
    return f"{number(value, digits)} {unit}" if unit not in ("", "1") else number(value, digits)


def with_unit(label: str, unit: str) -> str:
    """A label with its unit in brackets, for an axis; a pure number has none.

    >>> with_unit("density", "g/cm³"), with_unit("material", "1")
    ('density (g/cm³)', 'material')
    """
    return f"{label} ({unit})" if unit not in ("", "1") else label


def percent(share: float) -> str:
    """A share in per cent: two digits below ten per cent, whole numbers above.

    >>> percent(0.254), percent(0.00421), percent(1)
    ('25 %', '0.42 %', '100 %')
    """
    share = 100 * float(share)
    return minus(f"{share:.2g} %" if abs(share) < 9.95 else f"{share:.0f} %")


def times(ratio: float) -> str:
    """A ratio: one decimal below ten.

    >>> times(3.14159), times(21.04), times(384.0)
    ('3.1×', '21×', '384×')
    """
    return f"{ratio:.1f}×" if ratio < 9.95 else f"{ratio:.0f}×"


def factor(value: float) -> str:
    """A tolerance factor: a fraction where it is a simple one, a number otherwise.

    >>> factor(0.125), factor(4.0), factor(0.3), factor(1e-4), factor(2**0.5)
    ('1/8', '4', '3/10', '1/10000', '1.41')
    """
    fraction = Fraction(float(value)).limit_denominator(10**6)
    simple = fraction.numerator == 1 or fraction.denominator <= 16
    if simple and math.isclose(fraction, value, rel_tol=1e-9):
        return str(fraction)
    return number(value)


def version_label(ratio: float, scale: float, rule: str = "field", codec: str = "") -> str:
    """A version of the training data: its payload ratio, and how its tolerances were chosen.

    `scale` is a factor on Algorithm 1's tolerances or, of the rule ``fixed``, the tolerance itself.

    >>> version_label(10.93, 0.125)
    '10.9× (tolerance ×1/8)'
    >>> version_label(21.7, 1.0, "sample", "sz3"), version_label(30.2, 1e-3, "fixed")
    ('21.7× (sz3, sample tolerance ×1)', '30.2× (fixed tolerance 0.001)')
    """
    how = {"field": "tolerance ×", "fixed": "fixed tolerance "}.get(rule, f"{rule} tolerance ×")
    size = number(scale) if rule == "fixed" else factor(scale)
    return f"{ratio:.1f}× ({f'{codec}, ' if codec else ''}{how}{size})"


def tolerance(value: float, unit: str) -> str:
    """A tolerance; 0 is lossless, and a power of two is written as one, too.

    >>> tolerance(0.125, "cm"), tolerance(0.0, "cm"), tolerance(0.1, "cm")
    ('2⁻³ = 0.125 cm', 'lossless', '0.1 cm')
    """
    if not value:
        return "lossless"
    mantissa, exponent = math.frexp(value)
    power = f"2{superscript(exponent - 1)} = " if mantissa == 0.5 else ""
    return power + quantity(value, unit)


def superscript(exponent: int) -> str:
    """An exponent in small digits.

    >>> superscript(-13)
    '⁻¹³'
    """
    return str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def sentence(label: str) -> str:
    """A label with a capital, as a sentence begins with it.

    >>> sentence("PSNR of pressure"), sentence("jet length")
    ('PSNR of pressure', 'Jet length')
    """
    return label[:1].upper() + label[1:]


def listing(values: Mapping[str, str]) -> str:
    """Names and what is said of each, one after another.

    >>> listing({"raw": "0.99", "11×": "0.98"})
    'raw: 0.99; 11×: 0.98'
    """
    return "; ".join(f"{name}: {value}" for name, value in values.items())


def minus(text: str) -> str:
    """A text whose numbers have a real minus sign.

    >>> minus("from -1 to 4: side-by-side")
    'from −1 to 4: side-by-side'
    """
    return re.sub(r"(?<!\w)-(?=\d)", "−", text)
