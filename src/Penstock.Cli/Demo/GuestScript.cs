namespace Penstock.Cli.Demo;

/// <summary>Parts of the shell scripts that guests of demonstrations run.</summary>
internal static class GuestScript
{
    /// <summary>
    /// Sets <c>device</c> and <c>slot</c>, and makes <c>fail TEXT</c>. The kernel's own messages, which would come in the middle of lines, stay in its log until then.
    /// </summary>
    public static string Find(string vendor, string device) => $$"""
        dmesg -n 1
        fail() { echo "demo: fail $*"; dmesg | tail -n 12; exit 1; }
        device=
        for d in /sys/bus/pci/devices/*; do
          [ "$(cat $d/vendor)$(cat $d/device)" = 0x{{vendor}}0x{{device}} ] && device=$d
        done
        [ -n "$device" ] || fail "the guest has no device {{vendor}}:{{device}}"
        slot=$(basename $device)
        """;

    /// <summary>Shows the device with lspci, which must report its driver.</summary>
    public static string Lspci(string driver) => $$"""
        lspci -nn -k -s "$slot" > /tmp/lspci || fail "lspci does not run"
        while read -r line; do echo "demo: quote lspci: $line"; done < /tmp/lspci
        grep -q "Kernel driver in use: {{driver}}" /tmp/lspci || fail "lspci does not report the driver"
        echo "demo: lspci"
        """;
}
