#!/usr/bin/env python3
"""Markdown tables of what the exact drivers measured, for the README.

    table.py FOLDER     reads FOLDER/exact.json and FOLDER/exact_peers.json, as far as they are there
"""

import json
import pathlib
import sys

PEER_GOAL = 1.05  # a peer's time over ours; cells below are in bold

# Title, column of the values, prefix and suffix of the figures' names, unit.
SECTIONS = [
    ("Share of the multiply-add peak, one thread", "share", "exact_", "_share_of_peak", " %"),
    ("Time over interpolation between the head sizes beside", "ratio", "exact_", "_over_interpolation", " ×"),
    ("Time with a mask over time without", "ratio", "exact_mask_", "_over_none", " ×"),
    ("Grouped heads over as many key heads as query heads", "ratio", "exact_mask_", "_over_ungrouped", " ×"),
    ("Two threads against one", "speed-up", "exact_two_threads_", "_speedup", " ×"),
    ("Few queries, 100,000 keys: share of read bandwidth", "share", "exact_decode_", "_share_of_bandwidth", " %"),
    ("Few queries, 100,000 keys: share of what bandwidth and peak allow", "share", "exact_decode_",
     "_share_of_roofline", " %"),
]
PEERS = {"openblas": "two GEMMs on OpenBLAS", "pytorch": "PyTorch SDPA", "onnxruntime": "ONNX Runtime MHA"}


def load(path):
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def number(value):
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def table(header, rows):
    print("| " + " | ".join(header) + " |")
    print("| --- |" + " ---: |" * (len(header) - 1))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def label(text):
    """ "causal_d64_n8192" as "causal, d64, n8192"; words that belong together stay together."""
    for words in ("key_padding", "boolean_random", "boolean_causal", "boolean_true", "soft_cap", "grouped_heads"):
        text = text.replace(words, words.replace("_", " "))
    return text.replace("_", ", ")


def machine(context):
    loads = context["load_avg"]
    loads = loads if isinstance(loads[0], list) else [loads]
    print(f"{context['cpu_model']}, {context['num_cpus']} cores, {context['instruction_set']}, commit "
          f"{context['commit']}, load {', '.join(f'{load[0]:.1f}' for load in loads)}.\n")


def print_exact(document):
    machine(document["context"])
    figures = document["figures"]
    for title, column, prefix, suffix, unit in SECTIONS:
        rows = []
        for figure in figures:
            name = figure["name"]
            if name.startswith(prefix) and name.endswith(suffix):
                processes = ", ".join(number(value) for value in figure.get("processes", []))
                rows.append([label(name[len(prefix) : -len(suffix)]), number(figure["value"]) + unit, processes])
        if rows:
            print(f"**{title}**\n")
            table(["case", column, "processes"], rows)
    others = [f for f in figures if f["name"].startswith(("fma_peak", "read_bandwidth", "exact_error", "exact_clear"))]
    table(["figure", "value"], [[f["name"].replace("_", " "), f"{f['value']:.3g} {f['unit']}"] for f in others])


def print_peers(document):
    machine(document["context"])
    figures = {figure["name"]: figure["value"] for figure in document["figures"]}
    present = [peer for peer in PEERS if f"peers_{peer}_geometric_mean" in figures]
    cells = []
    for name in figures:
        for peer in present:
            cell = name[: -len(peer) - 1]
            if name.endswith("_" + peer) and cell not in cells:
                cells.append(cell)

    def shown(name):
        if name not in figures:
            return "–"
        value = f"{figures[name]:.2f}"
        return f"**{value}**" if figures[name] < PEER_GOAL else value

    rows = [[label(cell.removeprefix("peers_"))] + [shown(f"{cell}_{peer}") for peer in present] for cell in cells]
    rows.append(["geometric mean"] + [f"{figures[f'peers_{peer}_geometric_mean']:.2f}" for peer in present])
    print(f"**A peer's time over ours, one thread** (bold: below {PEER_GOAL})\n")
    table(["cell"] + [PEERS[peer] for peer in present], rows)
    for peer in PEERS:
        print(f"* {PEERS[peer]}: {document['context'].get('peer_' + peer, 'not looked for')}")


def main():
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        return 0 if len(sys.argv) == 2 else 2
    folder = pathlib.Path(sys.argv[1])
    for name, show in (("exact", print_exact), ("exact_peers", print_peers)):
        document = load(folder / f"{name}.json")
        if document:
            show(document)
    return 0


if __name__ == "__main__":
    sys.exit(main())
