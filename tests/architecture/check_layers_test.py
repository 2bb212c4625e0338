#!/usr/bin/env python3
"""The layer check must accept a clean tree and find every kind of violation in a synthetic one."""

import pathlib
import tempfile
import unittest

import check_layers

CLEAN = {
    "include/polyattn/view.hpp": "#include <array>\n",
    "include/polyattn/attention.hpp": '#include "polyattn/view.hpp"\n',
    "src/base/error.hpp": '#include "polyattn/view.hpp"\n#include <string>\n',
    "src/base/parallel.cpp": "#include <omp.h>\n#include <xmmintrin.h>\n",
    "src/base/version.hpp.in": "",
    "src/numerics/exp.hpp": '#include "base/error.hpp"\n#include <Eigen/Dense>\n',
    "src/simd/lanes_scalar.hpp": "#include <bit>\n#include <cmath>\n#include <cstddef>\n",
    "src/simd/lanes_avx2.hpp": "#include <immintrin.h>\n",
    "src/simd/dispatch.hpp": "#include <vector>\n",
    "src/simd/dispatch.cpp": '#include "simd/dispatch.hpp"\n#include "base/error.hpp"\n#include <string>\n',
    "src/simd/isa_avx2.cpp": '#include "simd/lanes_avx2.hpp"\n#include "simd/kernel.inl"\n',
    "src/simd/kernel.inl": "#include <cstddef>\n",
    "src/engines/problem.hpp": '#include "base/error.hpp"\n',
    "src/engines/exact/exact.cpp": '#include "numerics/exp.hpp"\n#include "simd/dispatch.hpp"\n',
    "src/engines/reference/reference.cpp": '#include "engines/problem.hpp"\n#include <cmath>\n',
    "src/planning/plan.cpp": '#include "engines/problem.hpp"\n#include "simd/dispatch.hpp"\n',
    "src/api/attend.cpp": '#include "polyattn/attention.hpp"\n#include "planning/plan.hpp"\n#include "base/version.hpp"\n',
    "src/planning/plan.hpp": "",
    "cli/main.cpp": '#include "io/npy.hpp"\n#include <polyattn/attention.hpp>\n#include <CLI/CLI.hpp>\n',
    "cli/lab/sat.cpp": '#include "lab/sat.hpp"\n#include "lab/commands.hpp"\n',
    "cli/lab/commands.hpp": "",
    "lab/sat.hpp": '#include "polyattn/attention.hpp"\n#include <flint/fmpz.h>\n',
    "lab/sat.cpp": '#include "lab/sat.hpp"\n',
    "cli/io/npy.hpp": "#include <sys/mman.h>\n",
    "bench/exact_bench.cpp": '#include "polyattn/attention.hpp"\n#include <benchmark/benchmark.h>\n',
}

