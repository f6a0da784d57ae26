namespace Penstock.Cli.Demo;

/// <summary>
/// What the guest does in the IDIO-16 demonstration. At some points it waits for a line, so that both sides can look at the card at the
/// same moment.
/// </summary>
internal static class Idio16GuestScript
{
    /// <summary>Outputs that the guest sets, as the card shows them.</summary>
    public const ushort Outputs = 0x8a05;

    /// <summary>Inputs that are set from outside, as the guest must read them.</summary>
    public const ushort Inputs = 0x13c7;

    /// <summary>The input whose changes the guest counts; the guest calls it line 16 + 3.</summary>
    public const int WatchedInput = 3;

    /// <summary>How many changes it waits for.</summary>
    public const int Changes = 40;

    /// <summary>The script; with <paramref name="lspci"/> for a guest that has Debian's pciutils.</summary>
    public static string Text(bool lspci) => $$"""
        {{GuestScript.Find("494f", "0dc8")}}
        modprobe gpio-pci-idio-16 || fail "the driver does not load"
        dmesg | sed 's/^\[[^]]*\] *//' | grep -i -e "$slot" -e idio | while read line; do echo "demo: quote kernel: $line"; done
        echo "demo: quote sysfs: $slot driver $(basename $(readlink $device/driver)) irq $(cat $device/irq)"
        [ "$(basename $(readlink $device/driver))" = pci-idio-16 ] || fail "the driver is not bound"
        echo "demo: bound"
        {{(lspci ? GuestScript.Lspci("pci-idio-16") : "")}}
        chip=
        for c in $device/gpiochip*; do chip=/dev/$(basename $c); done
        gpio-lines info $chip | while read line; do echo "demo: quote gpio: $line"; done

        gpio-lines set $chip {{Settings()}} || fail "outputs cannot be set"
        echo "demo: outputs"
        read answer
        got=$(gpio-lines get $chip {{InputLines()}} | tr '\n' ' ')
        want="{{InputLevels()}} "
        [ "$got" = "$want" ] || fail "inputs read $got, not $want"
        echo "demo: inputs"
        read answer
        gpio-lines watch $chip {{16 * Changes + 1}} 600000 {{InputLines()}} > /tmp/events &
        watch=$!
        until grep -q ready /tmp/events; do sleep 0.1; done
        echo "demo: watching"
        n=0
        while [ $n -lt {{Changes}} ]; do
          n=$((n + 1))
          until [ $(grep -c "^line {{16 + WatchedInput}} " /tmp/events) = $n ]; do :; done
          echo "demo: change $n"
        done
        until [ $(grep -c 'ing$' /tmp/events) -ge {{16 * Changes}} ]; do sleep 0.1; done
        cat /proc/interrupts > /tmp/interrupts
        kill $watch
        echo "demo: quote gpio: $(grep -c 'ing$' /tmp/events) events, 16 lines for each change"
        # The count of the line, not that of the pin: QEMU may interrupt in vain when its main loop comes late.
        line=$(awk -v slot=$slot '$3 == slot && $4 == {{16 + WatchedInput}}' /tmp/interrupts | tr -s ' ')
        echo "demo: quote interrupts:$line"
        count=$(echo $line | cut -d' ' -f2)
        [ "$count" = {{Changes}} ] || fail "{{Changes}} changes, but the kernel counted $count interrupts"
        echo "demo: watched $count"
        """;

    private static string Settings() => string.Join(' ', Enumerable.Range(0, 16).Select(i => $"{i}={Outputs >> i & 1}"));

    private static string InputLines() => string.Join(' ', Enumerable.Range(16, 16));

    private static string InputLevels() => string.Join(' ', Enumerable.Range(0, 16).Select(i => Inputs >> i & 1));
}
