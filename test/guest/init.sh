#!/bin/busybox sh
# PID 1 of the guest. The host's files are the lower layer of an overlay whose upper one is memory: what the tests write is
# gone with the guest. cgroup v2 alone, as Debian 12 has it.
set -e
b=/bin/busybox
fail() { echo "guest: $1"; $b sync; $b poweroff -f; }
trap 'fail "the start failed"' EXIT
$b mkdir -p /proc /sys /dev /host /memory /modules /new
echo 'guest: started'
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
for m in $($b cat /modules.order); do $b insmod "/$m"; done
$b mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=524288 host /host
$b mount -t tmpfs -o size=75% memory /memory
$b mkdir -p /memory/upper /memory/work
$b mount -t overlay -o lowerdir=/host,upperdir=/memory/upper,workdir=/memory/work root /new
$b mount -t proc proc /new/proc
$b mount -t sysfs sys /new/sys
$b mount -t devtmpfs dev /new/dev
$b mkdir -p /new/dev/pts /new/dev/shm /new/dev/mqueue /new/lib/modules /new/guest
$b mount -t devpts -o mode=620,ptmxmode=666 pts /new/dev/pts
$b mount -t tmpfs shm /new/dev/shm
$b mount -t mqueue mqueue /new/dev/mqueue
$b mount -t cgroup2 cgroup2 /new/sys/fs/cgroup
$b mount -t tmpfs run /new/run
$b mount -t tmpfs -o size=75% lib /new/var/lib
$b mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=524288 modules /new/lib/modules
$b mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288 guest /new/guest
# The kernel asks for modules by this name.
$b cp /bin/busybox /new/sbin/modprobe
trap - EXIT
exec $b switch_root /new /bin/sh /guest/inside.sh
