#!/usr/bin/env python3
"""Coefficients of 2^r on [-1/2, 1/2] for float32 and float64, with proved error bounds.

    exp2.py            print the header
    exp2.py --write    write src/simd/exp2_constants.hpp
    exp2.py --check    exit 1 unless the header is what this script prints

Needs mpmath. The polynomial p has p(0) = 1. Its coefficients are found by Lawson's reweighted least squares for the
relative error (near-minimax) and rounded to the target type one by one, lowest degree first, the remaining ones being
solved again after each rounding so that they absorb what the rounding did.

What is claimed does not rest on how the coefficients were found. The interval [-1/2, 1/2] is cut into cells; on each,
in outward-rounded interval arithmetic (mpmath.iv),

* approximation: p(r) - 2^r = sum_k d_k r^k + remainder with d_k = c_k - (ln 2)^k / k! for k <= 40, |remainder| <=
  |r|^41 (ln 2)^41 / 41! * 1.01, bounded by the mean value form on the cell;
* rounding: with h_g = c_g and h_k = round(h_{k+1} r + c_k) (one fused multiply-add), the distance e_k of h_k from the
  exact partial value H_k(r) obeys e_k <= |r| e_{k+1} + halfulp(|H_k| + |r| e_{k+1}), where halfulp(x) is half the
  spacing of the binade that contains x (monotone in x). No intermediate value is near underflow unless r itself is
  so small that c_k is returned, where the bound is the same;

and the largest (approximation + e_0) / 2^r is reported, rounded up.

In units in the last place of the result, over the whole domain of the kernels that use p (-125 <= x <= 0 for float32,
-1021 <= x <= 0 for float64, the whole part of x going into the exponent): at most 0.800 for every float32 and 0.793 in
the sample of float64 that tests/slow/exp2_sweep_test.cpp looks at on every instruction set, so 2^x is faithfully
rounded. Relative to u the largest errors it finds are 1.131 and 1.121, against the 1.161 and 1.154 proved here.

Soft-capping (simd/exact_functions.inl) evaluates c log2(e) tanh(s / (c log2(e))) with z = |s| 2/c = n + f,
t = fl(f h_1) for 2^f - 1 (h_1 the Horner value before the last step), m = fma(2^n, t, 2^n - 1) for 2^z - 1,
fl(m / fl(m + 2)), and a product with c log2(e). With q the relative error of h_1 against (2^f - 1)/f, found as above, and
q' = (1 + q)(1 + u) - 1: if n = 0, m = t. If n >= 1, 2^n |2^f - 1| <= sqrt(2) (2^z - 1), so m is off by at most sqrt(2) q' + u, and
by sqrt(2) u more where 2^n - 1 is rounded (n > 24), which 2/(m + 2) < 2^-20 makes invisible. The quotient adds 2u and passes
errors of m on with a factor 2/(m + 2) <= 1; both constants (u each, and less for float64's c), the product |s| 2/c (u; tanh
passes relative errors on with a factor at most 1) and the last product (u) make 4u. Beyond z = 60 tanh is 1 but for 2^-59.
"""

import argparse
import pathlib
import sys

from mpmath import iv, mp, mpf

mp.prec = 300
iv.prec = 300

HEADER = pathlib.Path(__file__).resolve().parents[2] / "src" / "simd" / "exp2_constants.hpp"
CELLS = 1024
TAYLOR = 40


def round_to(x, bits):
    """x rounded to nearest, ties to even, with `bits` significant bits (exact, as an mpf)."""
    with mp.workprec(bits):
        return +x


