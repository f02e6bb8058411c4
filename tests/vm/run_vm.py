"""Runs the packet program and the daemon on Debian's own 6.1 kernel, in an emulated machine: no KVM is needed.

    sudo /usr/bin/python3 tests/vm/run_vm.py [--junit FILE] [--build DIR] [--tests FILTER] [--timeout SECONDS]

The machine boots from an initramfs with the built programs and guest.sh as /init, which reports over the serial console.
It has two processors and two drivers of network interfaces, veth and virtio_net. Writes FILE as JUnit; the last line is
the count. Exit code 0 only if nothing failed. Without QEMU or the kernel's package it skips, and says what is missing.
"""

import argparse
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "lib"))
sys.dont_write_bytecode = True

from image import Initramfs, Kernel, Unavailable, debian_kernel  # noqa: E402
from test_results import FAILED, PASSED, SKIPPED, Case, one_line, parse_gtest_output, parse_junit  # noqa: E402

MACHINE = ROOT / "build" / "vm"
MODULES = ["veth", "bridge", "virtio_pci", "virtio_net"]
XDP_OBJECTS = Path("/usr/lib/x86_64-linux-gnu/bpf")
# The program beside ours: xdp-filter's, which lets everything through unless told otherwise.
OTHER_PROGRAM = (XDP_OBJECTS / "xdpfilt_alw_all.o", "xdpfilt_alw_all")
# All of the packet tests but these, which the suite bpf runs on the host.
LEFT_OUT = {
    "Limits.RefillsAtItsRateByTheCoarseAndTheExactClock": "measures a rate against time, which emulation stretches",
    "Swaps.NoPacketSeesHalfOfTwoPolicies": "adds up millions of packets of several threads; here the sum was 7 "
                                            "short once, maybe because prog-run can be preempted within an "
                                            "increment, as a driver can't",
}

POLICY = b"""name: vm
kernel:
  deny: ["192.0.2.66"]
  limits:
    - {name: packets, count: packets, rate: 5000/s, burst: 10000}
  syn_cookies: always
"""

CONFIG = b"""interfaces: [veth0, eth0]
xdp_priority: 10
policy: /policy.yaml
gateway: {listen: ["192.0.2.1:8080"], upstream: ["127.0.0.1:8000"]}
"""


def tool(name: str, package: str) -> Path:
    found = shutil.which(name, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        raise Unavailable(f"no {name}: apt-get install {package}")
    return Path(found)


def make_initramfs(kernel: Kernel, build: Path, tests: str, target: Path) -> None:
    ram = Initramfs()
    ram.add("init", (Path(__file__).parent / "guest.sh").read_bytes(), 0o755)
    ram.add("bin/busybox", tool("busybox", "busybox-static"), 0o755)
    # Debian's busybox shell runs its own applets before what is in PATH, and its ip knows no veth.
    ram.add_program("bin/sh", tool("dash", "dash"))
    ram.add_program("usr/sbin/ip", tool("ip", "iproute2"))
    ram.add_program("usr/sbin/curl", tool("curl", "curl"))  # busybox's wget, being static, dies of looking a name up
    ram.add_program("usr/sbin/xdp-loader", tool("xdp-loader", "xdp-tools"))
    for path, built in (("sluiced", "sluiced"), ("sluicectl", "sluicectl"), ("bpf_tests", "tests/bpf/bpf_tests")):
        program = build / built
        if not program.exists():
            raise FileNotFoundError(f"{program} is missing: scripts/build sluiced sluicectl tests_bpf")
        ram.add_program(f"bin/{path}", program)
    for needed in XDP_OBJECTS.glob("*.o"):
        ram.add(str(needed), needed)
    for number, module in enumerate(kernel.with_dependencies(MODULES)):
        ram.add(f"modules/{number:02}-{module.name}", module)
    ram.add("policy.yaml", POLICY)
    ram.add("sluiced.yaml", CONFIG)
    ram.add("bpf_filter", tests.encode())
    ram.add("etc/passwd", b"root:x:0:0:root:/:/bin/sh\n")
    ram.add("etc/group", b"root:x:0:\n")
    ram.write(target)


def boot(kernel: Kernel, initramfs: Path, accel: str, timeout_s: float, log: Path) -> str:
    """Empty if the machine switched itself off, otherwise what ended it. Its console goes to `log`."""
    # virtio_net refuses native XDP while the host may hand it frames merged from several.
    device = "virtio-net-pci,netdev=n,romfile=,guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off,guest_csum=off"
    environment = f"OTHER_PROGRAM={OTHER_PROGRAM[0]} OTHER_PROGRAM_NAME={OTHER_PROGRAM[1]}"
    command = [tool("qemu-system-x86_64", "qemu-system-x86"), "-accel", accel, "-cpu", "max", "-smp", "2", "-m", "1024",
               "-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio", "-netdev", "user,id=n,restrict=on",
               "-device", device, "-kernel", kernel.image, "-initrd", initramfs,
               "-append", f"console=ttyS0 quiet panic=-1 net.ifnames=0 {environment}"]
    with open(log, "wb") as console:
        process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=console,
                                   stderr=subprocess.STDOUT)
        try:
            code = process.wait(timeout_s)
            return "" if code == 0 else f"QEMU ended with {code}"
        except subprocess.TimeoutExpired:
            return f"not done in {timeout_s:.0f} s"
        finally:
            process.kill()
            process.wait()


