#!/usr/bin/env python3
"""Reference values for the tests of exp's polynomials, from their definitions in 60 digits.

    exp_polynomials.py            print the table
    exp_polynomials.py --write    write tests/numerics/exp_polynomial_table.hpp
    exp_polynomials.py --check    exit 1 unless that file is what this script prints

Needs mpmath. Nothing here shares a formula with the library: Bessel functions are mpmath's; the coefficients of the
remainder (exp(x) - Taylor_{2q-1}(x)) / x^(2q) are sums over its power series, each power expanded by
x^n = R^n 2^(1-n) sum' C(n, j) T_{n-2j}(x/R).
"""

import argparse
import pathlib
import sys

from mpmath import binomial, besseli, exp, factorial, mp, mpf

mp.dps = 60

TABLE = pathlib.Path(__file__).resolve().parents[2] / "tests" / "numerics" / "exp_polynomial_table.hpp"

ERRORS = [
    (radius, degree, q)
    for radius in (1e-8, 1e-3, 0.25, 1.0, 2.0, 5.0, 8.0, 13.5, 30.0, 60.0)
    for degree, q in ((0, 0), (1, 0), (2, 1), (4, 0), (4, 2), (7, 1), (12, 0), (12, 3), (12, 6), (25, 0), (25, 4), (40, 0))
]
BESSEL = [(radius, k) for radius in (1e-8, 0.25, 1.0, 5.0, 30.0, 300.0) for k in (0, 1, 2, 5, 17, 40)]
TOLERANCES = ("1e-1", "1e-2", "1e-3", "1e-4", "1e-6", "1e-8", "1e-10")
RADII = (0.125, 1.0, 2.0, 3.5, 6.0, 10.0)


def coefficient(radius, q, k):
    """b_k: twice the mean of f against T_k; b_0 is halved by whoever sums."""
    total, n = mpf(0), k
    while True:
        term = mpf(2) ** (1 - n) * radius**n * binomial(n, (n - k) // 2) / factorial(n + 2 * q)
        total += term
        if n > 2 * radius + 8 and term < total * mpf(10) ** -50:
            return total
        n += 2


def truncation_error(radius, degree, q):
    """Largest |P(x) - exp(x)| / x^(2q): the sum of the dropped coefficients."""
    total, k = mpf(0), degree - 2 * q + 1
    while True:
        term = coefficient(mpf(radius), q, k)
        total += term
        if k > 2 * radius + 8 and term < total * mpf(10) ** -40:
            return total
        k += 1


def lowest_degree(radius, tolerance, relative):
    allowed = mpf(tolerance) * (exp(-mpf(radius)) if relative else 1)
    # delta_g from delta_G downwards, adding 2 I_k
    degree, total = 120, truncation_error(radius, 120, 0)
    assert total < allowed
    while degree >= 0 and total <= allowed:
        total += 2 * besseli(degree, mpf(radius))
        degree -= 1
    return degree + 1


def literal(x):
    return float(x).hex()


def table():
    lines = [
        "#pragma once",
        "",
        "// Printed by scripts/constants/exp_polynomials.py (mpmath, 60 digits, rounded to double); --check verifies it.",
        "",
        "// clang-format off",
        "",
        "namespace polyattn::test {",
        "",
        "struct TruncationError { double radius; int degree; int moment; double error; };",
        "inline constexpr TruncationError kTruncationErrors[] = {",
    ]
    lines += [f"    {{{r!r}, {g}, {q}, {literal(truncation_error(r, g, q))}}}," for r, g, q in ERRORS]
    lines += [
        "};",
        "",
        "// I_k(radius)",
        "struct Bessel { double radius; int k; double value; };",
        "inline constexpr Bessel kBessel[] = {",
    ]
    lines += [f"    {{{r!r}, {k}, {literal(besseli(k, mpf(r)))}}}," for r, k in BESSEL]
    lines += [
        "};",
        "",
        "// Lowest degree of a truncated Chebyshev series with error <= tolerance (relative: tolerance exp(-radius)).",
        "struct LowestDegree { double radius; double tolerance; bool relative; int degree; };",
        "inline constexpr LowestDegree kLowestDegrees[] = {",
    ]
    for r in RADII:
        for t in TOLERANCES:
            for relative in (False, True):
                # Coefficients in float64 stop at about 2^-53 exp(R).
                if mpf(t) * (exp(-mpf(r)) if relative else 1) < mpf(2) ** -50 * exp(mpf(r)):
                    continue
                degree = lowest_degree(r, t, relative)
                lines.append(f"    {{{r!r}, {t}, {str(relative).lower()}, {degree}}},")
    lines += ["};", "", "}  // namespace polyattn::test", "", "// clang-format on", ""]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description="Reference values for the tests of exp's polynomials.")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--write", action="store_true", help="write tests/numerics/exp_polynomial_table.hpp")
    group.add_argument("--check", action="store_true", help="exit 1 unless that file matches")
    arguments = parser.parse_args()
    text = table()
    if arguments.write:
        TABLE.write_text(text)
    elif arguments.check:
        if not TABLE.exists() or TABLE.read_text() != text:
            print(f"{TABLE.name} differs from what exp_polynomials.py prints", file=sys.stderr)
            return 1
        print(f"{TABLE.name} matches")
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
