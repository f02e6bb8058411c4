#!/usr/bin/python3
"""What good clients get while a flood grows: with Sluice, with an nftables meter, with nothing.

    bench_goodput.py --out FILE [--build DIR] [--rounds N] [--seconds S]

The shape is that of the XDP paper (Høiland-Jørgensen et al., CoNEXT 2018, section 4.3): one link, one processor that
receives, filters and serves, and a flood on the same link. Good clients keep connections open and ask again as soon
as they are answered; the flood is UDP of a thousand sources to a closed port. The link is a veth pair between two
namespaces. Its receiving end works in a kernel thread (threaded NAPI) on the server's processor, not on the sender's,
and its ring of 256 frames overflows as a NIC's does. Generator and clients share the other processor; the generator
yields to the clients, so at "all" it sends what is left of a processor.

Subjects: `sluice` and `nftables` limit UDP to 10 packets a second and source, burst 20; `direct` has nothing in front.
Rows of a step: transactions a second, their 99th percentile (requests that were never answered count with their age),
and what the generator sent. Values are medians of the rounds, which are interleaved. Needs root.
"""
import argparse
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
STEPS = (0, 250_000, 500_000, 1_000_000, 2_000_000, 3_000_000, 5_000_000, 7_500_000, None)  # frames a second; None: all
CONNECTIONS = 16
SOURCES = 1024
SERVER, CLIENT = "192.0.2.1", "192.0.2.2"
PORT = 8000

NFT_METER = """
table netdev bench {
  set sources { type ipv4_addr; size 65536; flags dynamic; }
  chain ingress {
    type filter hook ingress device "in" priority 0; policy accept;
    ip protocol udp update @sources { ip saddr limit rate over 10/second burst 20 packets } drop
  }
}
"""
NGINX = """
worker_processes 1; daemon off; pid FOLDER/nginx.pid; error_log FOLDER/error.log;
events { worker_connections 256; }
http {
  access_log off; keepalive_requests 100000000; keepalive_timeout 600;
  client_body_temp_path FOLDER/body; proxy_temp_path FOLDER/proxy; fastcgi_temp_path FOLDER/fastcgi;
  uwsgi_temp_path FOLDER/uwsgi; scgi_temp_path FOLDER/scgi;
  server { listen ADDRESS:PORT; location / { return 200 "0123456789abcdef"; } }
}
"""


def run(*command, **options):
    return subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True,
                          **options).stdout


class Link:
    """Two namespaces, `out` in the one and `in` in the other, and nginx behind `in` on a processor of its own."""

    def __init__(self, folder, attack_cpu, server_cpu):
        self.attack = f"slc-good-a-{os.getpid()}"
        self.edge = f"slc-good-e-{os.getpid()}"
        self.folder, self.attack_cpu, self.server_cpu = folder, attack_cpu, server_cpu

    def __enter__(self):
        try:
            for name in (self.attack, self.edge):
                run("ip", "netns", "add", name)
            run("ip", "-n", self.attack, "link", "add", "out", "type", "veth", "peer", "name", "in", "netns", self.edge)
            for name, interface, address in ((self.attack, "out", CLIENT), (self.edge, "in", SERVER)):
                run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", interface)
                run("ip", "-n", name, "link", "set", interface, "up")
                run("ip", "-n", name, "link", "set", "lo", "up")
            # With segmentation offload a veth hands what is no flood to the host past its ring, on the sender's processor.
            run("ip", "netns", "exec", self.attack, "ethtool", "-K", "out", "tso", "off")
            run("ip", "-n", self.edge, "route", "add", "default", "via", CLIENT)
            config = self.folder / "nginx.conf"
            config.write_text(NGINX.replace("FOLDER", str(self.folder)).replace("ADDRESS", SERVER)
                              .replace("PORT", str(PORT)))
            self.nginx = subprocess.Popen([*self.at(self.edge, self.server_cpu), "nginx", "-c", str(config)])
            time.sleep(0.5)
            if self.nginx.poll() is not None:
                raise RuntimeError(f"nginx ended with exit code {self.nginx.returncode}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if hasattr(self, "nginx"):
            self.nginx.terminate()
            self.nginx.wait(10)
        for name in (self.attack, self.edge):
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL, check=False)

    @staticmethod
    def at(netns, cpu, nice=0):
        """What puts a command there. `ip netns exec` would hide /sys/fs/bpf."""
        return ["nsenter", f"--net=/run/netns/{netns}", "nice", "-n", str(nice), "taskset", "-c", str(cpu)]

    def index(self, netns, interface):
        return json.loads(run("ip", "-j", "-n", netns, "link", "show", "dev", interface))[0]

    def receive_on_the_server_s_processor(self):
        run("ip", "netns", "exec", self.edge, "sh", "-c",
            "echo 0 > /sys/class/net/in/threaded; echo 1 > /sys/class/net/in/threaded")
        threads = [path.parent.name for path in pathlib.Path("/proc").glob("[0-9]*/comm")
                   if path.read_text().startswith("napi/in-")]
        if not threads:
            raise RuntimeError("no thread receives for interface in: threaded NAPI did not begin")
        for thread in threads:
            run("taskset", "-p", "-c", self.server_cpu, thread)
            run("chrt", "-f", "-p", 1, thread)  # before all else, as interrupts are


