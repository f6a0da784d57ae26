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

    /// <summary>
    /// The script; with <paramref name="lspci"/> for a guest that has Debian's pciutils, with <paramref name="second"/> for one with two disks, with
    /// <paramref name="timed"/> it times small reads, as many as it reads from its console, until 0.
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
        {{(timed ? $"while read -r number; do [ $number != 0 ] || break; step direct direct {Serial} $number; done" : "")}}
        step errors errors {{Serial}}
        """);
}
