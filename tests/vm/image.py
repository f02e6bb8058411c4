"""What the virtual machine boots: a Debian kernel taken out of its package, and an initramfs made here."""

import gzip
import re
import shutil
import subprocess
from pathlib import Path

PACKAGE = "linux-image-cloud-amd64"  # depends on the newest 6.1 kernel of Debian 12


class Unavailable(Exception):
    """Something of the machine we run on is missing; the text says what."""


class Kernel:
    def __init__(self, image: Path, modules: Path) -> None:
        self.image, self.modules = image, modules

    def with_dependencies(self, names: list[str]) -> list[Path]:
        """The module files, each after those it depends on. Names built into the kernel have no file and are left out."""
        files = {path.stem.replace("-", "_"): path for path in self.modules.rglob("*.ko")}
        ordered: list[Path] = []

        def add(name: str) -> None:
            path = files.get(name.replace("-", "_"))
            if path is None or path in ordered:
                return
            depends = re.search(rb"\0depends=([^\0]*)\0", path.read_bytes())
            for other in depends.group(1).decode().split(",") if depends else []:
                add(other)
            ordered.append(path)

        for name in names:
            add(name)
        return ordered


def debian_kernel(cache: Path) -> Kernel:
    """Downloads and unpacks the kernel's package into `cache`, once; nothing of the host's own boot is touched."""
    if not list(cache.glob("boot/vmlinuz-*")):
        fetch(cache)
    image = next(iter(cache.glob("boot/vmlinuz-*")), None)
    if image is None:
        raise Unavailable(f"no kernel in {cache} after unpacking {PACKAGE}")
    return Kernel(image, cache / "lib" / "modules" / image.name.removeprefix("vmlinuz-"))


def fetch(cache: Path) -> None:
    for tool in ("apt-cache", "apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise Unavailable(f"no {tool}: the test kernel comes from Debian's package {PACKAGE}")
    new = cache.with_name(cache.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    package = real_package()
    if package is None:
        must(["apt-get", "update", "-q"], new, 180)
        package = real_package()
    if package is None:
        raise Unavailable(f"apt knows no kernel that {PACKAGE} depends on; is Debian 12 in its sources?")
    # Root of apt drops to a user who may not write here; it is told not to.
    download = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package]
    if subprocess.run(download, cwd=new, capture_output=True, timeout=300, check=False).returncode != 0:
        must(["apt-get", "update", "-q"], new, 180)  # the index names a version the mirror no longer has
        must(download, new, 300)
    [archive] = new.glob("*.deb")
    must(["dpkg-deb", "-x", str(archive), str(new)], new, 120)
    archive.unlink()
    shutil.rmtree(cache, ignore_errors=True)
    new.rename(cache)


def real_package() -> str | None:
    said = subprocess.run(["apt-cache", "depends", PACKAGE], capture_output=True, text=True, timeout=60, check=False).stdout
    match = re.search(r"Depends: (linux-image-\S+)", said)
    return match.group(1) if match else None


def must(command: list[str], folder: Path, timeout_s: float) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{' '.join(command)}: not done in {timeout_s:.0f} s") from error
    if done.returncode != 0:
        raise Unavailable(f"{' '.join(command)}: {' '.join(done.stderr.split())[-200:]}")


class Initramfs:
    """Files by their path in the machine, written as a newc cpio archive, which is all the kernel asks for."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[int, bytes]] = {}

    def add(self, path: str, content: bytes | Path, mode: int = 0o644) -> None:
        self.files[path.strip("/")] = (mode, content.read_bytes() if isinstance(content, Path) else content)

    def add_program(self, path: str, program: Path) -> None:
        """With the shared libraries it is linked to, at the paths where its loader will look."""
        self.add(path, program, 0o755)
        listed = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False).stdout
        missing = re.findall(r"(\S+) => not found", listed)
        if missing:
            raise Unavailable(f"{program} needs {', '.join(missing)}")
        for library in re.findall(r"(/\S+) \(0x", listed):
            self.add(library, Path(library), 0o755)

    def write(self, path: Path) -> None:
        folders = {str(parent) for name in self.files for parent in Path(name).parents if str(parent) != "."}
        archive = bytearray()
        for name in sorted(folders, key=lambda folder: folder.count("/")):
            archive += self.entry(name, 0o040755, b"")
        for name, (mode, content) in self.files.items():
            archive += self.entry(name, 0o100000 | mode, content)
        # The kernel opens its console before /init can mount anything.
        archive[:0] = self.entry("dev", 0o040755, b"") + self.entry("dev/console", 0o020600, b"", device=(5, 1))
        archive += self.entry("TRAILER!!!", 0, b"")
        path.write_bytes(gzip.compress(archive, compresslevel=1))

    @staticmethod
    def entry(name: str, mode: int, content: bytes, device: tuple[int, int] = (0, 0)) -> bytes:
        named = name.encode() + b"\0"
        # inode, mode, uid, gid, links, mtime, size, device of the file system, device, length of the name, checksum
        numbers = (0, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(named), 0)
        head = b"070701" + b"".join(b"%08X" % number for number in numbers) + named
        return head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4)
