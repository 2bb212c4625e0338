#!/usr/bin/env python3
"""The shared library shows the public API and nothing else.

Usage: check_symbols.py NM LIBRARY SOURCE_DIR
"""

import pathlib
import re
import subprocess
import sys

NAME = re.compile(r"^(?:(?:typeinfo|typeinfo name|vtable) for )?polyattn::(\w+)")
MUST_SHOW = ["polyattn::attend(", "polyattn::plan(", "polyattn::prepare(", "typeinfo for polyattn::Error"]


def main() -> int:
    nm, library, source_dir = sys.argv[1:]
    listing = subprocess.run([nm, "-DC", "--defined-only", library], check=True, capture_output=True, text=True).stdout
    symbols = [line.split(maxsplit=2)[2] for line in listing.splitlines()]
    private = {path.name for path in (pathlib.Path(source_dir) / "src").iterdir() if path.is_dir()}

    problems = [f"not of the public API: {name}" for name in symbols if not NAME.match(name)]
    problems += [f"private: {name}" for name in symbols if (match := NAME.match(name)) and match.group(1) in private]
    problems += [f"missing: {name}" for name in MUST_SHOW if not any(shown.startswith(name) for shown in symbols)]
    print("\n".join(problems + [f"{len(symbols)} symbols, {len(problems)} problems"]))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
