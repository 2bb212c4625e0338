"""The pictures of docs/smoothing.md, each from one or two commands of the program, which are printed.

  flights.png          mean arrival delay by scheduled hour and day of the year, at one distance; bandwidths by
                       cross-validation, with the curve of the search and the standard error
  diamonds.png         price by weight at three depths, with two standard errors on either side
  flights-density.png  density of departure and arrival delays on a 400 x 400 grid

Run by scripts/smooth-pictures.
"""

import argparse
import json
import math
import os
import pathlib
import shlex
import subprocess
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.colors as colors
import matplotlib.pyplot as plt
import numpy

from smooth_data import FOLDER, path_of

DISTANCE = 1000  # miles
DEPTHS = (59, 62, 65)


class Program:
    def __init__(self, arguments):
        self.program = arguments.polyattn
        self.common = ["--threads", str(arguments.threads)]

    def run(self, command, *words):
        """Runs the command and returns its report."""
        report = FOLDER / "report.json"
        line = [self.program, command, *map(str, words), *self.common, "--json", str(report)]
        print("  " + shlex.join(line), flush=True)
        subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
        return json.loads(report.read_text(encoding="utf-8"))


def joined(numbers):
    return ",".join(format(number, ".17g") for number in numbers)


def told(table, report):
    head = report["heads"][0]
    print(f"  {table}: {report['points']:,} points, {report['queries']:,} queries, {head['engine']} {head['arithmetic']},"
          f" {report['seconds']:.3g} s; {report['left_out']['rows']:,} rows left out")


def draw_curve(axes, selection):
    factors = [score["factor"] for score in selection["scores"]]
    errors = [math.nan if score["error"] is None else math.sqrt(score["error"]) for score in selection["scores"]]
    axes.semilogx(factors, errors, ".-", color="tab:blue")
    axes.plot(factors[selection["best"]], errors[selection["best"]], "o", color="tab:red")
    axes.set_xlabel("bandwidths, as multiples of Scott's rule")
    axes.set_ylabel("leave-one-out error (root mean square)")


def flights(program, every, folder):
    columns = ["--x", "sched_hour,day_of_year,distance", "--y", "arr_delay"]
    table = path_of("flights", every)
    search = program.run("smooth", table, *columns, "--bandwidth", "cv", "-o", FOLDER / "flights-fit.npy")
    told("flights", search)
    selection = search["selection"]
    print(f"  {len(selection['scores'])} bandwidths in {selection['seconds']:.3g} s; best {search['bandwidth']}")
    report = program.run("smooth", table, *columns, "--bandwidth", joined(search["bandwidth"]), "--std", "--on-grid",
                         "181x364x1", "--box", f"5:23,1:364,{DISTANCE}:{DISTANCE}", "-o", FOLDER / "flights-map.npy")
    told("flights on a grid", report)
    delay = numpy.load(FOLDER / "flights-map.npy")[:, :, 0]
    error = numpy.load(FOLDER / "flights-map-std.npy")[:, :, 0]
    hours, days = (numpy.load(FOLDER / f"flights-map-axis{axis}.npy") for axis in (0, 1))
    figure, (curve, mean, spread) = plt.subplots(1, 3, figsize=(15, 4.2), layout="constrained")
    draw_curve(curve, selection)
    # Where the standard error says nothing is known, nothing is shown.
    shown = numpy.ma.masked_where(error > 15, delay)
    for axes, values, title, limits, palette in (
            (mean, shown, f"mean arrival delay, minutes ({DISTANCE} miles)", (-20, 40), "RdYlBu_r"),
            (spread, error, "its standard error", (0, 15), "viridis")):
        drawn = axes.pcolormesh(days, hours, values, vmin=limits[0], vmax=limits[1], cmap=palette, shading="nearest")
        figure.colorbar(drawn, ax=axes)
        axes.set_xlabel("day of 2013")
        axes.set_ylabel("scheduled hour of departure")
        axes.set_title(title)
    figure.savefig(folder / "flights.png", dpi=90)


def diamonds(program, every, folder):
    columns = ["--x", "log_carat,depth,table", "--y", "log_price"]
    table = path_of("diamonds", every)
    search = program.run("smooth", table, *columns, "--bandwidth", "cv", "-o", FOLDER / "diamonds-fit.npy")
    told("diamonds", search)
    figure, (curve, lines) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    draw_curve(curve, search["selection"])
    for depth in DEPTHS:
        program.run("smooth", table, *columns, "--bandwidth", joined(search["bandwidth"]), "--std", "--on-grid", "200x1x1",
                    "--box", f"-1.6:1,{depth}:{depth},57:57", "-o", FOLDER / "diamonds-map.npy")
        price = numpy.load(FOLDER / "diamonds-map.npy").ravel()
        error = numpy.load(FOLDER / "diamonds-map-std.npy").ravel()
        carat = numpy.exp(numpy.load(FOLDER / "diamonds-map-axis0.npy"))
        known = error < 0.2
        drawn, = lines.loglog(carat[known], numpy.exp(price[known]), label=f"depth {depth} %")
        lines.fill_between(carat[known], numpy.exp((price - 2 * error)[known]), numpy.exp((price + 2 * error)[known]),
                           color=drawn.get_color(), alpha=0.25)
    lines.set_xticks([0.25, 0.5, 1, 2], ["0.25", "0.5", "1", "2"])
    lines.set_xticks([], minor=True)
    lines.set_xlabel("carat")
    lines.set_ylabel("price, dollars (table 57 %)")
    lines.legend()
    figure.savefig(folder / "diamonds.png", dpi=90)


def density(program, every, folder):
    table = path_of("flights", every)
    report = program.run("density", table, "--x", "dep_delay,arr_delay", "--bandwidth", "2", "--on-grid", "400x400", "--box",
                         "-20:120,-60:120", "-o", FOLDER / "flights-density.npy")
    told("density of the flights", report)
    values = numpy.load(FOLDER / "flights-density.npy")
    departure, arrival = (numpy.load(FOLDER / f"flights-density-axis{axis}.npy") for axis in (0, 1))
    figure, axes = plt.subplots(figsize=(6, 4.6), layout="constrained")
    drawn = axes.pcolormesh(departure, arrival, values.T, norm=colors.LogNorm(values.max() * 1e-4, values.max()),
                            cmap="magma", shading="nearest")
    axes.set_facecolor("black")  # where the density is 0, which has no logarithm
    figure.colorbar(drawn, label="flights, a share for each minute²")
    axes.set_xlabel("departure delay, minutes")
    axes.set_ylabel("arrival delay, minutes")
    figure.savefig(folder / "flights-density.png", dpi=90)


PICTURES = {"flights": flights, "diamonds": diamonds, "density": density}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="only each K-th row; pictures go to build/smoothing")
    parser.add_argument("--pictures", nargs="+", choices=sorted(PICTURES), default=list(PICTURES))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--polyattn", default="build/polyattn", help="the program")
    arguments = parser.parse_args()
    folder = pathlib.Path("docs/pictures") if arguments.every == 1 else FOLDER
    program = Program(arguments)
    for name in arguments.pictures:
        print(f"\n{name}")
        PICTURES[name](program, arguments.every, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
