#!/bin/busybox sh
# nvme-disk COMMAND SERIAL [NUMBER]: works an NVMe disk of the guest. Data is random; its checksums lie beside it on the disk.
#   wait     until the disk is there; says its name and its place on the bus
#   format   makes a file system on it and mounts that at /mnt/SERIAL
#   fill     NUMBER MiB of files, each with an fsync; says the checksum of their checksums
#   verify   mounts it when it is not, reads every file from the disk; says what fill said
#   rebind   unmounts it, takes the driver from the device and gives it back
#   reload   unmounts all disks, unloads the driver's module and loads it again
#   reset    resets the controller NUMBER times while files are written
#   load     reads NUMBER MiB in several programs at once
#   trim     gives blocks that no file uses back to the disk; says how many bytes
#   counts   says how many I/Os have completed and how many interrupts came for them
#   errors   says how many lines of the kernel's log tell of an error of a disk
set -u
state=/run/nvme-disk
mkdir -p $state
serial=${2:-}
number=${3:-1}
folder=/mnt/$serial

fail() { echo "nvme-disk: $*" >&2; dmesg | tail -5 >&2; exit 1; }

# Sets controller, disk and slot.
find_disk() {
  controller='' disk=''
  for c in /sys/class/nvme/nvme*; do
    [ -e "$c/serial" ] && [ "$(tr -d ' ' < $c/serial)" = "$serial" ] || continue
    controller=$(basename $c)
    slot=$(basename $(readlink -f $c/device))
    for n in $c/nvme*n*; do
      [ -b /dev/$(basename $n) ] && disk=$(basename $n)
    done
  done
  [ -n "$disk" ]
}

wait_disk() {
  tries=0
  until find_disk; do
    tries=$((tries + 1))
    [ $tries -lt 3000 ] || fail "no disk with serial number $serial came"
    sleep 0.1
  done
}

mounted() { grep -q "^/dev/$disk " /proc/mounts; }

mount_disk() {
  mounted && return
  modprobe ext4 && mkdir -p $folder && mount -t ext4 /dev/$disk $folder || fail "/dev/$disk cannot be mounted"
}

unmount_all() {
  grep -o '^/dev/nvme[^ ]*' /proc/mounts | while read -r name; do umount $name || exit 1; done || fail "a disk cannot be unmounted"
}

wait_disk
case $1 in
  wait)
    echo "$disk $slot";;
  format)
    mounted && umount $folder
    mke2fs -F -b 4096 /dev/$disk > /dev/null 2> $state/wrong || fail "$(cat $state/wrong)"
    mount_disk;;
  fill)
    mount_disk
    rm -f $folder/file* $folder/sums
    i=0
    while [ $((i * 8)) -lt $number ]; do
      dd if=/dev/urandom of=$folder/file$i bs=1M count=8 conv=fsync 2> $state/wrong || fail "$(cat $state/wrong)"
      i=$((i + 1))
    done
    (cd $folder && md5sum file* > sums) || fail "files cannot be read"
    sync
    md5sum < $folder/sums | cut -d' ' -f1;;
  verify)
    mount_disk
    echo 3 > /proc/sys/vm/drop_caches
    (cd $folder && md5sum -c sums > $state/wrong 2>&1) || fail "$(grep -v ': OK$' $state/wrong)"
    md5sum < $folder/sums | cut -d' ' -f1;;
  rebind)
    mounted && umount $folder
    echo $slot > /sys/bus/pci/drivers/nvme/unbind || fail "the driver cannot be taken from $slot"
    [ ! -e /sys/bus/pci/devices/$slot/driver ] || fail "$slot keeps its driver"
    echo $slot > /sys/bus/pci/drivers/nvme/bind || fail "the driver cannot be given to $slot"
    wait_disk;;
  reload)
    unmount_all
    modprobe -r nvme && [ ! -e /sys/module/nvme ] || fail "the driver cannot be unloaded"
    modprobe nvme || fail "the driver cannot be loaded"
    wait_disk;;
  reset)
    mount_disk
    touch $state/busy
    for writer in 1 2; do
      while [ -e $state/busy ]; do
        dd if=$folder/file0 of=$folder/busy$writer bs=64k conv=fsync 2> $state/wrong$writer || touch $state/failed
      done &
    done
    i=0
    while [ $i -lt $number ]; do
      i=$((i + 1))
      sleep 0.5
      echo 1 > /sys/class/nvme/$controller/reset_controller || touch $state/failed
      [ "$(cat /sys/class/nvme/$controller/state)" = live ] || touch $state/failed
    done
    rm $state/busy
    wait
    [ ! -e $state/failed ] || fail "a reset or a write beside it failed: $(cat $state/wrong1 $state/wrong2)"
    cmp $folder/file0 $folder/busy1 && cmp $folder/file0 $folder/busy2 || fail "what was written beside resets differs"
    rm $folder/busy1 $folder/busy2;;
  load)
    echo 3 > /proc/sys/vm/drop_caches
    i=0
    while [ $i -lt 4 ]; do
      dd if=/dev/$disk of=/dev/null bs=64k skip=$((i * number * 4)) count=$((number * 4)) 2> /dev/null || touch $state/failed &
      i=$((i + 1))
    done
    wait
    [ ! -e $state/failed ] || fail "a read failed";;
  trim)
    mount_disk
    fstrim -v $folder | sed 's/.*: \([0-9]*\) bytes.*/\1/';;
  counts)
    ios=$(awk '{ print $1 + $5 + $12 + $16 }' /sys/block/$disk/stat)
    interrupts=$(awk -v name="^${controller}q[1-9]" '$NF ~ name { for (i = 2; $i ~ /^[0-9]+$/; i++) sum += $i } END { print sum + 0 }' /proc/interrupts)
    echo "$ios $interrupts";;
  errors)
    dmesg | grep -c -i -e 'I/O error' -e 'nvme.*timeout' -e 'nvme.*failed' -e 'nvme.*abort' -e 'EXT4-fs.*error' || true;;
  *)
    fail "there is no command $1";;
esac
