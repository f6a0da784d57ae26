using System.Globalization;
using Penstock.Devices;

namespace Penstock.Cli.Demo;

/// <summary>What the guest does in the NVMe demonstration: after each step it says the step's word and what the step gave.</summary>
internal static class NvmeGuestScript
{
    public const string Serial = "PENSTOCK-DEMO";
    public const string SecondSerial = "PENSTOCK-SECOND";
    public const int Mebibytes = 64;
    public const int SecondMebibytes = 16;
    public const int Resets = 3;

    /// <summary>Small reads, as many and as many at once as a line of the console says, until 0.</summary>
    private const string Reads = $"""
        set -- $(nvme-disk wait {Serial})
        while read -r number depth; do
          [ $number != 0 ] || break
          said=$(direct-reads /dev/$1 $number $depth interrupts 2> /tmp/wrong) || fail "direct: $(head -n 1 /tmp/wrong)"
          echo "demo: direct $(echo $said | cut -d' ' -f2)"
        done
        """;

    /// <summary>The kernel's VFIO gets the disk; a program maps and unmaps as many pages as a line of the console says, until 0.</summary>
    private const string Maps = $"""
        umount /mnt/{Serial} 2> /dev/null
        echo $2 > /sys/bus/pci/drivers/nvme/unbind
        echo vfio-pci > /sys/bus/pci/devices/$2/driver_override
        echo $2 > /sys/bus/pci/drivers_probe
        while read -r number; do
          [ $number != 0 ] || break
          said=$(vfio-nvme /dev/vfio/$(basename $(readlink /sys/bus/pci/devices/$2/iommu_group)) $2 $number timed 2> /tmp/wrong) || fail "maps: $(head -n 1 /tmp/wrong)"
          echo "demo: maps $(echo "$said" | cut -d' ' -f3 | tr '\n' ' ')"
        done
        """;

    /// <summary>
    /// The script; with <paramref name="lspci"/> for a guest that has Debian's pciutils, with <paramref name="second"/> for one with two disks, with
    /// <paramref name="timed"/> it times small reads, then maps of a program on its own VFIO, as its console says.
    /// </summary>
    public static string Text(NvmeFunction disk, bool lspci, bool second, bool timed) => string.Create(CultureInfo.InvariantCulture, $$"""
        {{GuestScript.Find($"{disk.Description.VendorId:x4}", $"{disk.Description.DeviceId:x4}")}}
        step() {
          word=$1
          shift
          said=$(nvme-disk "$@" 2> /tmp/wrong) || fail "$word: $(head -n 1 /tmp/wrong)"
          echo "demo: $word $said"
        }
        modprobe nvme || fail "the driver does not load"
        said=$(nvme-disk wait {{Serial}} 2> /tmp/wrong) || fail "$(head -n 1 /tmp/wrong)"
        disk=${said% *}
        slot=${said#* }
        dmesg | sed 's/^\[[^]]*\] *//' | grep "^nvme" | while read line; do echo "demo: quote kernel: $line"; done
        echo "demo: quote sysfs: $slot driver $(basename $(readlink /sys/bus/pci/devices/$slot/driver)), $disk with $(($(cat /sys/block/$disk/size) / 2048)) MiB"
        echo "demo: bound"
        {{(lspci ? GuestScript.Lspci("nvme") : "")}}
        step formatted format {{Serial}}
        step filled fill {{Serial}} {{Mebibytes}}
        step loaded load {{Serial}} {{Mebibytes}}
        step counted counts {{Serial}}
        step rebound rebind {{Serial}}
        step verified verify {{Serial}}
        step reset reset {{Serial}} {{Resets}}
        step reloaded reload {{Serial}}
        step verified verify {{Serial}}
        {{(second ? $"step formatted format {SecondSerial}\nstep filled fill {SecondSerial} {SecondMebibytes}\nstep rebound rebind {SecondSerial}\nstep verified verify {SecondSerial}" : "")}}
        step trimmed trim {{Serial}}
        {{(timed ? Reads : "")}}
        step errors errors {{Serial}}
        {{(timed ? Maps : "")}}
        """);
}
