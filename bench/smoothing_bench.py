#!/usr/bin/env python3
"""Smoothing of real data from the command line, and what others take for it. Run by `scripts/bench smoothing`.

    smoothing_bench.py [--quick] [--polyattn PROGRAM] [--parts cv,regression,density,peers] [--benchmark_out=FILE]

One thread. The flights of scripts/smooth-data: cross-validation of the arrival delay over 30 bandwidths (hour, day,
distance), against the same smoothings one by one and, on 500 rows, against the definition in float64; the density of the
delays on a 400 x 400 grid. scikit-learn's KernelDensity and statsmodels' KernelReg get the same points and bandwidths
and as many queries as they answer in some seconds; every error is against the definition in float64. Peers that are not
installed are left out; their times are of the processor, one thread of it.
"""

import argparse
import csv
import datetime
import json
import os
import pathlib
import subprocess
import sys
import time

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np

FOLDER = pathlib.Path("build/smoothing")
ROWS = 500  # held against the definition
AXES = ["sched_hour", "day_of_year", "distance"]
DELAYS = ["dep_delay", "arr_delay"]
DENSITY_BANDWIDTH = 2.0
BOX = [(-20.0, 120.0), (-60.0, 120.0)]


def read_flights(columns):
    with (FOLDER / "flights.csv").open(encoding="utf-8", newline="") as stream:
        rows = [[row[name] for name in columns] for row in csv.DictReader(stream)]
    return np.array([[float(x) for x in row] for row in rows if all(x not in ("", "NA") for x in row)])


class Program:
    def __init__(self, program):
        self.program = program
        self.report = FOLDER / "bench.json"

    def run(self, *words):
        line = [self.program, *map(str, words), "--threads", "1", "--json", str(self.report)]
        print("  " + " ".join(line), flush=True)
        subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
        return json.loads(self.report.read_text(encoding="utf-8"))


def joined(numbers):
    return ",".join(format(number, ".17g") for number in numbers)


def exact_sums(queries, points, values, bandwidth, left_out=None):
    """Numerators and denominators by the definition, shifted by each row's largest score."""
    answers, logs = [], []
    for i, query in enumerate(queries):
        scores = -0.5 * np.sum(((query - points) / bandwidth) ** 2, axis=1)
        if left_out is not None:
            scores[left_out[i]] = -np.inf
        top = scores.max()
        weights = np.exp(scores - top)
        total = weights.sum()
        answers.append(weights @ values / total if values is not None else 0.0)
        logs.append(top + np.log(total))
    return np.array(answers), np.array(logs)


def cross_validation(program, points, values, results, quick):
    inputs = [FOLDER / "points.npy", FOLDER / "values.npy"]
    factors = ["--factors", "0.05:2:4"] if quick else []
    fit, bounds = FOLDER / "fit.npy", FOLDER / "bounds.npy"
    found = program.run("smooth", *inputs, "--bandwidth", "cv", *factors, "-o", fit)["selection"]
    singles = []
    chosen = np.random.default_rng(1).choice(len(points), ROWS, replace=False)
    for score in found["scores"]:
        one = program.run("smooth", *inputs, "--bandwidth", joined(score["bandwidth"]), "--leave-one-out", "-o", fit,
                          "--bounds", bounds)
        truth, _ = exact_sums(points[chosen], points, values, np.array(score["bandwidth"]), chosen)
        ours = np.load(fit).reshape(-1)[chosen]
        error = np.abs(ours - truth)
        singles.append({"name": f"cv/{score['factor']:.4g}", "seconds": one["seconds"], "engine": score["engine"],
                        "arithmetic": score["arithmetic"], "error": score["error"], "error_bound": score["error_bound"],
                        "scored": score["scored"], "rows": one["heads"][0]["rows"], "why": one["heads"][0]["why"],
                        # Of the chosen rows, from these answers and from the definition.
                        "rows_error": float(np.mean((values[chosen] - ours) ** 2)),
                        "rows_error_exact": float(np.mean((values[chosen] - truth) ** 2)),
                        "largest_difference": float(error.max()),
                        "largest_over_bound": float((error / np.load(bounds).reshape(-1)[chosen]).max())})
    seconds = [single["seconds"] for single in singles]
    results += singles
    results.append({"name": "cv", "seconds": found["seconds"], "candidates": len(singles), "points": len(points),
                    "mean_single_seconds": float(np.mean(seconds)),
                    "over_singles": found["seconds"] / float(np.sum(seconds)), "peak_bytes": found["peak_bytes"],
                    "largest_difference": max(single["largest_difference"] for single in singles),
                    "largest_over_bound": max(single["largest_over_bound"] for single in singles),
                    "bandwidth": found["scores"][found["best"]]["bandwidth"]})


def targets(delays, quick):
    """The grid, some of its points, and the density there by the definition."""
    side = 100 if quick else 400
    axes = [np.linspace(low, high, side) for low, high in BOX]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    chosen = np.random.default_rng(2).choice(len(grid), 60 if quick else ROWS, replace=False)
    normaliser = np.log(len(delays)) + 2.0 * np.log(np.sqrt(2.0 * np.pi) * DENSITY_BANDWIDTH)
    _, logs = exact_sums(grid[chosen], delays, None, DENSITY_BANDWIDTH)
    return grid, np.exp(logs - normaliser), chosen


