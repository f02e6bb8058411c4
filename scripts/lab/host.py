"""scripts/run --interface … --upstream …: sluiced on this host's own interface, in the foreground."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import yaml

from .edge import ROOT, binary

RUN, STATE, LOGS, ETC = Path("/run/sluice"), Path("/var/lib/sluice"), Path("/var/log/sluice"), Path("/etc/sluice")
LISTEN = ["0.0.0.0:8080", "[::]:8080"]


def default_policy(listen: list[str]) -> Path:
    """The host's own policy if there is one, else the mission's without what only the operator can know: who issues the
    users' tokens. Everyone is anonymous then, and limited by address."""
    own = ETC / "policy.yaml"
    if own.is_file():
        return own
    policy = yaml.safe_load((ROOT / "policies" / "starguide.yaml").read_text(encoding="utf-8"))
    policy.pop("identity", None)
    policy["kernel"]["ports"] = sorted({int(one.rpartition(":")[2]) for one in listen})
    policy["kernel"]["allow"] = []
    policy["kernel"]["deny"] = []
    path = RUN / "policy.yaml"
    path.write_text(yaml.safe_dump(policy, sort_keys=False), encoding="utf-8")
    return path


def mount_bpffs() -> None:
    """As systemd does at boot; hosts without it may not have it yet."""
    with open("/proc/mounts", encoding="utf-8") as mounts:
        if any(line.split()[1:3] == ["/sys/fs/bpf", "bpf"] for line in mounts):
            return
    subprocess.run(["mount", "-t", "bpf", "bpf", "/sys/fs/bpf"], check=True)


def run(options: argparse.Namespace) -> int:
    listen = options.listen or LISTEN
    for folder, mode in ((RUN, 0o755), (STATE, 0o750), (LOGS, 0o750)):
        folder.mkdir(parents=True, exist_ok=True, mode=mode)
    policy = options.policy or default_policy(listen)
    config = {
        "interfaces": options.interface,
        "policy": str(policy),
        "gateway": {"listen": listen, "upstream": options.upstream},
        "admin": {"socket": str(RUN / "admin.sock")},
        "ledger": {"kind": "embedded", "path": str(STATE)},
        "log": {"directory": str(LOGS)},
    }
    config_file = RUN / "sluiced.yaml"
    config_file.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    sluiced, sluicectl = binary("sluiced"), binary("sluicectl")
    checked = subprocess.run([sluiced, "--config", config_file, "--check"], capture_output=True, text=True, check=False)
    if checked.returncode != 0:
        print(checked.stderr or checked.stdout, end="", file=sys.stderr)
        return checked.returncode
    mount_bpffs()
    print(f"""\
Sluice on {', '.join(options.interface)}, {', '.join(listen)} in front of {', '.join(options.upstream)}
  policy    {policy}   (watched: save it and it is live)
  config    {config_file}
  state     {STATE}
  logs      {LOGS}/<category>.log
  control   {sluicectl} status | top | ban list | policy apply FILE
Ctrl-C stops it and detaches from the interface.""", flush=True)
    # sluiced takes this process's place: signals reach it, and its exit code is ours.
    os.execv(sluiced, [str(sluiced), "--config", str(config_file)])
