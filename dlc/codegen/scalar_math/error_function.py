"""erf and erfc.

erf x = x + x*P(x^2) on [0, 1]: degrees 6 and 12, relative errors 2^-29.6 and 2^-62.7. erfc x =
e^(-x^2) * G(t) / (1+2x), t = (x-K)/(x+K), for x >= 0: G is smooth from x = 0 to infinity. K = 2,
degree 9, relative error 2^-26.1 (float32); K = 4, degree 22, 2^-56.3 (float64). The rounding error
of x^2 goes into the exponent. Above 1, erf of float32 is 1 - T(x - 2.46), degree 14, error
2^-27.1; that of float64 is 1 - erfc x. Coefficients: Remez exchange at 60 digits.
"""

from __future__ import annotations

from dlc.codegen.scalar_math.exponential import at_most, exp_in_range
from dlc.codegen.scalar_math.value import Value, fma, horner, select, two_product, with_sign
from dlc.ir.types import float32

_P32 = (
    0.12837916612625122, -0.3761262595653534, 0.1128358542919159, -0.026853812858462334,
    0.005188327748328447, -0.0008010194287635386, 7.853862916817889e-05,
)  # fmt: skip
_P64 = (
    0.1283791670955126, -0.3761263890318375, 0.11283791670954857, -0.026866170645072893,
    0.005223977624780838, -0.0008548326978740622, 0.000120553310368449, -1.4925593505645053e-05,
    1.646097279815068e-06, -1.6350025034086767e-07, 1.4657878650325633e-08, -1.136566164436725e-09,
    5.945254923277589e-11,
)  # fmt: skip
_T32 = (
    0.0005033533088862896, -0.00265623745508492, 0.006534537300467491, -0.009832457639276981,
    0.009914034977555275, -0.006799523718655109, 0.002937648445367813, -0.0004593975900206715,
    -0.0003566104860510677, 0.00029969311435706913, -7.528939022449777e-05, -2.474405846442096e-05,
    1.7132524590124376e-05, -8.805722018223605e-08, -1.0656455060598091e-06,
)  # fmt: skip
_G32 = (
    1.2769783735275269, -0.0927639901638031, -0.16603149473667145, 0.1640554964542389,
    -0.05420346558094025, -0.008060401305556297, 0.008628512732684612, 0.0013130782172083855,
    -0.0012260928051546216, -0.0003983261703979224,
)  # fmt: skip
_G64 = (
    1.2329951186255526, -0.1396211168405629, 0.015379652102619764, 0.0680970542547366,
    -0.10103906603630115, 0.09373283499682389, -0.06633036581256363, 0.03716751556185173,
    -0.016197734048427746, 0.0050319697635729296, -0.0007577734048410088, -0.00019925556126997967,
    0.00015062247149110616, -2.4402941521504974e-05, -1.1225282839109277e-05, 5.717295343018209e-06,
    3.019560979852526e-07, -8.342406085666398e-07, 6.238933749988286e-08, 1.1456151755531181e-07,
    -7.778946646187449e-09, -1.3386346776043545e-08, -1.7176435470751418e-09,
)  # fmt: skip


def _erfc_positive(a: Value) -> Value:
    """erfc of a >= 0 up to where it vanishes."""
    single = a.dtype is float32
    k = 2.0 if single else 4.0
    t = (a - k) / (a + k)
    square, error = two_product(a, a)
    smooth = horner(t, _G32 if single else _G64) / fma(a, 2.0, 1.0)
    # The factor meets the power before a subnormal result is rounded.
    return exp_in_range(-square, -error, smooth)


def _erf_near(a: Value) -> Value:
    """erf of 0 <= a <= 1."""
    z = a * a
    return fma(a, horner(z, _P32 if a.dtype is float32 else _P64), a)


def erfc(x: Value) -> Value:
    """1 - erf x, accurate where that is small."""
    a = abs(x)
    y = _erfc_positive(at_most(a, 10.3 if x.dtype is float32 else 27.5))
    y = select(a < 0.8, 1.0 - _erf_near(a), y)
    return select(x < 0.0, 2.0 - y, y)


def erf(x: Value) -> Value:
    """The error function."""
    a = abs(x)
    if x.dtype is float32:
        far = 1.0 - horner(at_most(a, 3.93) - 2.46, _T32)
    else:
        far = 1.0 - _erfc_positive(at_most(a, 6.0))
    return with_sign(select(a < 1.0, _erf_near(a), far), x.sign_bit)
