"""The tables of docs/benchmarks.md about request limits, from rows of bench_limits.py."""

from __future__ import annotations

from bench_tables import Rows, ratio, table

LIMITS, LOADS = (10, 100, 10000), ("0.5", "0.9", "1.0", "1.5", "2.0")
HOSTS = {"": "one host", "_3_hosts": "three hosts"}
REDIS = {"near": "near", "slow": "10 ms away", "silent": "stopped, its connection open", "dead": "killed"}
KEYS = {"hot_key": "the same address again and again", "new_key": "an address never seen before"}
FEWER = 10
DEAD_P99_US = 1000
MISSING = "not measured"


def millions(value: float | None) -> str:
    return MISSING if value is None else f"{value / 1e6:.1f} M/s" if value >= 1e5 else f"{value / 1e3:.0f} k/s"


def few(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def microseconds(value: float | None) -> str:
    return MISSING if value is None else f"{value / 1000:.1f} ms" if abs(value) >= 1000 else f"{value:.0f} µs"


def reached(yes: bool | None) -> str:
    return MISSING if yes is None else "yes" if yes else "no"


def commands(rows: Rows, subject: str, limit: int, load: str, hosts: str = "") -> float | None:
    return rows.value(f"operations_limit_{limit}_load_{load}{hosts}", subject, "commands_per_request")


def fewer(rows: Rows, limit: int, load: str, hosts: str) -> float | None:
    return ratio(commands(rows, "redis_incr", limit, load), commands(rows, "sluice", limit, load, hosts))


def targets(rows: Rows) -> str:
    body = []
    for what, case, least in (("decisions a second and core, one hot key", "hot_key", 10e6),
                              ("the same over 10 million keys", "keys_10m", 3e6)):
        value = rows.value(case, "sluice", "decisions_per_s")
        body.append([what, f"at least {least / 1e6:.0f} M/s", millions(value), reached(None if value is None else value >= least)])
    for limit in LIMITS:
        for hosts, words in HOSTS.items():
            times = [one for load in LOADS if (one := fewer(rows, limit, load, hosts)) is not None]
            many = sum(one >= FEWER for one in times)
            body.append([f"fewer Redis commands, limit of {limit:,}, {words}, loads 0.5 to 2", f"{FEWER} times",
                         f"{few(min(times))} to {few(max(times))} times" if times else MISSING,
                         f"at {many} of {len(times)} loads" if 0 < many < len(times) else reached(many > 0 if times else None)])
    for redis in ("silent", "dead"):
        more = [rows.value(f"latency_{key}_{redis}", "sluice", "added_p99") for key in KEYS]
        worst = None if None in more else max(more)
        body.append([f"p99 added with Redis {REDIS[redis]}", "at most 1 ms", microseconds(worst),
                     reached(None if worst is None else worst <= DEAD_P99_US)])
    return table(["", "wanted", "measured", "reached"], body, {2})


def decisions(rows: Rows) -> str:
    body = []
    for words, case in (("one hot key", "hot_key"), ("… that is over its limit", "hot_key_refused"),
                        ("a million keys at random", "keys_1m"), ("… two charges a request", "keys_1m_two_charges"),
                        ("… whose windows end meanwhile", "keys_1m_expiring"),
                        ("10 million keys at random", "keys_10m"), ("… two charges a request", "keys_10m_two_charges"),
                        ("… whose windows end meanwhile", "keys_10m_expiring")):
        p99 = rows.value(case, "sluice", "p99")
        prefetched = rows.value(f"{case}_prefetched", "sluice", "decisions_per_s")
        redis = rows.value(case, "redis_incr", "decisions_per_s")
        body.append([words, millions(rows.value(case, "sluice", "decisions_per_s")),
                     "" if prefetched is None else millions(prefetched), "" if p99 is None else f"{p99:.0f} ns",
                     "" if redis is None else millions(redis)])
    return table(["", "decisions a second", "told eight ahead", "p99 of a decision", "INCR and EXPIRE"], body, {1, 2, 3, 4})


def memory(rows: Rows) -> str:
    counts = ("1", "2", "4", "8", "16", "100")
    cells = [rows.value(f"memory_{count}_events", "sluice", "bytes_per_key") for count in counts]
    redis = rows.value("memory_1_events", "redis_incr", "bytes_per_key")
    body = [["Sluice", *(MISSING if cell is None else f"{cell:.0f}" for cell in cells)],
            ["INCR and EXPIRE, in Redis", *([MISSING if redis is None else f"{redis:.0f}"] * len(counts))]]
    return table(["bytes a key with requests in its window", *counts], body, set(range(1, 7)))


def operations(rows: Rows) -> str:
    body = []
    for limit in LIMITS:
        for subject, hosts, words in (("redis_incr", "", "INCR and EXPIRE"), *(("sluice", *one) for one in HOSTS.items())):
            cells = [commands(rows, subject, limit, load, hosts) for load in LOADS]
            cases = [f"operations_limit_{limit}_load_{load}{hosts}" for load in LOADS]
            most = [rows.value(case, subject, "most_in_a_window") for case in cases]
            share = [rows.value(case, subject, "admitted_of_entitled") for case in cases]
            if None in [*cells, *most, *share]:
                continue
            body.append([f"{limit:,} in 10 s", words, *(f"{cell:.3f}" if cell < 0.1 else f"{cell:.2f}" for cell in cells),
                         f"{max(most):.0f} %", f"{min(share):.2f} %"])
    return table(["limit", "", *(f"load {load}" for load in LOADS), "most in a window", "admitted of entitled, least"],
                 body, set(range(2, 9)))


def redis_cpu(rows: Rows) -> str:
    cells = [rows.value(f"operations_all{hosts}", subject, "redis_cpu_per_request")
             for subject, hosts in (("redis_incr", ""), *(("sluice", hosts) for hosts in HOSTS))]
    return table(["", "INCR and EXPIRE", *HOSTS.values()],
                 [["Redis's processor time a request", *(MISSING if cell is None else f"{cell:.1f} µs" for cell in cells)]],
                 {1, 2, 3})


def latency(rows: Rows) -> str:
    body = []
    for key, who in KEYS.items():
        for redis, where in REDIS.items():
            cells = [rows.value(f"latency_{key}_{redis}", subject, f"added_{metric}")
                     for subject in ("sluice", "redis_incr") for metric in ("median", "p99")]
            body.append([who, where, *(microseconds(cell) for cell in cells)])
    return table(["requests of", "Redis is", "Sluice: median", "p99", "INCR and EXPIRE: median", "p99"], body, {2, 3, 4, 5})


def sections(rows: Rows) -> list[tuple[str, str]]:
    return [("limits_targets", targets(rows)), ("limits_decisions", decisions(rows)), ("limits_memory", memory(rows)),
            ("limits_operations", operations(rows)), ("limits_redis_cpu", redis_cpu(rows)),
            ("limits_latency", latency(rows))]
