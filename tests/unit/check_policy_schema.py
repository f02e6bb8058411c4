#!/usr/bin/env python3
"""Holds policies/policy.schema.json against the examples, and against files that the loader refuses as well."""

import copy
import json
import sys
from pathlib import Path

try:
    import jsonschema
    import yaml
except ImportError as error:
    print(f"needs Debian's python3-jsonschema and python3-yaml: {error}")
    sys.exit(77)

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "policies/policy.schema.json").read_text())


def walk(value, path="$"):
    """Yields (path, node) for every mapping in the policy."""
    if isinstance(value, dict):
        yield path, value
        for key, item in value.items():
            yield from walk(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from walk(item, f"{path}[{index}]")


def main() -> int:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    validator = jsonschema.Draft7Validator(SCHEMA)
    faults = []
    examples = sorted((ROOT / "policies").glob("*.yaml"))
    for file in examples:
        policy = yaml.safe_load(file.read_text())
        if "# yaml-language-server: $schema=policy.schema.json" not in file.read_text():
            faults.append(f"{file.name}: no modeline for editors")
        faults += [f"{file.name}: {'.'.join(map(str, e.path))}: {e.message}" for e in validator.iter_errors(policy)]
        # A key too many is refused wherever it stands.
        for path, _ in walk(policy):
            spoilt = copy.deepcopy(policy)
            dict(walk(spoilt))[path]["no_such_key"] = 1
            if validator.is_valid(spoilt):
                faults.append(f"{file.name}: an unknown key at {path} is let through")
    for text in ("{}", "{name: A B}", "{name: x, limits: [{name: a, per: ip, rate: 0/h}]}", "{name: x, kernel: {mode: on}}",
                 "{name: x, kernel: {ports: [0]}}", "{name: x, kernel: {ban: {after: 1, within: 1s}}}",
                 "{name: x, limits: [{name: all, per: ip, rate: 1/h}]}", "{name: x, limits: [{name: a, rate: 1/h}]}",
                 "{name: x, limits: [{name: a, per: ip}]}", "{name: x, limits: [{name: a, per: ip, concurrent: 0}]}",
                 "{name: x, limits: [{name: a, per: ip, rate: 1/h, concurrent: 1}]}",
                 "{name: x, limits: [{name: a, per: ip, concurrent: 1, algorithm: fixed}]}"):
        if validator.is_valid(yaml.safe_load(text)):
            faults.append(f"{text} is let through")
    if not validator.is_valid(yaml.safe_load("{name: x, limits: [{name: a, per: ip, concurrent: 20, mode: shadow}]}")):
        faults.append("a limit on requests in flight is refused")
    if len(examples) < 3:
        faults.append("examples are missing")
    print("\n".join(faults) or f"{len(examples)} examples fit the schema")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
