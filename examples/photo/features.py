#!/usr/bin/env python3
"""A photograph as tokens: every pixel a query and a key with features (x, y, r, g, b), its colours the values.

    features.py PHOTO FOLDER    writes FOLDER/Q.npy, K.npy [n, 5], V.npy [n, 3] (float32) and Q_some.npy, every 64th
                                row of Q, and prints the bandwidths

x and y are in pixels, colours in [0, 1]. Attention with the Gaussian score over all pixels is the global bilateral
filter; the bandwidths printed (comma separated, one per feature) are half the picture's extent and half the colour
range.
"""

import pathlib
import sys

import numpy as np
from PIL import Image


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    photo, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    colours = np.asarray(Image.open(photo).convert("RGB"), dtype=np.float32) / np.float32(255)
    height, width, _ = colours.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    features = np.concatenate([x[..., None], y[..., None], colours], axis=-1).reshape(-1, 5)
    np.save(folder / "Q.npy", features)
    np.save(folder / "Q_some.npy", features[::64])
    np.save(folder / "K.npy", features)
    np.save(folder / "V.npy", colours.reshape(-1, 3))
    print(f"{width / 2:g},{height / 2:g},0.5,0.5,0.5")
    return 0


if __name__ == "__main__":
    sys.exit(main())
