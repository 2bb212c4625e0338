#!/usr/bin/env python3
"""Checks that #include directives point along the arrows of ARCHITECTURE.md.

    base <- numerics <- engines <- planning <- api <- (lab, bench), lab <- cli

* Public headers may be included from everywhere, and include only each other and the standard library; `base` from all
  of src/ but simd.
* `lab` and `bench` see the public headers and themselves alone, `cli` also `lab`.
* `simd` is a leaf. Its files see each other, <cstddef>, <cstdint> and the intrinsics of their processor: they are
  compiled for different instruction sets, and an inline function of any other header would be merged by the linker
  into one of them. The dispatcher (simd/dispatch.*) is compiled for every processor and free of this. Only engines
  include simd; planning and api may ask simd/dispatch.hpp what runs here.
* `engines/reference` is the specification: nothing it includes, directly or not, comes from numerics or simd.

Usage: check_layers.py [ROOT]     prints one line per violation and exits 1 if there is any
"""

import pathlib
import re
import sys
from typing import NamedTuple

STANDARD = set(
    """algorithm any array atomic barrier bit bitset cassert cctype cerrno cfenv cfloat charconv chrono cinttypes climits
    clocale cmath compare complex concepts condition_variable coroutine csetjmp csignal cstdarg cstddef cstdint cstdio
    cstdlib cstring ctime cuchar cwchar cwctype deque exception execution filesystem forward_list fstream functional
    future initializer_list iomanip ios iosfwd iostream istream iterator latch limits list locale map memory
    memory_resource mutex new numbers numeric optional ostream queue random ranges ratio regex scoped_allocator
    semaphore set shared_mutex source_location span sstream stack stdexcept stop_token streambuf string string_view
    syncstream system_error thread tuple type_traits typeindex typeinfo unordered_map unordered_set utility valarray
    variant vector version""".split()
)

# Layer -> what it may include of the project.
ALLOWED = {
    "public": {"public"},
    "base": {"base", "public"},
    "numerics": {"numerics", "base", "public"},
    "simd": {"simd"},
    "engines": {"engines", "numerics", "simd", "base", "public"},
    "planning": {"planning", "engines", "numerics", "base", "public"},
    "api": {"api", "planning", "engines", "numerics", "base", "public"},
    "cli": {"cli", "lab", "public"},
    "lab": {"lab", "public"},
    "bench": {"bench", "public"},
}
LEAVES_OF_THE_LIBRARY = {"cli", "lab", "bench"}  # free to use what libraries they like
SIMD_QUERY = "simd/dispatch.hpp"
SIMD_QUERY_FROM = {"planning", "api"}
SIMD_HEADERS = {"cstddef", "cstdint", "immintrin.h", "arm_neon.h"}
SIMD_SCALAR_HEADERS = {"cmath", "bit"}  # std::fma and std::bit_cast stand in for instructions in lanes_scalar.hpp
SIMD_DISPATCH = {"simd/dispatch.hpp", "simd/dispatch.cpp"}
# Anything else in src/ outside the standard library, and who may use it.
EXTRA_HEADERS = {
    r"omp\.h": {"base"},
    r"xmmintrin\.h": {"base"},
    r"sys/mman\.h": {"base"},
    r"Eigen/.*": {"numerics", "engines", "planning"},
}
SUFFIXES = {".hpp", ".h", ".cpp", ".inl"}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:<([^>]+)>|"([^"]+)")', re.MULTILINE)


class Source(NamedTuple):
    path: pathlib.Path  # on disk
    shown: str  # relative to the root
    name: str  # as it is included: relative to include/, src/ or the layer's own folder
    layer: str
    includes: list  # (line, name, is_system)


def read_source(path: pathlib.Path, root: pathlib.Path) -> Source:
    shown = path.relative_to(root)
    top = shown.parts[0]
    layer = "public" if top == "include" else shown.parts[1] if top == "src" else top
    text = path.read_text(encoding="utf-8")
    includes = [
        (text.count("\n", 0, match.start()) + 1, match.group(1) or match.group(2), match.group(1) is not None)
        for match in INCLUDE.finditer(text)
    ]
    return Source(path, shown.as_posix(), shown.relative_to(top).as_posix(), layer, includes)


