#!/usr/bin/env python3
"""Fits the constants of src/planning/cost_model.cpp to the rows of the driver `costs`.

    scripts/bench costs && python3 bench/fit_costs.py bench/results/costs.json

Predicted seconds are sums of work times seconds a unit, no unit taking less than nothing. The fit minimises the squares
of the relative errors. Printed are the constants, in the names of the cost model, and the relative errors that remain.
"""
import json
import math
import sys


def exact_terms(r):
    pairs = r["n"] * r["n"] * (0.5 + 0.5 / r["n"] if r["causal"] else 1.0)
    if r["causal"]:  # tiles compute the pairs of their last blocks in full
        pairs += r["n"] * 64.0
    score = r["d"] * (KGAUSSIAN if r["gaussian"] else 1.0)
    return {
        "1/fma": pairs * (score + r["d_v"]),
        "1/exp": pairs,
        "row": r["n"],
        "row_axis": 2.0 * r["n"] * (r["d"] + r["d_v"]),
        "call": 1.0,
    }


def work_with(d, g, columns, h):
    """As engines::monomial_work."""
    rank = math.comb(d + g, g)
    if h == 0:
        return rank * (2.0 + 3.0 / 2.5 * columns / 32.0)
    prefixes, suffixes = math.comb(d + h, h), math.comb(d + g - h, g - h)
    return prefixes * (columns + 1.0) + 2.0 * suffixes + columns / 2.5 * (suffixes + rank / 32.0)


def monomial_work(d, g, columns):
    """As engines::best_prefix_degree chooses."""
    fits = [h for h in range(1, g) if math.comb(d + h, h) * columns + math.comb(d + g - h, g - h) <= 1024]
    return min(work_with(d, g, columns, h) for h in [0] + fits)


def polynomial_terms(r):
    tokens = 2.0 * r["n"]
    columns = r["d_v"] + 1.0
    return {
        "1/polynomial": tokens * r["rank"] * columns,
        "feature": tokens * monomial_work(int(r["d"]), int(r["degree"]), int(columns)),
        "token_axis": tokens * r["d"],
        "token_column": tokens * columns,
        "token_degree": tokens * r["degree"] * columns,
        "token": tokens,
        "moment": r["rank"] * columns,
        "call": 1.0,
    }


KGAUSSIAN = 1.3


def fit(rows, terms, rounds=20000):
    """Non-negative least squares of relative errors by coordinate descent."""
    names = list(terms(rows[0]))
    columns = [[terms(r)[name] / r["seconds"] for r in rows] for name in names]
    x = [0.0] * len(names)
    residual = [-1.0] * len(rows)
    norms = [sum(a * a for a in column) for column in columns]
    for _ in range(rounds):
        moved = 0.0
        for k, column in enumerate(columns):
            gradient = sum(a * e for a, e in zip(column, residual))
            step = max(x[k] - gradient / norms[k], 0.0) - x[k]
            if step != 0.0:
                x[k] += step
                residual = [e + step * a for e, a in zip(residual, column)]
                moved = max(moved, abs(step) * norms[k] ** 0.5)
        if moved < 1e-9:
            break
    return dict(zip(names, x)), residual


def main():
    global KGAUSSIAN
    rows = [r for r in json.load(open(sys.argv[1]))["benchmarks"] if "seconds" in r and not r.get("rows_handed_over")]
    for engine, terms in (("exact", exact_terms), ("polynomial", polynomial_terms)):
        for float64 in (0.0, 1.0):
            some = [r for r in rows if r["float64"] == float64 and (r["polynomial"] != 0.0) == (engine == "polynomial")]
            if engine == "polynomial":
                some = [r for r in some if not r["causal"]]
            if not some:
                continue
            best = None
            for factor in ((1.0, 1.15, 1.3, 1.5, 1.8, 2.2) if engine == "exact" else (1.3,)):
                KGAUSSIAN = factor
                constants, residual = fit(some, terms, 3000)
                square = sum(e * e for e in residual)
                if best is None or square < best[0]:
                    best = (square, factor, constants, residual)
            _, factor, constants, residual = best
            print(f"{engine} float{64 if float64 else 32}" + (f", Gaussian {factor}" if engine == "exact" else ""))
            for name, value in constants.items():
                print(f"  {name:14} {1 / value if name.startswith('1/') and value else value:.3g}")
            order = sorted(range(len(some)), key=lambda i: residual[i])
            errors = sorted(residual)
            print(f"  predicted/measured - 1: 5 % {errors[len(errors) // 20]:+.2f}, "
                  f"95 % {errors[-1 - len(errors) // 20]:+.2f}")
            for i in order[:4] + order[-4:]:
                print(f"    {residual[i]:+.2f} {some[i]['name'].split('/iterations')[0]}")


if __name__ == "__main__":
    main()