def read_results(console: str, xml: Path) -> list[Case]:
    """What the guest said: its own cases, and those of GoogleTest from its report, or from its output if it died."""
    kernel = re.search(r"@@kernel (\S+)", console)  # the firmware leaves its escape codes before it
    if kernel is None:
        return []
    report = re.search(r"^@@begin bpf.xml\n(.*)^@@end bpf.xml", console, re.MULTILINE | re.DOTALL)
    try:
        xml.write_text(report.group(1) if report else "")
        cases = parse_junit(xml)
    except ValueError:
        cases = parse_gtest_output(console)
    code = re.search(r"^@@exit bpf_tests (\d+)", console, re.MULTILINE)
    if not cases or (code and code.group(1) != "0" and all(case.status != FAILED for case in cases)):
        cases.append(Case("bpf_tests", FAILED, f"exit code {code.group(1) if code else 'unknown'}, no failed case reported"))
    for word, name, reason in re.findall(r"^@@(pass|fail) (\S+) ?(.*)$", console, re.MULTILINE):
        cases.append(Case(name, PASSED if word == "pass" else FAILED, one_line(reason)))
    cases += [Case(name, SKIPPED, why) for name, why in LEFT_OUT.items() if all(case.name != name for case in cases)]
    return [Case(f"linux-{kernel.group(1)}.{case.name}", case.status, case.reason) for case in cases]


def write_junit(path: Path, cases: list[Case], seconds: float) -> None:
    counts = {"tests": len(cases), "failures": sum(case.status == FAILED for case in cases),
              "skipped": sum(case.status == SKIPPED for case in cases)}
    suite = ElementTree.Element("testsuite", name="vm", time=f"{seconds:.1f}",
                                **{key: str(value) for key, value in counts.items()})
    for case in cases:
        element = ElementTree.SubElement(suite, "testcase", classname="vm", name=case.name)
        if case.status != PASSED:
            ElementTree.SubElement(element, "failure" if case.status == FAILED else "skipped", message=case.reason)
    path.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def run(options: argparse.Namespace) -> list[Case]:
    log, initramfs = MACHINE / "console.log", MACHINE / "initramfs.gz"
    try:
        tool("qemu-system-x86_64", "qemu-system-x86")
        kernel = debian_kernel(MACHINE / "kernel")
        make_initramfs(kernel, options.build, options.tests, initramfs)
        ended = boot(kernel, initramfs, options.accel, options.timeout, log)
    except Unavailable as why:
        return [Case("machine", SKIPPED, str(why))]
    except FileNotFoundError as why:
        return [Case("machine", FAILED, str(why))]
    # Without carriage returns, colours and other escape codes.
    console = re.sub(r"\x1b\[[0-9;?=]*[a-zA-Z]|\x1bc|\r", "", log.read_text(errors="replace"))
    cases = read_results(console, MACHINE / "bpf.xml")
    if ended or not re.search(r"^@@done$", console, re.MULTILINE):
        cases.append(Case("machine", FAILED, ended or "the machine stopped before its tests were done"))
    if any(case.status == FAILED for case in cases):
        print(*("   | " + line for line in console.splitlines()[-80:]), f"all of it: {log}", sep="\n")
    return cases


def main() -> int:
    parser = argparse.ArgumentParser(description="The packet program and the daemon on Debian's 6.1 kernel.")
    parser.add_argument("--junit", type=Path, metavar="FILE")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "release", metavar="DIR")
    parser.add_argument("--tests", default="*-" + ":".join(LEFT_OUT), metavar="FILTER", help="--gtest_filter of bpf_tests")
    parser.add_argument("--accel", choices=("tcg", "kvm"), default="tcg")
    parser.add_argument("--timeout", type=float, default=600, metavar="SECONDS", help="of the machine's whole life")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C: the machine is killed on the way out
    started = time.monotonic()
    MACHINE.mkdir(parents=True, exist_ok=True)
    cases = run(options)
    seconds = time.monotonic() - started
    if options.junit:
        write_junit(options.junit, cases, seconds)
    for case in cases:
        print(f"   {case.status:7} {case.name}{': ' + case.reason if case.reason else ''}")
    counts = {status: sum(case.status == status for case in cases) for status in (PASSED, FAILED, SKIPPED)}
    print(f"   in {seconds:.0f} s")
    print(", ".join(f"{count} {status}" for status, count in counts.items() if count or status != SKIPPED))
    return 1 if counts[FAILED] or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
