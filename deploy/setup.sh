#!/bin/sh
# Installs what a checkout needs to run: Debian packages, then the Python packages into a virtual environment of its
# own. Says what it installs; does nothing that is done already. With --peers also what the benchmarks compare with, with
# --tests also other clients and a checker of scripts that tests try if they are there.
set -eu
peers="" clients="" tried=""
case "${1:-}" in
--peers) peers="etcd-server etcd-client"; shift ;;
--tests)
    command -v kubectl >/dev/null || clients=kubernetes-client
    command -v shellcheck >/dev/null || clients="$clients shellcheck"
    tried=kubernetes-client
    shift
    ;;
esac
venv=${1:?usage: deploy/setup.sh [--peers|--tests] VENV}
packages="podman netavark crun conmon nftables libnftables1 iproute2 conntrack util-linux procps busybox-static python3 python3-venv curl $peers"

fail() { echo "setup: $1" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "run as root (sudo -i): containers, namespaces and nftables need it"
command -v apt-get >/dev/null || fail "this set-up knows Debian and Ubuntu only; install by hand: $packages"

missing=
for package in $packages; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
done
if [ -n "$missing" ]; then
    echo "setup: installing Debian packages:$missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq || fail "apt-get update failed: check the network and /etc/apt/sources.list"
    # RUNLEVEL=1 keeps freshly installed services (etcd) from starting: the benchmarks start their own.
    # shellcheck disable=SC2086
    RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $missing >/dev/null ||
        fail "apt-get install$missing failed: run it by hand to see why"
fi
for package in $clients; do
    echo "setup: installing $package, which only tests use"
    { apt-cache show "$package" || apt-get update -qq; } >/dev/null 2>&1 || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null 2>&1 ||
        echo "setup: $package cannot be had here: the tests that use it will be skipped"
done

# The distribution's interpreter first: it is built with optimisations that one compiled at home (pyenv) mostly lacks,
# which makes a replica a quarter slower.
python=
for candidate in /usr/bin/python3 python3; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$candidate; break; fi
done
[ -n "$python" ] ||
    fail "python3 is $(python3 --version 2>&1): 3.11 or newer is needed (Debian 12, Ubuntu 24.04)"
if [ ! -x "$venv/bin/python" ]; then
    echo "setup: making the virtual environment $venv with $python"
    "$python" -m venv "$venv" || fail "python3 -m venv failed: apt-get install python3-venv"
fi
echo "setup: installing the Python packages of pyproject.toml into $venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".[dev]" ||
    fail "pip could not install the packages: check the network, then run the same command again"

# Unpacked, not installed: they may stand beside others of the machine, and nothing of them starts by itself.
for package in $tried; do
    [ ! -e "$venv/debian/$package" ] || continue
    echo "setup: unpacking $package, which only tests use, into $venv/debian"
    folder=$(mktemp -d)
    (cd "$folder" && apt-get -o APT::Sandbox::User=root download -qq "$package" >/dev/null 2>&1) &&
        dpkg -x "$folder"/*.deb "$venv/debian" && touch "$venv/debian/$package" ||
        echo "setup: $package cannot be had here: the tests that use it will be skipped"
    rm -rf "$folder"
done