def density(program, delays, grid, truth, chosen, results):
    np.save(FOLDER / "delays.npy", delays)
    side = round(len(grid) ** 0.5)
    where = ["--on-grid", f"{side}x{side}", "--box", ",".join(f"{low:g}:{high:g}" for low, high in BOX)]
    for kind in ("of_peak", "relative"):
        report = program.run("density", FOLDER / "delays.npy", "--bandwidth", DENSITY_BANDWIDTH, *where,
                             "--tolerance-kind", kind, "-o", FOLDER / "density.npy")
        ours = np.load(FOLDER / "density.npy").reshape(-1)[chosen]
        scale = truth.max() if kind == "of_peak" else truth
        results.append({"name": f"density/{kind}", "seconds": report["seconds"], "points": len(delays),
                        "queries": len(grid), "rows": report["heads"][0]["rows"],
                        "microseconds_per_query": 1e6 * report["seconds"] / len(grid),
                        "measured_error": float(np.max(np.abs(ours - truth) / scale))})


def kernel_density(delays, grid, truth, chosen, results):
    try:
        import sklearn
        from sklearn.neighbors import KernelDensity
    except ImportError as error:
        results.append({"name": "density/scikit-learn", "absent": str(error)})
        return
    for tolerance in (0.0, 1e-4):
        start = time.process_time()
        fitted = KernelDensity(bandwidth=DENSITY_BANDWIDTH, rtol=tolerance, atol=0.0).fit(delays)
        fit_seconds = time.process_time() - start
        start = time.process_time()
        found = np.exp(fitted.score_samples(grid[chosen]))
        seconds = time.process_time() - start
        results.append({"name": f"density/scikit-learn/rtol={tolerance:g}", "version": sklearn.__version__,
                        "fit_seconds": fit_seconds, "seconds": seconds, "points": len(delays), "queries": len(chosen),
                        "microseconds_per_query": 1e6 * seconds / len(chosen),
                        "measured_error": float(np.max(np.abs(found - truth)) / truth.max()),
                        "measured_relative_error": float(np.max(np.abs(found - truth) / truth))})


def kernel_regression(points, values, bandwidth, results, quick):
    try:
        import statsmodels
        from statsmodels.nonparametric.kernel_regression import KernelReg
    except ImportError as error:
        results.append({"name": "regression/statsmodels", "absent": str(error)})
        return
    chosen = np.random.default_rng(3).choice(len(points), 20 if quick else 100, replace=False)
    start = time.process_time()
    model = KernelReg(values, points, "ccc", reg_type="lc", bw=bandwidth)
    made = time.process_time() - start
    start = time.process_time()
    found, _ = model.fit(points[chosen])
    seconds = time.process_time() - start
    truth, _ = exact_sums(points[chosen], points, values, bandwidth)
    results.append({"name": "regression/statsmodels", "version": statsmodels.__version__, "fit_seconds": made,
                    "seconds": seconds, "points": len(points), "queries": len(chosen),
                    "microseconds_per_query": 1e6 * seconds / len(chosen),
                    "measured_error": float(np.max(np.abs(found - truth)) / np.ptp(values))})


def regression(program, points, values, bandwidth, results):
    inputs = [FOLDER / "points.npy", FOLDER / "values.npy"]
    report = program.run("smooth", *inputs, "--bandwidth", joined(bandwidth), "-o", FOLDER / "fit.npy")
    chosen = np.random.default_rng(3).choice(len(points), ROWS, replace=False)
    truth, _ = exact_sums(points[chosen], points, values, bandwidth)
    found = np.load(FOLDER / "fit.npy").reshape(-1)[chosen]
    results.append({"name": "regression", "seconds": report["seconds"], "points": len(points), "queries": len(points),
                    "microseconds_per_query": 1e6 * report["seconds"] / len(points),
                    "measured_error": float(np.max(np.abs(found - truth)) / np.ptp(values))})


def write(path, results):
    """Results of this run in place of those of the same name, so that parts may be measured one at a time."""
    path = pathlib.Path(path)
    old = pathlib.Path(str(path).removesuffix(".new"))
    before = json.loads(old.read_text(encoding="utf-8"))["results"] if old.is_file() else []
    names = {result["name"] for result in results}
    commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False)
    context = {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
               "num_cpus": os.cpu_count(), "threads": 1, "commit": commit.stdout.strip(), "load_avg": list(os.getloadavg())}
    document = {"context": context, "results": [r for r in before if r["name"] not in names] + results}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--polyattn", default="build/polyattn")
    parser.add_argument("--parts", default="cv,regression,density,peers")
    parser.add_argument("--benchmark_out", default="")
    arguments, _ = parser.parse_known_args()
    parts = arguments.parts.split(",")
    program = Program(arguments.polyattn)
    results = []
    flights = read_flights([*AXES, "arr_delay"])
    points, values = flights[:, :3], flights[:, 3]
    np.save(FOLDER / "points.npy", points)
    np.save(FOLDER / "values.npy", values)
    # About what cross-validation finds.
    bandwidth = 0.2613 * points.std(axis=0, ddof=1) * len(points) ** (-1.0 / 7.0)
    delays = read_flights(DELAYS)
    if "cv" in parts:
        cross_validation(program, points, values, results, arguments.quick)
    if "regression" in parts:
        regression(program, points, values, bandwidth, results)
    if "density" in parts or "peers" in parts:
        grid, truth, chosen = targets(delays, arguments.quick)
    if "density" in parts:
        density(program, delays, grid, truth, chosen, results)
    if "peers" in parts:
        kernel_regression(points, values, bandwidth, results, arguments.quick)
        kernel_density(delays, grid, truth, chosen, results)
    for result in results:
        print(json.dumps(result))
    for result in results:
        if "seconds" in result and not result["name"].startswith("cv/"):
            print(f"figure smoothing_{result['name'].replace('/', '_')}_seconds {result['seconds']:.4g} s")
        if "over_singles" in result:
            print(f"figure smoothing_cv_over_single_smoothings {result['over_singles']:.3f} ratio")
    if arguments.benchmark_out:
        write(arguments.benchmark_out, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