# File, its text, and a part of the message that must come.
VIOLATIONS = [
    ("include/polyattn/bad.hpp", '#include "base/error.hpp"', "public may not include base"),
    ("include/polyattn/bad.hpp", "#include <omp.h>", "outside the standard library"),
    ("include/polyattn/bad.hpp", "#include <immintrin.h>", "outside the standard library"),
    ("include/polyattn/bad.hpp", "#include <Eigen/Core>", "outside the standard library"),
    ("include/polyattn/bad.hpp", '#include "simd/dispatch.hpp"', "public may not include simd"),
    ("src/base/bad.cpp", '#include "numerics/exp.hpp"', "base may not include numerics"),
    ("src/base/bad.cpp", '#include "simd/dispatch.hpp"', "base may not include simd"),
    ("src/numerics/bad.cpp", '#include "engines/problem.hpp"', "numerics may not include engines"),
    ("src/numerics/bad.cpp", '#include "simd/dispatch.hpp"', "numerics may not include simd"),
    ("src/engines/exact/bad.cpp", '#include "planning/plan.hpp"', "engines may not include planning"),
    ("src/engines/exact/bad.cpp", "#include <omp.h>", "outside the standard library"),
    ("src/planning/bad.cpp", '#include "api/attend.hpp"', "no such file"),
    ("src/planning/bad.cpp", '#include "simd/lanes_avx2.hpp"', "planning may not include simd"),
    ("src/api/bad.cpp", '#include "io/npy.hpp"', "no such file"),
    ("src/api/bad.cpp", '#include "../../cli/io/npy.hpp"', "no such file"),
    ("src/api/bad.cpp", "#include <nlohmann/json.hpp>", "outside the standard library"),
    ("src/api/bad.cpp", '#include "nlohmann/json.hpp"', "third-party headers go in angle brackets"),
    ("src/api/bad.cpp", "  #  include <mpi.h>", "outside the standard library"),
    ("src/simd/isa_avx512.cpp", "#include <algorithm>", "simd files see only"),
    ("src/simd/isa_avx512.cpp", '#include "base/error.hpp"', "simd may not include base"),
    ("src/simd/isa_avx512.cpp", '#include "polyattn/view.hpp"', "simd may not include public"),
    ("src/simd/lanes_avx512.hpp", "#include <cmath>", "simd files see only"),
    ("src/simd/isa_avx512.cpp", '#include "simd/dispatch.hpp"', "compiled for one instruction set"),
    ("src/simd/dispatch.hpp", "#include <fmt/core.h>", "outside the standard library"),
    ("src/simd/dispatch.cpp", '#include "engines/problem.hpp"', "simd may not include engines"),
    ("src/engines/reference/bad.cpp", '#include "numerics/exp.hpp"', "reaches src/numerics/exp.hpp"),
    ("src/engines/reference/bad.cpp", '#include "simd/dispatch.hpp"', "reaches src/simd/dispatch.hpp"),
    ("src/engines/problem.hpp", '#include "numerics/exp.hpp"', "reference.cpp: reaches src/numerics/exp.hpp through"),
    ("src/gpu/kernel.cpp", "", "not a layer"),
    ("src/api/bad.cpp", '#include "lab/sat.hpp"', "api may not include lab"),
    ("src/base/bad.cpp", '#include "lab/sat.hpp"', "base may not include lab"),
    ("src/api/bad.cpp", "#include <flint/fmpz.h>", "outside the standard library"),
    ("cli/bad.cpp", '#include "planning/plan.hpp"', "cli may not include planning"),
    ("cli/bad.cpp", '#include "base/error.hpp"', "cli may not include base"),
    ("cli/bad.cpp", '#include "bench/exact_bench.cpp"', "cli may not include bench"),
    ("lab/bad.cpp", '#include "engines/problem.hpp"', "lab may not include engines"),
    ("lab/bad.cpp", '#include "base/error.hpp"', "lab may not include base"),
    ("lab/bad.cpp", '#include "cli/io/npy.hpp"', "lab may not include cli"),
    ("lab/bad.cpp", '#include "../cli/io/npy.hpp"', "no such file"),
    ("lab/threshold/bad.cpp", '#include "simd/dispatch.hpp"', "lab may not include simd"),
    ("bench/bad_bench.cpp", '#include "engines/problem.hpp"', "bench may not include engines"),
    ("bench/bad_bench.cpp", '#include "base/error.hpp"', "bench may not include base"),
    ("bench/bad_bench.cpp", '#include "lab/sat.hpp"', "bench may not include lab"),
]


class CheckLayers(unittest.TestCase):
    def violations_of(self, files: dict) -> list:
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in files.items():
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return check_layers.violations(root)

    def test_clean_tree_passes(self):
        self.assertEqual(self.violations_of(CLEAN), [])

    def test_each_violation_is_found_and_nothing_else(self):
        for name, text, expected in VIOLATIONS:
            with self.subTest(file=name, include=text):
                found = self.violations_of({**CLEAN, name: CLEAN.get(name, "") + text + "\n"})
                self.assertTrue(any(expected in line for line in found), found)
                self.assertTrue(all(name in line for line in found), found)

    def test_an_empty_root_is_an_error(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual(check_layers.main(["check_layers.py", folder]), 1)


if __name__ == "__main__":
    unittest.main()
