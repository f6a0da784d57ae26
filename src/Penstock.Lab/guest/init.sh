#!/bin/busybox sh
# The first process of a lab guest: makes a usual Linux around the lab's script, runs it, reports its exit status.
/bin/busybox mkdir -p /proc /sys /dev /run /tmp /bin /sbin /usr/bin /usr/sbin
/bin/busybox --install -s /bin
PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/ TERM=dumb
export PATH HOME TERM
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm
mount -t devpts none /dev/pts 2>/dev/null
mount -t tmpfs none /dev/shm 2>/dev/null
mount -t debugfs none /sys/kernel/debug 2>/dev/null
mount -t tracefs none /sys/kernel/tracing 2>/dev/null
# The kernel loads modules by itself too, such as a file system's checksum; it looks for the program elsewhere.
echo /bin/modprobe > /proc/sys/kernel/modprobe
ip link set lo up 2>/dev/null
# A host that steers the script would otherwise read its own lines back.
stty -echo 2>/dev/null

if [ -e /lab/packages ]; then
  # In Debian /bin, /sbin and /usr/bin are joined, and scripts begin with #!/bin/bash. busybox keeps the names that it has.
  set --
  for program in /usr/bin/* /usr/sbin/*; do
    [ -e "$program" ] && [ ! -e "/bin/${program##*/}" ] && set -- "$@" "$program"
  done
  [ $# = 0 ] || ln -s "$@" /bin/
fi

say() { printf '\npenstock-lab: %s\n' "$*"; }
ending() {
  if [ -s /run/penstock-ending ]; then cat /run/penstock-ending; return; fi
  for word in $(cat /proc/cmdline); do
    case $word in penstock.ending=*) echo "${word#*=}";; esac
  done
}

say "boot $(uname -m) $(uname -r) at $(cut -d' ' -f1 /proc/uptime)"
status=0
for module in $(cat /lab/modules 2>/dev/null); do
  modprobe "$module" || { say "module $module cannot be loaded"; status=125; }
done
if [ "$status" = 0 ] && [ -e /lab/script ]; then
  cd /
  # The programs that were given to the guest go before busybox's, but the shell stays.
  PATH=/usr/sbin:/usr/bin:/sbin:/bin /bin/sh /lab/script
  status=$?
fi
# Kernel messages must not land in the middle of the verdict.
dmesg -n 1
sync
say "exit $status"
# Setting a terminal's mode waits until everything has been sent; the end of the machine does not.
stty -echo 2>/dev/null
case $(ending) in
  reboot) reboot -f;;
  stay) while :; do sleep 3600; done;;
  shell) setsid cttyhack sh; poweroff -f;;
  *) poweroff -f;;
esac
