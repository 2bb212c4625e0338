"""The picture of docs/higher-order.md, docs/pictures/match3.png: Match-3 by attention of order 3 and of order 2.

  left   the output of order 3 for every row of the largest instance, by what is true; the threshold and the proved levels
  right  rows that are right, by n: order 3; order 2 with the best threshold; order 2 trained; and chance

Run by scripts/match3-picture.
"""

import argparse
import csv
import json
import math
import pathlib
import subprocess
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy

from match3_order2 import trained_accuracy

FOLDER = pathlib.Path("build/match3")


def rows_of(path):
    """n -> (truth, order 3, order 2)."""
    found = {}
    with open(path, encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found.setdefault(int(row["n"]), []).append([float(row[name]) for name in ("truth", "order3", "order2")])
    return {n: numpy.array(rows).T for n, rows in found.items()}


def best_threshold(truth, output):
    """The share that the best threshold has right, in either direction."""
    order = numpy.argsort(output)
    sorted_truth = truth[order]
    below = numpy.concatenate([[0], numpy.cumsum(1 - sorted_truth)])  # right if these are called false
    above = truth.sum() - numpy.concatenate([[0], numpy.cumsum(sorted_truth)])
    share = (below + above) / len(truth)
    ends = numpy.concatenate([[True], numpy.diff(output[order]) > 0, [True]])  # equal outputs stay together
    return max(share[ends].max(), 1 - share[ends].min())


def odds(output):
    """log10 of output : 1 - output, as far as float32 tells it."""
    clipped = numpy.clip(output, 1e-9, 1 - 1e-7)
    return numpy.log10(clipped / (1 - clipped))


def draw_rows(axes, n, truth, output, random):
    for value, color, name in ((0, "tab:orange", "no match"), (1, "tab:blue", "match")):
        chosen = odds(output[truth == value])
        axes.plot(chosen, value + random.uniform(-0.3, 0.3, len(chosen)), ".", markersize=2, color=color)
    axes.axvline(0, color="black", linewidth=1)
    for level in (-math.log10(4), math.log10(4)):
        axes.axvline(level, color="gray", linewidth=1, linestyle="--")
    axes.set_yticks([0, 1], ["no match", "match"])
    axes.set_ylim(-0.5, 1.5)
    axes.set_xlabel("output of order 3, log$_{10}$ of its odds (dashed: proved for either kind)")
    axes.set_title(f"n = {n:,}: every row on its side")


def draw_shares(axes, rows, trained):
    sizes = sorted(rows)
    right = [100 * numpy.mean((rows[n][1] > 0.5) == (rows[n][0] > 0.5)) for n in sizes]
    pairs = [100 * best_threshold(rows[n][0], rows[n][2]) for n in sizes]
    axes.plot(sizes, right, "o-", color="tab:blue", label="order 3, d = 64")
    axes.plot(sizes, pairs, "s-", color="tab:orange", label="order 2, d = 64, best threshold in hindsight")
    if trained is not None:
        axes.plot([trained["n"]], [100 * trained["triples"]], "^", color="tab:red", markersize=8,
                  label="order 2, d = d$_v$ = 64, trained")
    axes.axhline(50, color="gray", linewidth=1, linestyle="--", label="chance")
    axes.set_ylim(40, 103)
    axes.set_xticks(sizes, [f"{n:,}" for n in sizes])
    axes.set_xlabel("n")
    axes.set_ylabel("rows that are right, %")
    axes.legend(loc="center right")


def train(n, steps):
    print(f"\ntraining order 2, n = {n}, {steps} steps")
    triples, share = trained_accuracy(n, True, steps)
    pairs, pair_share = trained_accuracy(n, False, steps)
    result = {"n": n, "steps": steps, "triples": triples, "triples_true": share, "pairs": pairs, "pairs_true": pair_share}
    print("  Match-3 {triples:.3f} right ({triples_true:.3f} true), Match-2 {pairs:.3f} ({pairs_true:.3f})".format(**result))
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 2000, 4000])
    parser.add_argument("--train", type=int, default=300, help="steps of training order 2; 0: none")
    parser.add_argument("--train-size", type=int, default=1000)
    parser.add_argument("--reuse", action="store_true", help="draw what build/match3 holds")
    parser.add_argument("--program", default="build/bench/match3", help="the example")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("docs/pictures/match3.png"))
    arguments = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    path, report = FOLDER / "rows.csv", FOLDER / "trained.json"
    if not arguments.reuse:
        subprocess.run([arguments.program, "--rows", path, *map(str, arguments.sizes)], check=True)
        if arguments.train > 0:
            report.write_text(json.dumps(train(arguments.train_size, arguments.train)), encoding="utf-8")
    trained = json.loads(report.read_text(encoding="utf-8")) if report.exists() else None
    rows = rows_of(path)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained", width_ratios=[3, 2])
    largest = max(rows)
    draw_rows(left, largest, rows[largest][0], rows[largest][1], numpy.random.default_rng(0))
    draw_shares(right, rows, trained)
    figure.savefig(arguments.output, dpi=90)
    return 0


if __name__ == "__main__":
    sys.exit(main())