class Nothing:
    def __init__(self, link):
        self.link = link

    def napi(self, on):
        run(*self.link.at(self.link.edge, self.link.server_cpu), "ethtool", "-K", "in", "gro", "on" if on else "off")

    def __enter__(self):
        self.napi(True)  # without, a veth that runs no program receives on the sender's processor

    def __exit__(self, *_):
        self.napi(False)


class Nftables(Nothing):
    def __enter__(self):
        super().__enter__()
        run(*self.link.at(self.link.edge, self.link.server_cpu), "nft", "-f", "-", input=NFT_METER)

    def __exit__(self, *_):
        run(*self.link.at(self.link.edge, self.link.server_cpu), "nft", "delete", "table", "netdev", "bench")
        super().__exit__()


class Sluice:
    def __init__(self, link, bench):
        self.command = [*link.at(link.edge, link.server_cpu), str(bench), "hold", "sluice_udp", "in",
                        str(link.index(link.edge, "in")["ifindex"]), "20"]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"{' '.join(self.command)} did not get ready")

    def __exit__(self, *_):
        self.process.communicate("\n", timeout=30)


def step(link, build, flood, seconds):
    """(transactions a second, 99th percentile in ms, flood frames a second)"""
    load = subprocess.Popen([*link.at(link.attack, link.attack_cpu, -10), str(build / "tests/bench/http_load"), SERVER,
                             str(PORT), str(CONNECTIONS), str(seconds), "/", "patient"],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if load.stdout.readline().strip() != "ready":
        raise RuntimeError("the good clients could not connect")
    stream = None
    if flood != 0:
        stream = subprocess.Popen([*link.at(link.attack, link.attack_cpu, 10),
                                   str(build / "tests/bench/packets_bench"), "stream",
                                   str(link.index(link.attack, "out")["ifindex"]),
                                   link.index(link.edge, "in")["address"], SERVER, str(SOURCES - 1), str(flood or 0),
                                   str(int(seconds) + 1)], stdout=subprocess.PIPE, text=True)
        time.sleep(0.5)  # it loads, and the limits' bursts go
    answered = json.loads(load.communicate("\n", timeout=seconds + 60)[0])
    sent = 0.0
    if stream:
        said = json.loads(stream.communicate(timeout=60)[0])
        sent = said["frames"] / said["seconds"]
    if answered["refused"] or answered["other"]:
        raise RuntimeError(f"the server answered with an error: {answered}")
    return answered["requests"] / answered["seconds"], answered["p99_us"] / 1000, sent


def measure(build, rounds, seconds):
    """{(subject, step): [step()'s answer]}"""
    bench = build / "tests/bench/packets_bench"
    attack_cpu, server_cpu = sorted(os.sched_getaffinity(0))[:2]
    samples = {}
    with tempfile.TemporaryDirectory() as folder, Link(pathlib.Path(folder), attack_cpu, server_cpu) as link:
        os.chmod(folder, 0o755)  # nginx's worker is nobody
        for _ in range(rounds):
            for subject, guard in (("sluice", Sluice(link, bench)), ("nftables", Nftables(link)),
                                   ("direct", Nothing(link))):
                with guard:
                    link.receive_on_the_server_s_processor()
                    for flood in STEPS:
                        samples.setdefault((subject, flood), []).append(step(link, build, flood, seconds))
    return samples


def rows_of(samples):
    rows = []
    for (subject, flood), values in samples.items():
        case = "flood_all" if flood is None else f"flood_{flood // 1000}k"
        for column, (metric, unit) in enumerate((("transactions_per_s", "1/s"), ("p99", "ms"), ("flood_sent", "1/s"))):
            of_rounds = [value[column] for value in values]
            rows.append({"suite": "goodput", "case": case, "subject": subject, "metric": metric,
                         "value": statistics.median(of_rounds), "unit": unit, "runs": len(of_rounds),
                         "min": min(of_rounds), "max": max(of_rounds)})
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=pathlib.Path, help="file for the results")
    parser.add_argument("--build", default=ROOT / "build/release", type=pathlib.Path, help="build directory")
    parser.add_argument("--rounds", default=3, type=int)
    parser.add_argument("--seconds", default=3, type=int, help="of a step")
    arguments = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("bench_goodput: needs two processors: one sends, one receives")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C: namespaces and server go on the way out
    rows = rows_of(measure(arguments.build.resolve(), arguments.rounds, arguments.seconds))
    for row in rows:
        print(f"{row['case']:14} {row['subject']:9} {row['value']:12.1f} {row['unit']:4} "
              f"({row['min']:.1f} to {row['max']:.1f})  {row['metric']}")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
