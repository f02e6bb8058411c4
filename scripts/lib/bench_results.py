"""Rows of benchmarks: {"suite","case","subject","metric","value","unit","runs","min","max"}.

Rows of one suite, case, metric and unit are comparable; `subject` says who was measured.
"""

FIELDS = {"suite": str, "case": str, "subject": str, "metric": str, "value": (int, float), "unit": str, "runs": int,
          "min": (int, float), "max": (int, float)}
SUBJECTS = ("sluice", "empty", "lru_hash", "lru_hash_own_lists", "lru_hash_percpu",
            "lru_token_bucket", "nftables", "nftables_drop", "generator", "nginx", "haproxy", "redis_incr", "direct")


def check_rows(suite: str, rows: object) -> None:
    """Raises ValueError naming the first row that is not one."""
    if not isinstance(rows, list) or not rows:
        raise ValueError("no rows")
    for number, row in enumerate(rows):
        where = f"row {number}"
        if not isinstance(row, dict):
            raise ValueError(f"{where} is no object")
        for field, kind in FIELDS.items():
            if not isinstance(row.get(field), kind) or isinstance(row.get(field), bool):
                raise ValueError(f"{where}: {field} is {row.get(field)!r}")
        if row["suite"] != suite:
            raise ValueError(f"{where}: suite is {row['suite']!r}, not {suite!r}")
        if row["subject"] not in SUBJECTS:
            raise ValueError(f"{where}: subject is {row['subject']!r}, none of {', '.join(SUBJECTS)}")
        if not row["min"] <= row["value"] <= row["max"]:
            raise ValueError(f"{where}: {row['value']} is not between its min {row['min']} and max {row['max']}")


def merge(old: list, fresh: dict[str, list]) -> list:
    """The old rows of suites that did not run now, and the new ones."""
    kept = [row for row in old if isinstance(row, dict) and row.get("suite") not in fresh]
    return kept + [row for rows in fresh.values() for row in rows]


def number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.3g}"


def table(rows: list) -> str:
    """Aligned lines; the last column is the value over Sluice's own in the same case, where there is one."""
    lines = [("SUITE", "CASE", "METRIC", "SUBJECT", "VALUE", "UNIT", "MIN", "MAX", "RUNS", "OVER SLUICE'S")]
    own = {(row["suite"], row["case"], row["metric"], row["unit"]): row["value"]
           for row in rows if row["subject"] == "sluice"}
    for row in rows:
        reference = own.get((row["suite"], row["case"], row["metric"], row["unit"]))
        ratio = f"{row['value'] / reference:.2f}" if reference and row["subject"] != "sluice" else ""
        lines.append((row["suite"], row["case"], row["metric"], row["subject"], number(row["value"]), row["unit"],
                      number(row["min"]), number(row["max"]), str(row["runs"]), ratio))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    right = {4, 6, 7, 8, 9}
    return "\n".join("  ".join(cell.rjust(width) if column in right else cell.ljust(width)
                               for column, (cell, width) in enumerate(zip(line, widths))).rstrip() for line in lines)
