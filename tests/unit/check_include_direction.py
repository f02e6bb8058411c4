"""Includes go downwards only: a layer includes itself and the layers its sluice_layer() call lists under DEPENDS."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
USERSPACE = ROOT / "userspace"
# The kernel/user contract is read by the layer that talks to the kernel; everyone else gets it in userspace's words.
READS_BPF = {"kernel"}


def declared_layers(userspace: Path) -> dict[str, set[str]]:
    layers = {}
    for cmake in sorted(userspace.glob("*/CMakeLists.txt")):
        call = re.search(r"sluice_layer\(\s*(\w+)([^)]*)\)", cmake.read_text())
        if not call:
            continue
        words = call.group(2).split()
        depends = set()
        if "DEPENDS" in words:
            for word in words[words.index("DEPENDS") + 1:]:
                if word == "LIBRARIES":
                    break
                depends.add(word)
        layers[call.group(1)] = depends
    return layers


def cycle(layers: dict[str, set[str]]) -> list[str]:
    """A chain of layers that leads back to its first, or nothing."""
    def walk(layer: str, path: list[str]) -> list[str]:
        if layer in path:
            return [*path[path.index(layer):], layer]
        for below in sorted(layers.get(layer, ())):
            found = walk(below, [*path, layer])
            if found:
                return found
        return []

    for layer in sorted(layers):
        found = walk(layer, [])
        if found:
            return found
    return []


def problems(userspace: Path) -> list[str]:
    layers = declared_layers(userspace)
    if not layers:
        return [f"{userspace}: no sluice_layer() call found; did its name change?"]
    found = []
    for layer, depends in layers.items():
        for unknown in sorted(depends - layers.keys()):
            found.append(f"userspace/{layer}/CMakeLists.txt: DEPENDS names {unknown}, which is no folder of userspace/")
    loop = cycle(layers)
    if loop:
        found.append(f"userspace: layers depend on one another in a circle: {' → '.join(loop)}")
    for folder in sorted(path for path in userspace.iterdir() if path.is_dir() and path.name not in layers):
        found.append(f"userspace/{folder.name}: no sluice_layer() call in its CMakeLists.txt says what it may include")
    for layer, depends in layers.items():
        allowed = depends | {layer}
        for source in sorted((userspace / layer).rglob("*.[ch]pp")):
            where = source.relative_to(userspace.parent)
            for number, line in enumerate(source.read_text().splitlines(), 1):
                include = re.match(r'\s*#\s*include\s*["<]([^">]+)[">]', line)
                if not include:
                    continue
                target = include.group(1)
                first = target.split("/")[0]
                if target.startswith(".") or first == "userspace":
                    found.append(f'{where}:{number}: write includes from userspace/ on: "LAYER/file.hpp", not "{target}"')
                elif first in layers and first not in allowed:
                    found.append(f"{where}:{number}: {layer} may not include {first} ({target}); it may include "
                                 f"{', '.join(sorted(allowed))}. Move the code to the layer above both, hand the value "
                                 f"in from there, or, if the design changed, say so in userspace/{layer}/CMakeLists.txt")
                elif (first == "bpf" or target.endswith(".skel.h")) and layer not in READS_BPF:
                    found.append(f"{where}:{number}: only {', '.join(sorted(READS_BPF))} includes from bpf/ ({target}); "
                                 "give the value a name in userspace's words there")
    return found


if __name__ == "__main__":
    broken = problems(USERSPACE)
    print("\n".join(broken) if broken else "includes go downwards only")
    sys.exit(1 if broken else 0)
