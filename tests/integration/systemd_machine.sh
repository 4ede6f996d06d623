#!/bin/sh
# A machine that runs systemd, made of this machine's own files: an overlay over /, in namespaces of its own. Runs
# deploy/install.sh in it, then boots. Everything it writes is below FOLDER; it ends with the process that started it.
#     unshare --mount --propagation private sh systemd_machine.sh FOLDER CHECKOUT NAME
set -eu
folder=$1 checkout=$2 name=$3 stage=${4:-build}
root=$folder/root
address=10.99.0.1/24
unified=no
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then unified=yes; fi
# Of cgroups version 1; version 2 has them in one place.
hierarchies="systemd cpu cpuacct cpuset memory devices freezer blkio pids"

fail() {
    echo "$1" >&2
    exit 1
}

build() {
    mkdir -p "$folder/upper" "$folder/work" "$folder/lib" "$root"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" "$root" ||
        fail "no overlay over / can be made here"
    mount --rbind /dev "$root/dev"
    mount -t proc proc "$root/proc"
    mount -t tmpfs tmpfs "$root/run"
    mount -t tmpfs tmpfs "$root/tmp"
    mkdir -p "$root/run/systemd/system"
    # No trace of another installation, and no unit of this machine but the ones of a bare system.
    rm -rf "$root/etc/timonier" "$root/opt/timonier" "$root/var/lib/timonier" "$root/etc/systemd/system"
    mkdir -p "$root/etc/systemd/system"
    mkdir -p "$root/mnt/checkout" # it may lie on another file system, or where something is mounted now
    mount --bind "$checkout" "$root/mnt/checkout"
    mount -o remount,bind,ro "$root/mnt/checkout" # installing leaves nothing in it
    SYSTEMD_OFFLINE=1 chroot "$root" /mnt/checkout/deploy/install.sh
    umount "$root/mnt/checkout"
    cp -r "$checkout/examples" "$root/mnt/"
    umount -R "$root/dev" "$root/proc" "$root/run" "$root/tmp"
    : >"$root/etc/fstab"
    for unit in systemd-udevd systemd-udev-trigger systemd-resolved systemd-networkd systemd-timesyncd systemd-sysctl \
        systemd-modules-load systemd-firstboot systemd-remount-fs; do
        ln -s /dev/null "$root/etc/systemd/system/$unit.service"
    done
    cat >"$root/etc/systemd/system/machine.target" <<'UNIT'
[Unit]
Requires=basic.target
After=basic.target
AllowIsolate=yes
UNIT
    join_cgroups
    exec unshare --pid --fork --kill-child --net --uts --ipc --cgroup --mount \
        sh "$0" "$folder" "$checkout" "$name" boot
}

join_cgroups() {
    if [ $unified = yes ]; then
        mkdir "/sys/fs/cgroup/$name"
        echo $$ >"/sys/fs/cgroup/$name/cgroup.procs"
        return
    fi
    mkdir "/sys/fs/cgroup/cpuset/$name"
    for file in cpuset.cpus cpuset.mems; do
        cat "/sys/fs/cgroup/cpuset/$file" >"/sys/fs/cgroup/cpuset/$name/$file"
    done
    for each in $hierarchies; do
        mkdir -p "/sys/fs/cgroup/$each/$name"
        echo $$ >"/sys/fs/cgroup/$each/$name/cgroup.procs"
    done
}

boot() {
    ip link set lo up
    ip link add eth0 type veth peer name switch
    ip addr add "$address" dev eth0
    ip link set switch up
    ip link set eth0 up
    ip route add default dev eth0
    hostname n1
    mount --bind "$folder/lib" "$root/var/lib" # containers need a file system below them that is no overlay
    mount -t proc proc "$root/proc"
    mount -t sysfs sysfs "$root/sys"
    mount -t tmpfs tmpfs "$root/run"
    mount -t tmpfs tmpfs "$root/tmp"
    devices
    cgroups
    cd "$root"
    mkdir -p .old
    pivot_root . .old
    umount -l /.old
    # Where cgroups are of version 1, then all of them: the OCI runtime refuses a mixture.
    exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=other \
        SYSTEMD_PROC_CMDLINE="systemd.unified_cgroup_hierarchy=$unified systemd.legacy_systemd_cgroup_controller=yes" \
        /lib/systemd/systemd --system --unit=machine.target --show-status=no
}

devices() {
    mount -t tmpfs -o mode=755 tmpfs "$root/dev"
    for each in null zero full random urandom tty; do
        : >"$root/dev/$each"
        mount --bind "/dev/$each" "$root/dev/$each"
    done
    mkdir "$root/dev/pts" "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
}

cgroups() {
    if [ $unified = yes ]; then
        mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
        return
    fi
    mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
    for each in $hierarchies; do
        mkdir "$root/sys/fs/cgroup/$each"
        if [ "$each" = systemd ]; then each=none,name=systemd; fi
        mount -t cgroup -o "$each" cgroup "$root/sys/fs/cgroup/${each#none,name=}"
    done
}

$stage
