#!/usr/bin/env python3
"""Pictures of the filtered photograph, and what the run and the plan said, in a few lines.

    show.py PHOTO FOLDER    reads FOLDER/OUT.npy, report.json, plan.json, exact_some.json; writes FOLDER/*.png
"""

import json
import pathlib
import sys

import numpy as np
from PIL import Image, ImageDraw

LABEL_HEIGHT = 16


def picture(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.round(np.clip(pixels, 0.0, 1.0) * 255.0).astype(np.uint8))


def side_by_side(panels: list) -> Image.Image:
    """Labelled pictures, two a row."""
    width, height = panels[0][1].size
    rows = (len(panels) + 1) // 2
    sheet = Image.new("RGB", (2 * width, rows * (height + LABEL_HEIGHT)), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (label, image) in enumerate(panels):
        left, top = (index % 2) * width, (index // 2) * (height + LABEL_HEIGHT)
        draw.text((left + 4, top + 2), label, fill="black")
        sheet.paste(image, (left, top + LABEL_HEIGHT))
    return sheet


def save_pictures(photo: str, folder: pathlib.Path) -> pathlib.Path:
    before = np.asarray(Image.open(photo).convert("RGB"), dtype=np.float64) / 255.0
    after = np.load(folder / "OUT.npy").astype(np.float64).reshape(before.shape)
    detail = before - after

    largest = float(np.abs(detail).max())
    panels = [
        ("before", "before", before),
        ("after", "after: every pixel is a mean over all pixels", after),
        ("difference", f"before - after, times {0.5 / largest:.2f}; grey is zero", 0.5 + detail * 0.5 / largest),
        ("boosted", "before + (before - after) / 2: colour and detail boosted", before + 0.5 * detail),
    ]
    labelled = []
    for name, label, pixels in panels:
        image = picture(pixels)
        image.save(folder / f"{name}.png")
        labelled.append((label, image))
    sheet = folder / "side_by_side.png"
    side_by_side(labelled).save(sheet)
    return sheet


def in_words(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds < 120.0 else f"{seconds / 60.0:.3g} min"


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    photo, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    head, planned, exact_some = (
        json.loads((folder / name).read_text())["heads"][0] for name in ("report.json", "plan.json", "exact_some.json")
    )
    taken, rows = head["seconds"], head["rows"]["total"]
    some = exact_some["rows"]["total"]
    # The exact engine's time is proportional to the number of queries.
    exact, predicted = exact_some["seconds"] * rows / some, planned["exact_seconds"]
    print(f"engine            {head['engine']} ({head['arithmetic']}, degree {head['degree']}, rank {head['rank']})")
    print(f"certified error   {head['bound']:.2e} for every one of {rows} rows")
    print(f"measured error    {head['measured_error']:.2e} in the rows verified")
    print(f"mean(V) instead   would be off by {head['mean_answer_error']:.2e}")
    print(f"time              {in_words(taken)}")
    print(f"exact, predicted  {in_words(predicted)} by the planner's model, {predicted / taken:.0f} times as long")
    print(f"exact, from {some:<5} {in_words(exact)} at the pace of {some} rows measured, {exact / taken:.0f} times as long")
    print(f"pictures          {save_pictures(photo, folder)} and its parts beside it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
