#!/usr/bin/env python3
"""Kernel smoothing through nonuniform Fourier transforms, timed on one thread inside this process.

    finufft_peer.py finufft

says "ready VERSION" (or "absent WHY" and ends), then answers lines:

    prepare N D BANDWIDTH ERROR ROWS FOLDER   reads q, k ([N, D]), v ([N]), truth ([ROWS]) in float64 and rows (int64)
                                              from FOLDER, finds the fastest settings whose error there is at most
                                              ERROR; "ok", or "error" where none is
    run any|float64                           seconds of one run, in either precision or in float64
    settings any|float64                      "ERROR EPS MODES PERIOD PRECISION UPSAMPLING" of those settings

The kernel exp(-|x - y|^2 / 2 H^2) is replaced by its Fourier series of period P on every axis: a transform of type 1
takes the keys, with weights 1 + i v_j, onto M modes an axis; these are multiplied by the kernel's coefficients, which
are real; a transform of type 2 takes them to the queries, where the real part is the denominator and the imaginary one
the numerator. A run has all that a caller pays: scaling the points, sorting, plans, both transforms, the quotient.
"""

import itertools
import math
import os
import sys
import time

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

try:
    import finufft
    import numpy as np
except ImportError as error:
    finufft, missing = None, error

STEP = math.sqrt(10.0)  # between the accuracies that are tried
TIGHTEST = {"float64": 1e-13, "float32": 1e-6}
LOOSEST = 1e-1
UPSAMPLINGS = (2.0, 1.25)
REPEATS = 3


class Settings:
    """eps: of the transforms. cut: of the kernel's coefficients, those left out are smaller by it than the first.
    wrap: of the kernel, at the distance of the nearest image of a point of the box."""

    def __init__(self, precision, upsampling, eps, cut, wrap):
        self.precision, self.upsampling = precision, upsampling
        self.eps, self.cut, self.wrap = eps, cut, wrap

    def replaced(self, **some):
        return Settings(**{**vars(self), **some})


class Smoother:
    def __init__(self, q, k, v, bandwidth, rows, truth):
        self.q, self.k, self.v = q, k, v
        self.bandwidth, self.rows, self.truth = bandwidth, rows, truth
        low = np.minimum(q.min(axis=0), k.min(axis=0))
        high = np.maximum(q.max(axis=0), k.max(axis=0))
        self.centre = 0.5 * (low + high)
        self.extent = float((high - low).max())

    def period(self, settings):
        return self.extent + self.bandwidth * math.sqrt(2.0 * math.log(1.0 / settings.wrap))

    def modes(self, settings):
        """Even M with the coefficient of M / 2, exp(-2 (pi H m / P)^2), at most `cut` times that of 0."""
        most = self.period(settings) / (math.pi * self.bandwidth) * math.sqrt(0.5 * math.log(1.0 / settings.cut))
        return 2 * (int(most) + 1)

    def answer(self, settings, queries):
        real = np.dtype(settings.precision)
        dim = self.k.shape[1]
        period = self.period(settings)
        scale = 2.0 * math.pi / period

        def columns(points):
            return [((points[:, axis] - self.centre[axis]) * scale).astype(real) for axis in range(dim)]

        strengths = np.empty(len(self.v), np.complex128 if real == np.float64 else np.complex64)
        strengths.real = 1.0
        strengths.imag = self.v
        count = self.modes(settings)
        m = np.arange(-(count // 2), count // 2)
        coefficients = np.exp(-2.0 * (math.pi * self.bandwidth / period * m) ** 2).astype(real)
        options = {"eps": settings.eps, "nthreads": 1, "upsampfac": settings.upsampling, "showwarn": 0}
        onto = getattr(finufft, f"nufft{dim}d1")
        back = getattr(finufft, f"nufft{dim}d2")
        spectrum = onto(*columns(self.k), strengths, (count,) * dim, isign=-1, **options)
        for axis in range(dim):
            spectrum *= coefficients.reshape([-1 if a == axis else 1 for a in range(dim)])
        sums = back(*columns(queries), spectrum, isign=1, **options)
        return sums.imag / sums.real

    def error(self, settings):
        try:
            got = self.answer(settings, self.q[self.rows])
        except Exception:  # an accuracy or a grid the library refuses
            return math.inf
        worst = float(np.abs(got - self.truth).max())
        return worst if math.isfinite(worst) else math.inf

    def loosest(self, start, allowed):
        """All accuracies alike as loose as may be, then each by itself; None where none is good enough."""
        found, eps = None, LOOSEST
        while eps >= TIGHTEST[start.precision] * 0.99:
            trial = start.replaced(eps=eps, cut=eps, wrap=eps)
            if self.error(trial) <= allowed:
                found = trial
                break
            eps /= STEP
        if found is None:
            return None
        improved = True
        while improved:
            improved = False
            for name in ("eps", "cut", "wrap"):
                looser = min(getattr(found, name) * STEP, 0.5)
                if looser == getattr(found, name):
                    continue
                trial = found.replaced(**{name: looser})
                if self.error(trial) <= allowed:
                    found, improved = trial, True
        return found

    def tune(self, allowed):
        self.best, least = {}, {"any": math.inf, "float64": math.inf}
        for precision, upsampling in itertools.product(TIGHTEST, UPSAMPLINGS):
            found = self.loosest(Settings(precision, upsampling, LOOSEST, LOOSEST, LOOSEST), allowed)
            if found is None:
                continue
            seconds = min(self.seconds(found) for _ in range(REPEATS))
            for name in ("any", precision):
                if seconds < least.get(name, 0.0):
                    self.best[name], least[name] = found, seconds
        if len(self.best) < len(least):
            raise RuntimeError(f"no settings with an error of at most {allowed:g}")

    def seconds(self, settings):
        start = time.perf_counter()
        self.answer(settings, self.q)
        return time.perf_counter() - start

    def words(self, name):
        s = self.best[name]
        return (f"{self.error(s)!r} {s.eps!r} {self.modes(s)} {self.period(s)!r} "
                f"{32 if s.precision == 'float32' else 64} {s.upsampling!r}")


def read(n, d, bandwidth, rows, folder):
    def numbers(name, dtype):
        return np.fromfile(os.path.join(folder, name), dtype)

    q, k = (numbers(name, np.float64).reshape(int(n), int(d)) for name in "qk")
    smoother = Smoother(q, k, numbers("v", np.float64), float(bandwidth), numbers("rows", np.int64),
                        numbers("truth", np.float64))
    if len(smoother.truth) != int(rows):
        raise RuntimeError("truth of the wrong size")
    return smoother


def main():
    # What libraries print must not get between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(text):
        print(text, file=answers, flush=True)

    if finufft is None:
        say(f"absent {missing}".splitlines()[0])
        return
    say(f"ready {finufft.__version__}")
    smoother = None
    for line in sys.stdin:
        command, *arguments = line.split()
        try:
            if command == "prepare":
                n, d, bandwidth, error, rows, folder = arguments
                smoother = read(n, d, bandwidth, rows, folder)
                smoother.tune(float(error))
                say("ok")
            elif command == "run":
                say(repr(smoother.seconds(smoother.best[arguments[0]])))
            elif command == "settings":
                say(smoother.words(arguments[0]))
            else:
                say(f"error unknown command {command}")
        except Exception as error:  # whatever goes wrong in a library is its answer
            say("error " + (str(error).splitlines() or [type(error).__name__])[0])


if __name__ == "__main__":
    main()
