using System.Globalization;
using Penstock.Devices;

namespace Penstock.Guests.Tests;

/// <summary>The card as the guest's Linux sees it: its driver, its GPIO character device, its interrupt line.</summary>
internal sealed class LinuxCard
{
    private const int FirstInput = 16;

    private readonly GuestShell _shell;
    private readonly string _number;

    private LinuxCard(GuestShell shell, string number)
    {
        _shell = shell;
        _number = number;
    }

    private static string AllInputs { get; } = string.Join(' ', Enumerable.Range(FirstInput, Idio16Function.InputCount));

    /// <summary>Looks for the card on the guest's PCI bus; shell variables <c>device</c>, <c>slot</c> and <c>port</c> tell where. Needed after each boot.</summary>
    public static async Task<LinuxCard> FindAsync(GuestShell shell)
    {
        await shell.RunAsync("for d in /sys/bus/pci/devices/*; do [ $(cat $d/vendor)$(cat $d/device) = 0x494f0x0dc8 ] && device=$d; done; [ -n \"$device\" ]");
        await shell.RunAsync("slot=$(basename $device); driver=/sys/bus/pci/drivers/pci-idio-16; port=$(awk 'NR == 3 { print $1 }' $device/resource)");
        return new LinuxCard(shell, "");
    }

    /// <summary>
    /// One of several cards, whose driver is loaded, by its place on the bus. What its shell variables stand for is fetched before each of its
    /// commands, so that commands for several cards may alternate.
    /// </summary>
    public static async Task<LinuxCard> FindAsync(GuestShell shell, int place)
    {
        string number = place.ToString(CultureInfo.InvariantCulture);
        await shell.RunAsync(
            "n=0; device=; for d in /sys/bus/pci/devices/*; do if [ $(cat $d/vendor)$(cat $d/device) = 0x494f0x0dc8 ]; then " +
            $"[ $n = {number} ] && device=$d; n=$((n + 1)); fi; done; [ -n \"$device\" ]");
        await shell.RunAsync($"device{number}=$device; slot{number}=$(basename $device); port{number}=$(awk 'NR == 3 {{ print $1 }}' $device/resource)");
        var card = new LinuxCard(shell, number);
        await card.TakeChipAsync();
        return card;
    }

    /// <summary>Finds the card and loads its driver.</summary>
    public static async Task<LinuxCard> LoadAsync(GuestShell shell)
    {
        LinuxCard card = await FindAsync(shell);
        await card.LoadDriverAsync();
        return card;
    }

    public async Task LoadDriverAsync()
    {
        await RunAsync("modprobe gpio-pci-idio-16");
        await TakeChipAsync();
    }

    public async Task UnloadDriverAsync()
    {
        await RunAsync("modprobe -r gpio-pci-idio-16 && [ ! -e $device/driver ] && ! grep -q idio /proc/modules");
    }

    /// <summary>Takes the driver away. No line may be watched: Linux falls over what it frees twice then (docs/devices/idio16.md).</summary>
    public Task UnbindAsync() => RunAsync("echo $slot > $driver/unbind && [ ! -e $device/driver ] && [ ! -e $chip ]");

    public async Task BindAsync()
    {
        await RunAsync("echo $slot > $driver/bind");
        await TakeChipAsync();
    }

    public Task SetOutputsAsync(ushort levels) =>
        RunAsync($"gpio-lines set $chip {string.Join(' ', Enumerable.Range(0, Idio16Function.OutputCount).Select(i => $"{i}={levels >> i & 1}"))}");

    /// <summary>The outputs as the guest reads them back from the card's ports; the driver itself keeps them in memory and does not.</summary>
    public async Task<ushort> GetOutputsAsync()
    {
        IReadOnlyList<string> bytes = await RunAsync(
            "for i in 0 4; do dd if=/dev/port bs=1 skip=$((port + i)) count=1 2> /dev/null | od -An -tu1; done");
        Assert.Equal(2, bytes.Count);
        return (ushort)(int.Parse(bytes[0].Trim(), CultureInfo.InvariantCulture) | int.Parse(bytes[1].Trim(), CultureInfo.InvariantCulture) << 8);
    }

