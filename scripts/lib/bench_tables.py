"""Rows of benchmarks (bench_results.py) by name, and tables in Markdown."""

from __future__ import annotations


class Rows:
    def __init__(self, rows: list[dict]) -> None:
        self.rows = {(row["case"], row["subject"], row["metric"]): row for row in rows}

    def get(self, case: str, subject: str, metric: str) -> dict | None:
        return self.rows.get((case, subject, metric))

    def value(self, case: str, subject: str, metric: str) -> float | None:
        row = self.get(case, subject, metric)
        return row and row["value"]


def table(head: list[str], body: list[list[str]], right: set[int]) -> str:
    lines = ["| " + " | ".join(head) + " |",
             "|" + "|".join("---:" if column in right else "---" for column in range(len(head))) + "|"]
    return "\n".join(lines + ["| " + " | ".join(cells) + " |" for cells in body])


def ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None
