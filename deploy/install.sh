#!/bin/sh
# Installs Timonier on a Debian 12 or Ubuntu 24.04 machine, as root, from this checkout: Debian packages, the program in an
# environment of its own below /opt/timonier, its commands in /usr/local/bin, its systemd units. Starts nothing.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
venv=/opt/timonier/venv

fail() { echo "install: $1" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "run as root (sudo -i)"
command -v apt-get >/dev/null || fail "this installer knows Debian and Ubuntu only"

packages="podman netavark crun conmon nftables libnftables1 iproute2 conntrack util-linux python3 python3-venv"
echo "install: Debian packages: $packages"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq || fail "apt-get update failed: check the network and /etc/apt/sources.list"
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $packages >/dev/null || fail "apt-get install failed: run it by hand to see why"

echo "install: the program in $venv"
python3 -m venv "$venv"
# Built from a copy: setuptools leaves a folder behind in which modules that were since removed would come back.
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
for part in pyproject.toml README.md LICENSE api component controlplane agent netplugin cli lab; do
    cp -r "$here/$part" "$copy"
done
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$copy" ||
    fail "pip could not install the packages: check the network, then run the same command again"
for program in tim tim-server tim-agent; do
    ln -sf "$venv/bin/$program" "/usr/local/bin/$program"
done

install -d -m 0700 /etc/timonier
install -d -m 0755 /etc/NetworkManager/conf.d /etc/systemd/networkd.conf.d
install -m 0644 "$here/deploy/networkmanager.conf" /etc/NetworkManager/conf.d/timonier.conf
install -m 0644 "$here/deploy/networkd.conf" /etc/systemd/networkd.conf.d/timonier.conf
if [ -d /run/systemd/system ]; then
    echo "install: systemd units"
    install -m 0644 "$here"/deploy/*.service /etc/systemd/system/
    systemctl daemon-reload
else
    echo "install: this machine does not run systemd: start tim-server and tim-agent by other means"
fi
echo "install: done; next: tim check, then tim init (first replica) or tim join (node)"
