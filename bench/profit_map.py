"""Which data profit: predicted speed of the polynomial engine over exact, by dimension and score radius, as a picture.

100,000 queries and keys are drawn uniformly from a ball, the scale is such that the largest score after centring is the
radius asked for, values vary with the keys (one column), and `polyattn plan` is asked for 1e-3 of their range. Nothing is
executed. Where the planner finds no usable polynomial the speed counts as 1. Points are real data (bench/results and
docs/data-that-profits.md say where from). Run by scripts/profit-map.
"""

import argparse
import json
import math
import pathlib
import subprocess
import tempfile

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy

DIMENSIONS = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64]
RADII = [0.1, 0.2, 0.4, 0.7, 1.0, 1.5, 2.0, 3.0, 4.5, 6.5, 10.0, 15.0, 25.0, 50.0, 150.0]
TOKENS = 100_000
TOLERANCE = 1e-3
# (label, dimension, radius after centring, or a range of it)
REAL = [
    ("photograph, bilateral filter", 5, 6.2),
    ("heads of a sentence encoder", 32, (8, 89)),
    ("heads of a 270M language model", 64, (31, 132)),
]


def ball(generator, count, dim):
    direction = generator.normal(size=(count, dim))
    direction /= numpy.linalg.norm(direction, axis=1, keepdims=True)
    return (direction * generator.uniform(size=(count, 1)) ** (1.0 / dim)).astype(numpy.float32)


def speed(program, folder, dim, radius):
    command = [program, "plan", folder / "q.npy", folder / "k.npy", folder / "v.npy", "--scale", repr(radius),
               "--tolerance", repr(TOLERANCE), "--tolerance-kind", "of_value_range", "--threads", "1",
               "--json", folder / "plan.json"]
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)
    head = json.loads((folder / "plan.json").read_text())["heads"][0]
    exact = head["exact_seconds"]
    usable = [c["seconds"] for c in head["candidates"]
              if c["engine"] == "polynomial" and c["usable"] and c["seconds"] is not None]
    return max(1.0, exact / min(usable)) if usable else 1.0


def measure(program):
    generator = numpy.random.default_rng(1)
    speeds = numpy.ones((len(DIMENSIONS), len(RADII)))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for i, dim in enumerate(DIMENSIONS):
            keys = ball(generator, TOKENS, dim)
            values = numpy.sin(3.0 * keys[:, :1] * math.sqrt(dim + 2.0)) + 0.1 * generator.normal(size=(TOKENS, 1))
            numpy.save(folder / "q.npy", ball(generator, TOKENS, dim))
            numpy.save(folder / "k.npy", keys)
            numpy.save(folder / "v.npy", values.astype(numpy.float32))
            for j, radius in enumerate(RADII):
                speeds[i, j] = speed(program, folder, dim, radius)
            print(f"d = {dim}: " + ", ".join(f"R = {r:g}: {s:.3g} x" for r, s in zip(RADII, speeds[i])), flush=True)
    return speeds


def draw(speeds, path):
    figure, axes = plt.subplots(figsize=(8, 5))
    levels = [1.0, 2.0, 10.0, 100.0, 1000.0, 10000.0]
    colours = ["#f4f4f4", "#d6e6f2", "#9ecae1", "#4a98c9", "#1764ab", "#08306b"]
    filled = axes.contourf(RADII, DIMENSIONS, speeds, levels=levels, colors=colours, extend="max")
    axes.contour(RADII, DIMENSIONS, speeds, levels=levels[1:], colors="white", linewidths=0.7)
    axes.set_xscale("log")
    axes.set_yscale("log", base=2)
    axes.set_xlim(RADII[0], 150)
    axes.set_ylim(1, 96)
    axes.set_yticks([1, 2, 4, 8, 16, 32, 64], ["1", "2", "4", "8", "16", "32", "64"])
    axes.set_xlabel("score radius R = max |s| after centring")
    axes.set_ylabel("dimension d")
    axes.set_title("100,000 tokens, 1e-3 of the value range: predicted speed over exact")
    threshold = math.log(TOKENS)
    axes.axvline(threshold, color="#b2182b", linestyle="--", linewidth=1)
    axes.text(threshold * 1.06, 1.1, "R = ln n", color="#b2182b", fontsize=9)
    for label, dim, where in REAL:
        if isinstance(where, tuple):
            axes.plot(where, (dim, dim), color="black", marker="|", linewidth=2)
            axes.annotate(label, (where[0], dim), xytext=(-4, 5), textcoords="offset points", fontsize=8, ha="right")
        else:
            axes.plot(where, dim, "ko", markersize=4)
            axes.annotate(label, (where, dim), xytext=(5, 3), textcoords="offset points", fontsize=8)
    bar = figure.colorbar(filled, ax=axes, label="times as fast as exact")
    bar.set_ticks(levels, labels=["1", "2", "10", "100", "1,000", "10,000"])
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", default="build/polyattn")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("docs/pictures/profit.png"))
    arguments = parser.parse_args()
    draw(measure(arguments.program), arguments.output)


if __name__ == "__main__":
    main()