def lawson(fixed, degree, points, rounds=60):
    """Coefficients of r^len(fixed) .. r^degree that nearly minimise max |p(r) / 2^r - 1| given the lower ones."""
    low = len(fixed)
    unknowns = degree - low + 1
    rows, rhs = [], []
    for r in points:
        scale = mpf(2) ** -r
        rows.append([scale * r**k for k in range(low, degree + 1)])
        rhs.append(1 - scale * sum(c * r**k for k, c in enumerate(fixed)))
    weights = [mpf(1) / len(points)] * len(points)
    best, best_error = None, None
    for _ in range(rounds):
        normal = mp.zeros(unknowns)
        right = mp.zeros(unknowns, 1)
        for w, row, b in zip(weights, rows, rhs):
            for i in range(unknowns):
                wi = w * row[i]
                right[i] += wi * b
                for j in range(i, unknowns):
                    normal[i, j] += wi * row[j]
        for i in range(unknowns):
            for j in range(i):
                normal[i, j] = normal[j, i]
        x = mp.lu_solve(normal, right)
        residual = [abs(b - sum(a * c for a, c in zip(row, x))) for row, b in zip(rows, rhs)]
        worst = max(residual)
        if best_error is None or worst < best_error:
            best, best_error = list(x), worst
        weights = [w * e for w, e in zip(weights, residual)]
        total = sum(weights)
        if total == 0:
            break
        weights = [w / total for w in weights]
    return best


def find(degree, bits, count=96):
    points = [mp.cos(mp.pi * (2 * i + 1) / (2 * count)) / 2 for i in range(count)]
    with mp.workprec(160):
        coefficients = [mpf(1)]
        while len(coefficients) <= degree:
            coefficients.append(round_to(lawson(coefficients, degree, points)[0], bits))
    return coefficients


def upper(x):
    return mpf(x.b)


def magnitude(x):
    return max(abs(mpf(x.a)), abs(mpf(x.b)))


def half_ulp(x, bits):
    """Half the spacing of floating-point numbers with `bits` bits in the binade of x > 0 (exponent range unlimited)."""
    _, exponent = mp.frexp(x)  # x = m 2^exponent, 1/2 <= m < 1
    return mpf(2) ** (int(exponent) - bits - 1)


def largest_on(d, a, b):
    """Bound on |sum_k d_k r^k| for a <= r <= b, by the mean value form."""
    r, middle = iv.mpf([a, b]), iv.mpf((a + b) / 2)
    value, slope = iv.mpf(0), iv.mpf(0)
    for k in range(len(d) - 1, -1, -1):
        value = value * middle + d[k]
        if k > 0:
            slope = slope * r + d[k] * k
    return magnitude(value) + magnitude(slope) * (b - a) / 2


def horner_error(c, last, a, b, bits):
    """Bound on e_last: how far rounding takes h_last from its exact value for a <= r <= b."""
    r, size = iv.mpf([a, b]), max(abs(a), abs(b))
    exact = iv.mpf(c[len(c) - 1])
    error = mpf(0)
    for k in range(len(c) - 2, last - 1, -1):
        exact = exact * r + iv.mpf(c[k])
        carried = upper(iv.mpf(size) * iv.mpf(error))
        error = upper(iv.mpf(carried) + iv.mpf(half_ulp(upper(iv.mpf(magnitude(exact)) + iv.mpf(carried)), bits)))
    return error


def bounds(c, bits):
    """Proved (approximation, total) relative error of p in exact arithmetic and under Horner with fma."""
    degree = len(c) - 1
    ln2 = iv.log(iv.mpf(2))
    d = []
    power = iv.mpf(1)
    for k in range(TAYLOR + 1):
        d.append((iv.mpf(c[k]) if k <= degree else iv.mpf(0)) - power)
        power = power * ln2 / (k + 1)
    tail = upper(power * iv.mpf(0.5) ** (TAYLOR + 1) * iv.mpf("1.01"))
    worst_approximation, worst_total = mpf(0), mpf(0)
    for cell in range(CELLS):
        a, b = mpf(cell) / CELLS - mpf(1) / 2, mpf(cell + 1) / CELLS - mpf(1) / 2
        approximation = largest_on(d, a, b) + tail
        error = horner_error(c, 0, a, b, bits)
        smallest = mpf(iv.exp(ln2 * iv.mpf(a)).a)  # 2^r >= 2^a on the cell
        worst_approximation = max(worst_approximation, upper(iv.mpf(approximation) / iv.mpf(smallest)))
        worst_total = max(worst_total, upper((iv.mpf(approximation) + iv.mpf(error)) / iv.mpf(smallest)))
    return worst_approximation, worst_total


