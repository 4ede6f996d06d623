"""The small images that tests, the demo and the examples run: built from nothing but busybox, without any network.

An archive is composed in memory and loaded into a store of its own, which every Podman of a lab then reads beside
its own storage. It must not know about clusters or hosts.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

BUSYBOX = "localhost/busybox:1"
WEB_1 = "localhost/web:1"
WEB_2 = "localhost/web:2"
NGINX = "localhost/nginx:1"
WEB_PORT = 8080

_LOAD_TIMEOUT_SECONDS = 120.0
_STAMP = "images.stamp"

# Serves "<version> <hostname>" on every new connection: busybox httpd forks for each, so a slow client holds nobody up.
# On TERM it goes on serving for DRAIN_SECONDS, so that connections on their way are answered, then ends with 0.
_WEB_ENTRYPOINT = """\
#!/bin/sh
root=/srv/www
if ! (: > "$root/index.html") 2>/dev/null; then root=/dev/shm/www.$$; mkdir -p "$root"; fi
echo "${VERSION:-unknown} $(hostname)" > "$root/index.html"
echo ok > "$root/healthz"
httpd -f -p "${PORT:-8080}" -h "$root" &
server=$!
stop() {
    echo "stopping"
    sleep "${DRAIN_SECONDS:-0.5}"
    kill "$server"
    exit 0
}
trap stop TERM INT
echo "serving ${VERSION:-unknown} on port ${PORT:-8080}"
while kill -0 "$server" 2>/dev/null; do wait "$server"; done
"""

# Stands in for nginx in manifests of the Kubernetes documentation: the same port and folder, and it ends at QUIT and TERM.
_NGINX_ENTRYPOINT = """\
#!/bin/sh
httpd -f -p 80 -h /usr/share/nginx/html &
server=$!
trap 'kill "$server"; exit 0' TERM QUIT INT
while kill -0 "$server" 2>/dev/null; do wait "$server"; done
"""
# Debian's busybox has no printenv, which manifests of the documentation call.
_PRINTENV = """\
#!/bin/sh
[ $# -gt 0 ] || exec env
for name; do eval "[ -n \\"\\${$name+x}\\" ] && printf '%s\\n' \\"\\$$name\\""; done
"""
_NGINX_FILES = {"usr/share/nginx/html/index.html": "<h1>Welcome to nginx!</h1>\n"}

_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/tmp:/bin/false\n",
    "etc/group": "root:x:0:\nnobody:x:65534:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
}
_FOLDERS = {
    "bin": 0o755,
    "etc": 0o755,
    "root": 0o700,
    "srv/www": 0o777,
    "tmp": 0o1777,
    "usr/bin": 0o755,
    "var/run": 0o755,
}


class ImageBuildError(Exception):
    """The images cannot be built; the message carries the remedy."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One image: its layers as tar files and what a container runs by default."""

    reference: str
    layers: tuple[bytes, ...]
    command: tuple[str, ...] = ("/bin/sh",)
    entrypoint: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()
    stop_signal: str = ""


def build_images(store_root: str | Path) -> None:
    """Make a store at `store_root` that holds the test images; returns at once when they are there and current.

    Several processes may call it at the same time. The result is used as an additional image store, read only.
    Raises ImageBuildError.
    """
    root = Path(store_root)
    root.mkdir(parents=True, exist_ok=True)
    archive = docker_archive(recipes(_busybox_path()))
    stamp = hashlib.sha256(archive).hexdigest()
    with _locked(root.with_name(root.name + ".lock")):
        if _read_stamp(root) == stamp:
            return
        _load(root, archive)  # beside what is there: running containers may stand on the older layers
        (root / _STAMP).write_text(stamp)


def load_image(reference: str, store_root: str | Path) -> None:
    """Copy an image from this machine's Podman into the store. Raises ImageBuildError with Podman's word."""
    root = Path(store_root)
    saved = subprocess.run(
        ["podman", "save", "--quiet", "--format", "docker-archive", reference], capture_output=True, check=False
    )
    if saved.returncode:
        lines = saved.stderr.decode(errors="replace").strip().splitlines()
        raise ImageBuildError(f"podman save {reference}: {lines[-1] if lines else 'failed'}")
    with _locked(root.with_name(root.name + ".lock")):
        _load(root, saved.stdout)


def recipes(busybox: Path) -> list[Recipe]:
    """The images, made around one static busybox binary."""
    base = _layer(
        {"bin/busybox": busybox.read_bytes(), "bin/printenv": _PRINTENV.encode()}, _FILES, _FOLDERS, _applets(busybox)
    )
    web = _layer({"usr/bin/web": _WEB_ENTRYPOINT.encode()}, {}, {}, ())
    nginx = _layer({"usr/sbin/nginx": _NGINX_ENTRYPOINT.encode()}, _NGINX_FILES, {}, ())
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return [
        Recipe(BUSYBOX, (base,), env=(path,)),
        *(
            Recipe(reference, (base, web), command=(), entrypoint=("/usr/bin/web",), env=(path, f"VERSION={version}"))
            for reference, version in ((WEB_1, "1"), (WEB_2, "2"))
        ),
        Recipe(NGINX, (base, nginx), command=(), entrypoint=("/usr/sbin/nginx",), env=(path,)),
    ]


def docker_archive(images: Sequence[Recipe]) -> bytes:
    """Return a `docker save` archive of several images; equal recipes give equal bytes."""
    files: dict[str, bytes] = {}
    manifest = []
    for image in images:
        names = []
        for layer in image.layers:
            names.append(f"{hashlib.sha256(layer).hexdigest()}.tar")
            files[names[-1]] = layer
        config = json.dumps(_config(image), sort_keys=True).encode()
        config_name = f"{hashlib.sha256(config).hexdigest()}.json"
        files[config_name] = config
        manifest.append({"Config": config_name, "RepoTags": [image.reference], "Layers": names})
    files["manifest.json"] = json.dumps(manifest).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            _add(tar, tarfile.TarInfo(name), content)
    return buffer.getvalue()


def _config(image: Recipe) -> dict[str, object]:
    """The OCI image configuration."""
    return {
        "architecture": _architecture(),
        "os": "linux",
        "created": "2025-01-01T00:00:00Z",
        "config": {
            "Cmd": list(image.command) or None,
            "Entrypoint": list(image.entrypoint) or None,
            "Env": list(image.env),
            "Labels": image.labels,
            "Volumes": {path: {} for path in image.volumes} or None,
            "StopSignal": image.stop_signal or None,
            "WorkingDir": "/",
        },
        "rootfs": {
            "type": "layers",
            "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in image.layers],
        },
        "history": [{"created": "2025-01-01T00:00:00Z", "created_by": "lab/images.py"} for _ in image.layers],
    }


def _layer(programs: dict[str, bytes], files: dict[str, str], folders: dict[str, int], links: Sequence[str]) -> bytes:
    """A reproducible layer: sorted, owned by root, without times."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, mode in sorted(folders.items()):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        for name, content in sorted({**programs, **{name: text.encode() for name, text in files.items()}}.items()):
            entry = tarfile.TarInfo(name)
            entry.mode = 0o755 if name in programs else 0o644
            _add(tar, entry, content)
        for applet in links:
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
        if links:
            entry = tarfile.TarInfo("usr/bin/env")
            entry.type, entry.linkname = tarfile.SYMTYPE, "/bin/busybox"
            tar.addfile(entry)
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, entry: tarfile.TarInfo, content: bytes) -> None:
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _busybox_path() -> Path:
    found = shutil.which("busybox")
    if found is None:
        raise ImageBuildError("busybox is not installed; remedy: apt-get install busybox-static")
    return Path(found)


def _applets(busybox: Path) -> list[str]:
    result = subprocess.run([str(busybox), "--list"], capture_output=True, text=True, check=True, timeout=10)
    return sorted(set(result.stdout.split()) - {"busybox"})


def _architecture() -> str:
    import platform  # noqa: PLC0415 - costs 3 ms and only the builder needs it

    machine = platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock; the file stays, since removing it would let two holders in."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read_stamp(root: Path) -> str:
    try:
        return (root / _STAMP).read_text()
    except FileNotFoundError:
        return ""


def _load(root: Path, archive: bytes) -> None:
    """Load with the podman program, everything else it writes going to a folder that is thrown away."""
    with tempfile.TemporaryDirectory(prefix="timonier-images-") as scratch:
        tar = Path(scratch, "images.tar")
        tar.write_bytes(archive)
        settings = Path(scratch, "containers.conf")
        settings.write_text(f'[engine]\nevents_logger = "none"\nlock_type = "file"\nstatic_dir = "{scratch}/static"\n')
        command = ["podman", "--root", str(root), "--runroot", f"{scratch}/run", "--tmpdir", f"{scratch}/tmp"]  # noqa: S108 - in a fresh folder
        command += [
            "--storage-driver",
            "overlay",
            "--cgroup-manager",
            "cgroupfs",
            "load",
            "--quiet",
            "--input",
            str(tar),
        ]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": scratch, "CONTAINERS_CONF": str(settings)}
        try:
            result = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=False, timeout=_LOAD_TIMEOUT_SECONDS
            )
        except FileNotFoundError:
            raise ImageBuildError("podman is not installed; remedy: apt-get install podman") from None
        except subprocess.TimeoutExpired:
            raise ImageBuildError(f"podman load did not end within {_LOAD_TIMEOUT_SECONDS:.0f} s") from None
        if result.returncode != 0:
            raise ImageBuildError(f"podman load failed: {result.stderr.strip()[-500:]}")