    public async Task<ushort> GetInputsAsync()
    {
        IReadOnlyList<string> levels = await RunAsync($"gpio-lines get $chip {AllInputs}");
        Assert.Equal(Idio16Function.InputCount, levels.Count);
        return (ushort)Enumerable.Range(0, levels.Count).Sum(i => levels[i] == "1" ? 1 << i : 0);
    }

    /// <summary>How many interrupts the kernel has counted on the card's pin, in vain or not.</summary>
    public Task<long> CountPinInterruptsAsync() => AskNumberAsync("awk -v slot=$slot '$NF == slot { print $2 }' /proc/interrupts");

    /// <summary>How many the kernel has counted for each of the sixteen inputs that are watched.</summary>
    public async Task<long[]> CountInputInterruptsAsync() =>
        [.. (await RunAsync("awk -v slot=$slot '$3 == slot && $NF == \"gpio-lines\" { print $2 }' /proc/interrupts"))
            .Select(count => long.Parse(count, CultureInfo.InvariantCulture))];

    /// <summary>
    /// Starts to collect edges. All sixteen inputs are asked for, because the driver calls the handlers of all at each change and Linux
    /// falls over one that is not there (docs/devices/idio16.md).
    /// </summary>
    public async Task StartWatchAsync()
    {
        await RunAsync($"gpio-lines watch $chip 1000000 600000 {AllInputs} > /tmp/events{_number} 2>&1 & watch=$!; watch{_number}=$watch");
        await RunAsync($"until grep -q ready /tmp/events{_number}; do kill -0 $watch || break; done; grep ready /tmp/events{_number}");
    }

    public Task WaitForEventsAsync(int count) =>
        RunAsync($"until [ $(grep -c 'ing$' /tmp/events{_number}) -ge {count.ToString(CultureInfo.InvariantCulture)} ]; do :; done");

    /// <summary>Switches the card's interrupts on past its driver, which does so only while lines are watched.</summary>
    public Task SwitchInterruptsOnAsync() => RunAsync("dd if=/dev/port bs=1 skip=$((port + 2)) count=1 of=/dev/null");

    /// <summary>Ends the collecting; the card's interrupts are off then.</summary>
    public async Task<IReadOnlyList<(int Input, bool Level)>> StopWatchAsync()
    {
        // It sleeps when it has told all that there was.
        await RunAsync("while grep -q '^State:.R' /proc/$watch/status 2> /dev/null; do :; done; kill $watch; wait $watch; true");
        return [.. (await RunAsync($"cat /tmp/events{_number}"))
            .Where(line => line.StartsWith("line ", StringComparison.Ordinal))
            .Select(line => line.Split(' '))
            .Select(words => (int.Parse(words[1], CultureInfo.InvariantCulture) - FirstInput, words[2] == "rising"))];
    }

    private async Task TakeChipAsync()
    {
        Assert.Equal("pci-idio-16", await AskAsync("basename $(readlink $device/driver)"));
        await RunAsync($"chip=/dev/$(basename $device/gpiochip*); chip{_number}=$chip; [ -c $chip ]");
    }

    private Task<IReadOnlyList<string>> RunAsync(string line) => _shell.RunAsync(Selecting(line));

    private Task<string> AskAsync(string line) => _shell.AskAsync(Selecting(line));

    private Task<long> AskNumberAsync(string line) => _shell.AskNumberAsync(Selecting(line));

    private string Selecting(string line) => _number.Length == 0
        ? line
        : $"device=$device{_number}; slot=$slot{_number}; port=$port{_number}; chip=$chip{_number}; watch=$watch{_number}; {line}";
}
