"""Is the Dockerfile good? Build it where no image registry is in reach, and say how large it is and how long that takes.

    python benchmarks/image.py [tag]        # warehouse-classifier unless said otherwise

The base, a Debian with Python 3.11, comes from debootstrap, which wants root; it is made once and kept under the tag
`debian-python`. BASE=python:3.11-slim builds on that one, where it can be had. What pip and apt need on this machine (another
index, certificates) goes into the base, proxies into the build, so the Dockerfile knows nothing of it; an image on such a base is
for this machine. A daemon without systemd and without the right to touch the network, as root in a virtual machine:

    apt-get install docker.io containerd runc debootstrap
    dockerd --bridge=none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false &
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
BASE, SUITE = "debian-python", "bookworm"
PACKAGES = "ca-certificates,python3-dev,python3-venv"  # python3-dev: what g++ compiles for `compile: true` includes it
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
OWN = Path("/usr/local/share/ca-certificates")
APT = re.compile(r"Acquire::(Check-|https?::|Retries|ForceIPv)")
PROXIES = ("http_proxy", "https_proxy", "no_proxy")  # docker knows these arguments and keeps them out of the image


def main(tag: str) -> None:
    if not works("docker", "version"):
        sys.exit("error: no docker daemon answers; the first lines of this file say how to start one")
    base = os.environ.get("BASE") or BASE
    if base == BASE and not works("docker", "image", "inspect", base):
        seconds = time.perf_counter()
        make_base()
        print(f"{base}: {megabytes(base):.0f} MB in {time.perf_counter() - seconds:.0f} s", flush=True)
    proxies = [name for name in (*PROXIES, *map(str.upper, PROXIES)) if name in os.environ]
    arguments = [f"--build-arg={argument}" for argument in (*proxies, f"BASE={base}")]
    command = ["docker", "build", "--network=host", *arguments, "--tag", tag, "."]
    seconds = time.perf_counter()
    if subprocess.run(command, cwd=TOP, env={**os.environ, "DOCKER_BUILDKIT": "0"}, check=False).returncode:
        sys.exit("error: the build failed, as said above")
    seconds = time.perf_counter() - seconds
    [version] = lines("docker", "run", "--rm", "--network=none", tag, "dvc", "--version")
    print(f"{tag}: {megabytes(tag):.0f} MB in {seconds:.0f} s; dvc {version}")


def make_base() -> None:
    """Raises SystemExit where there is no root, no debootstrap, or a password in what would stay in the base."""
    if os.geteuid() or shutil.which("debootstrap") is None:
        sys.exit("error: a base takes root and debootstrap; or name another, as BASE=python:3.11-slim")
    sources = of_apt()
    settings = {
        "etc/apt/sources.list": sources,
        "etc/apt/apt.conf.d/99machine": [line for line in lines("apt-config", "dump") if APT.match(line)],
        **of_pip(),
    }
    for name, value in settings.items():
        if any(re.search(r"://[^/\s]*@", line) for line in value):
            sys.exit(f"error: /{name} of the base would hold a password of this machine; take it out of the address")
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / "root"
        mirror = [line.split()[1] for line in sources if line.split()[2] == SUITE][:1]
        words = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(root), *mirror]
        if subprocess.run(words, check=False, stdout=subprocess.DEVNULL).returncode:
            sys.exit("error: debootstrap failed, as said above")
        for name, value in settings.items():
            if value:
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text("".join(f"{line}\n" for line in value))
        if OWN.is_dir():
            shutil.copytree(OWN, root / OWN.relative_to("/"), dirs_exist_ok=True)
            subprocess.run(["chroot", str(root), "update-ca-certificates"], check=True, capture_output=True)
        shutil.rmtree(root / "var/lib/apt/lists")
        for archive in (root / "var/cache/apt/archives").glob("*.deb"):
            archive.unlink()
        trust = [f"--change=ENV {name}=/{CERTIFICATES}" for name in ("SSL_CERT_FILE", "PIP_CERT")]
        with subprocess.Popen(["tar", "--create", f"--directory={root}", "."], stdout=subprocess.PIPE) as tar:
            command = ["docker", "import", *trust, '--change=CMD ["/bin/bash"]', "-", BASE]
            subprocess.run(command, check=True, stdin=tar.stdout, stdout=subprocess.DEVNULL)


def of_apt() -> list[str]:
    """The machine's sources of the suite, where it is a Debian."""
    indexes = lines("apt-get", "indextargets", "--format", "$(CREATED_BY) $(REPO_URI) $(CODENAME) $(COMPONENT)")
    rows = [line.split() for line in indexes]
    ours = [row for row in rows if row[0] == "Packages" and row[-1] == "main" and row[-2].startswith(SUITE)]
    return [f"deb {address} {suite} main" for _, address, suite, _ in ours]


def of_pip() -> dict[str, list[str]]:
    """The machine's indexes in the words of pip and of uv; what is a folder here is none in a container."""
    options = {}
    for line in lines(sys.executable, "-m", "pip", "config", "list"):
        name, _, value = line.partition("=")
        options[name.rpartition(".")[2]] = [word for word in ast.literal_eval(value).split() if word.startswith("http")]
    main, more = options.get("index-url", []), options.get("extra-index-url", [])
    pip = [f"{name} = {' '.join(words)}" for name, words in (("index-url", main), ("extra-index-url", more)) if words]
    uv = [f'[[index]]\nurl = "{word}"\n{"default = true" if word in main else ""}' for word in more + main]
    return {"etc/pip.conf": ["[global]", *pip] if pip else [], "etc/uv/uv.toml": uv}


def lines(*command: str) -> list[str]:
    if shutil.which(command[0]) is None:
        return []
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()


def works(*command: str) -> bool:
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def megabytes(tag: str) -> float:
    return int(lines("docker", "image", "inspect", "--format", "{{.Size}}", tag)[0]) / 1e6


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "warehouse-classifier")
