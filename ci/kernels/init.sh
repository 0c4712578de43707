#!/bin/busybox sh
# The first process of a machine that ci/kernels.sh boots. It runs the tests of /tests, prints each result on the console in
# a line that begins with "@", and switches the machine off.
/bin/busybox --install -s /bin
export PATH=/bin HOME=/
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
ln -s /proc/self/fd /dev/fd
mkdir -p /dev/shm
mount -t tmpfs shm /dev/shm
ifconfig lo up
ulimit -n 65536
ulimit -c 0
. /settings # JOBS, SECONDS_MOST, PATIENCE_LEAST

echo "@ kernel $(uname -r) $(uname -m)"

# How many times slower this machine is than an ordinary one, under the load that the
# tests expect, which does this piece of work in 2 s.
read -r began _ </proc/uptime
count=0
while [ $count -lt 100000 ]; do
    [ $((count % 2000)) != 0 ] || /bin/busybox true
    count=$((count + 1))
done
read -r ended _ </proc/uptime
IOURINGNET_TEST_PATIENCE=$(echo "$began $ended" | awk '{ print int(($2 - $1) / 2) + 1 }')
[ "$IOURINGNET_TEST_PATIENCE" -ge "$PATIENCE_LEAST" ] || IOURINGNET_TEST_PATIENCE=$PATIENCE_LEAST
export IOURINGNET_TEST_PATIENCE
echo "@ patience $IOURINGNET_TEST_PATIENCE"

sh /suite.sh /tests "$JOBS" "$SECONDS_MOST"
dmesg | grep -A 12 -E 'BUG|WARNING|Oops|hung task|rcu.*stall|Out of memory|segfault' | head -n 60 | sed 's/^/@ kernel-log /'
echo "@ end"
poweroff -f