def read_tree(root: pathlib.Path) -> dict:
    """Every source of the checked folders, by path relative to the root."""
    sources = {}
    for top in ("include", "src", "cli", "lab", "bench"):
        for path in sorted((root / top).rglob("*")):
            is_file_of_layer = top != "src" or len(path.relative_to(root).parts) > 2
            if path.suffix in SUFFIXES and path.is_file() and is_file_of_layer:
                source = read_source(path, root)
                sources[source.shown] = source
    return sources


def resolve(source: Source, name: str, sources: dict, root: pathlib.Path):
    """Path relative to the root of the file that #include "name" in `source` means, or None."""
    top = source.shown.split("/")[0]
    beside = (pathlib.PurePosixPath(source.shown).parent / name).as_posix()
    for candidate in (f"include/{name}", f"src/{name}", f"{top}/{name}", beside, name):
        if candidate in sources:
            return candidate
        if (root / f"{candidate}.in").is_file():  # generated by CMake
            return candidate
    return None


def layer_of(shown: str) -> str:
    parts = shown.split("/")
    return "public" if parts[0] == "include" else parts[1] if parts[0] == "src" else parts[0]


def system_violation(source: Source, name: str):
    if source.layer in LEAVES_OF_THE_LIBRARY:
        return None
    if source.layer == "simd" and source.name not in SIMD_DISPATCH:
        scalar = source.name.endswith("lanes_scalar.hpp") and name in SIMD_SCALAR_HEADERS
        return None if name in SIMD_HEADERS or scalar else "simd files see only <cstddef>, <cstdint>, intrinsics"
    if name in STANDARD:
        return None
    for pattern, layers in EXTRA_HEADERS.items():
        if re.fullmatch(pattern, name) and source.layer in layers:
            return None
    return f"{source.layer} may not include this outside the standard library"


def project_violation(source: Source, target: str):
    layer = layer_of(target)
    if source.layer == "simd" and source.name not in SIMD_DISPATCH and target == f"src/{SIMD_QUERY}":
        return "what is compiled for one instruction set may not see the dispatcher"
    if layer in ALLOWED[source.layer]:
        return None
    if target == f"src/{SIMD_QUERY}" and source.layer in SIMD_QUERY_FROM:
        return None
    if source.name in SIMD_DISPATCH and layer in {"base", "public"}:
        return None
    return f"{source.layer} may not include {layer}"


def reference_violations(sources: dict, resolved: dict) -> list:
    """Numerics or simd reached from engines/reference through any chain of headers."""
    found = []
    for start in sorted(name for name in sources if name.startswith("src/engines/reference/")):
        chains, seen = [[start]], {start}
        while chains:
            chain = chains.pop()
            for target in resolved.get(chain[-1], []):
                if layer_of(target) in {"numerics", "simd"}:
                    found.append(f"{start}: reaches {target} through {' -> '.join(chain + [target])}")
                elif target not in seen:
                    seen.add(target)
                    chains.append(chain + [target])
    return found


def violations(root: pathlib.Path) -> list:
    sources = read_tree(root)
    resolved = {}
    found = []
    for source in sources.values():
        if source.layer not in ALLOWED:
            found.append(f"{source.shown}: '{source.layer}' is not a layer known to the architecture")
            continue
        for line, name, is_system in source.includes:
            target = resolve(source, name, sources, root)
            if is_system and target is None:
                reason = system_violation(source, name)
            elif target is None:
                # Third-party headers in quotes would hide from the rules for system headers.
                reason = "no such file in the project (third-party headers go in angle brackets)"
            else:
                resolved.setdefault(source.shown, []).append(target)
                reason = project_violation(source, target)
            if reason:
                found.append(f"{source.shown}:{line}: {name}: {reason}")
    return found + reference_violations(sources, resolved)


def main(arguments: list) -> int:
    root = pathlib.Path(arguments[1] if len(arguments) > 1 else pathlib.Path(__file__).parents[2]).resolve()
    count = len(read_tree(root))
    if count == 0:
        print(f"{root}: no sources found")
        return 1
    found = violations(root)
    print("\n".join(found + [f"{count} files, {len(found)} violations"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