def soft_cap_bound(c, bits):
    """Proved relative error of soft-capping; see above."""
    degree = len(c) - 1
    ln2 = iv.log(iv.mpf(2))
    d = []
    power = ln2
    for k in range(1, TAYLOR + 1):
        d.append((iv.mpf(c[k]) if k <= degree else iv.mpf(0)) - power)
        power = power * ln2 / (k + 1)
    tail = upper(power * iv.mpf(0.5) ** TAYLOR * iv.mpf("1.01"))
    worst = mpf(0)
    for cell in range(CELLS):
        a, b = mpf(cell) / CELLS - mpf(1) / 2, mpf(cell + 1) / CELLS - mpf(1) / 2
        approximation = largest_on(d, a, b) + tail
        error = horner_error(c, 1, a, b, bits)
        # (2^r - 1) / r increases with r; near 0 by its series, 2^r - 1 >= r ln 2.
        smallest = mpf(((iv.exp(ln2 * iv.mpf(a)) - 1) / iv.mpf(a)).a) if a < 0 else mpf(ln2.a)
        worst = max(worst, upper((iv.mpf(approximation) + iv.mpf(error)) / iv.mpf(smallest)))
    u = mpf(2) ** -bits
    once = (1 + worst) * (1 + u) - 1
    return (mp.sqrt(2) * once + 7 * u) * (1 + mpf(2) ** -10)


def round_up(x, digits=3):
    """x rounded up to `digits` decimals."""
    scaled = mp.ceil(x * mpf(10) ** digits)
    return mp.nstr(scaled / mpf(10) ** digits, 12)


def hexadecimal(x, suffix):
    text = float(x).hex()
    mantissa, exponent = text.split("p")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa}p{exponent}{suffix}"


def constant_up(x):
    """A double of 12 bits at least x."""
    _, exponent = mp.frexp(x)
    step = mpf(2) ** (int(exponent) - 12)
    return hexadecimal(mp.ceil(x / step) * step, "")


def section(name, cxx, degree, bits):
    c = find(degree, bits)
    approximation, total = bounds(c, bits)
    u = mpf(2) ** -bits
    suffix = "f" if bits == 24 else ""
    lines = [
        f"/// {cxx}, u = 2^-{bits}: |p(r)/2^r - 1| <= {mp.nstr(approximation, 4)} = {round_up(approximation / u)} u in exact arithmetic,",
        f"/// |computed/2^r - 1| <= {round_up(total / u)} u by Horner with fma in {cxx}.",
        f"inline constexpr {cxx} kExp2{name}[{degree + 1}] = {{",
    ]
    lines += [f"    {hexadecimal(x, suffix)}," for x in c]
    lines += ["};", f"inline constexpr double kExp2MaxRel{name} = {constant_up(total)};"]
    cap = soft_cap_bound(c, bits)
    lines += [
        f"/// Soft-capping in {cxx}: {round_up(cap / u)} u.",
        f"inline constexpr double kSoftCapMaxRel{name} = {constant_up(cap)};",
    ]
    return lines


def header():
    lines = [
        "#pragma once",
        "",
        "// Polynomials p(r) close to 2^r for -1/2 <= r <= 1/2 (both ends included), lowest degree first, p(0) = 1.",
        "// Evaluate with one fused multiply-add a step: h = c[g]; h = fma(h, r, c[k]) for k = g-1 .. 0. The result has the",
        "// proved relative error kExp2MaxRel... for every r of that type in the range, rounding to nearest; subnormal numbers",
        "// may be flushed to zero. Claims and constants: scripts/constants/exp2.py (--check verifies this file).",
        "",
        "namespace polyattn::simd {",
        "",
        "// clang-format off",
        "",
    ]
    lines += section("F32", "float", 6, 24)
    lines += [""]
    lines += section("F64", "double", 11, 53)
    lines += ["", "// clang-format on", "", "}  // namespace polyattn::simd", ""]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description="Polynomial coefficients of 2^r with proved error bounds.")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--write", action="store_true", help="write src/simd/exp2_constants.hpp")
    group.add_argument("--check", action="store_true", help="exit 1 unless the header matches")
    arguments = parser.parse_args()
    text = header()
    if arguments.write:
        HEADER.write_text(text)
    elif arguments.check:
        if not HEADER.exists() or HEADER.read_text() != text:
            print(f"{HEADER.name} differs from what exp2.py prints", file=sys.stderr)
            return 1
        print(f"{HEADER.name} matches")
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
