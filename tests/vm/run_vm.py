#!/usr/bin/python3
"""Runs the packet tests under Debian 12's own kernel (6.1), in a virtual machine without hardware acceleration.

The kernel comes from the package linux-image-cloud-amd64, unpacked aside: the host's boot is not touched. The machine
is one initramfs: busybox, the test binary with its libraries, ip, and libxdp's dispatcher. Prints `N passed, N failed`.
"""
import argparse
import gzip
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
DISPATCHER = pathlib.Path("/usr/lib/x86_64-linux-gnu/bpf/xdp-dispatcher.o")
# Left out: what measures time or needs millions of packets, an emulated processor being fifty times slower, and what
# needs a bridge.
DEFAULT_TESTS = "*-Limits.RefillsAtItsRateByTheCoarseAndTheExactClock:Limits.NoPacketSeesHalfOfTwoPolicies:" \
    "Limits.HundredThousandDenyPrefixesInTwoSeconds:Limits.TheKernelBansAtTheLastStrawWithOneEvent:" \
    "Attach.FallsBackToGenericAndSaysSo"
INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /run /tmp /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
for module in $(cat /modules/order); do insmod /modules/$module || echo "no $module"; done
export PATH=/bin LD_LIBRARY_PATH=/lib64
uname -r
/bin/bpf_tests --gtest_color=no --gtest_filter='{tests}'
echo "vm: tests ended with $?"
poweroff -f
"""
# veth is a module there; a bridge is not needed by the tests run here.
MODULES = ["veth"]


def run(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout


def fetch_kernel(cache):
    """The unpacked kernel package; downloaded once."""
    cache.mkdir(parents=True, exist_ok=True)
    unpacked = cache / "unpacked"
    if not list(unpacked.glob("boot/vmlinuz-*")):
        depends = run("apt-cache", "depends", "linux-image-cloud-amd64")
        package = re.search(r"Depends: (linux-image-\S+)", depends).group(1)
        run("apt-get", "download", package, cwd=cache)
        run("dpkg-deb", "-x", str(next(cache.glob(f"{package}_*.deb"))), str(unpacked))
    return unpacked


def copy_program(program, target, tree):
    shutil.copy(program, tree / target)
    for library in re.findall(r"(/\S+) \(0x", run("ldd", str(program))):
        where = tree / ("lib64" if "ld-linux" not in library else library.lstrip("/").rsplit("/", 1)[0])
        where.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, where)


def build_tree(tree, binary, kernel, tests):
    for directory in ("bin", "lib64", "modules", "etc"):
        (tree / directory).mkdir()
    shutil.copy(shutil.which("busybox"), tree / "bin/busybox")
    copy_program(binary, "bin/bpf_tests", tree)
    copy_program(shutil.which("ip"), "bin/ip", tree)
    copy_program("/bin/dash", "bin/sh", tree)  # busybox's shell would run its own ip instead
    at = tree / DISPATCHER.parent.relative_to("/")
    at.mkdir(parents=True)
    for program in ("xdp-dispatcher.o", "xdpfilt_alw_ip.o", "xsk_def_xdp_prog.o"):
        shutil.copy(DISPATCHER.parent / program, at)
    order = []
    for module in MODULES:
        found = list(kernel.glob(f"lib/modules/*/kernel/**/{module}.ko*"))
        if found:
            shutil.copy(found[0], tree / "modules")
            order.append(found[0].name)
    (tree / "modules/order").write_text(" ".join(order) + "\n")
    init = tree / "init"
    init.write_text(INIT.format(tests=tests))
    init.chmod(0o755)


def pack(tree, target):
    names = run("find", ".", cwd=tree)
    archive = subprocess.run(["busybox", "cpio", "-o", "-H", "newc"], input=names.encode(), cwd=tree, check=True,
                             stdout=subprocess.PIPE).stdout
    target.write_bytes(gzip.compress(archive, 1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=ROOT / "build/release", type=pathlib.Path, help="build directory")
    parser.add_argument("--cache", default=ROOT / "build/vm", type=pathlib.Path, help="where the kernel is kept")
    parser.add_argument("--tests", default=DEFAULT_TESTS, help="as --gtest_filter takes it")
    parser.add_argument("--timeout", default=900, type=int, help="seconds")
    options = parser.parse_args()
    binary = options.build / "tests/bpf/bpf_tests"
    for needed in ("qemu-system-x86_64", "busybox", "ip"):
        if shutil.which(needed) is None:
            sys.exit(f"run_vm: {needed} is missing")
    if not binary.exists():
        sys.exit(f"run_vm: {binary} is missing: build the target bpf_tests")

    kernel = fetch_kernel(options.cache)
    with tempfile.TemporaryDirectory() as directory:
        tree = pathlib.Path(directory) / "tree"
        tree.mkdir()
        build_tree(tree, binary, kernel, options.tests)
        initrd = pathlib.Path(directory) / "initrd.gz"
        pack(tree, initrd)
        command = ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "2048", "-nographic",
                   "-no-reboot", "-nic", "none", "-kernel", str(next(kernel.glob("boot/vmlinuz-*"))), "-initrd",
                   str(initrd), "-append", "console=ttyS0 panic=-1 quiet"]
        output = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=options.timeout,
                                check=False).stdout.decode(errors="replace").replace("\r", "")
    print(output)
    passed = len(re.findall(r"^\[       OK \]", output, re.M))
    failed = len(set(re.findall(r"^\[  FAILED  \] (\S+) \(", output, re.M)))
    skipped = len(re.findall(r"^\[  SKIPPED \] \S+ \(", output, re.M))
    if "vm: tests ended with" not in output or passed + skipped == 0:
        failed = max(failed, 1)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
