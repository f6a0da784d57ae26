using System.Globalization;
using Penstock.Devices;
using Penstock.Lab;

namespace Penstock.Guests.Tests;

/// <summary>The tool from end to end: <c>penstock serve idio16</c>, its QEMU arguments as printed, its console.</summary>
[Trait("Category", "VM")]
[Collection(GuestCollection.Name)]
public sealed class ServeCommandTests(GuestLab lab)
{
    private const int Changes = 10;

    [Fact]
    public async Task Serve_QemuArgumentsAsPrinted_GuestAndConsoleAgree()
    {
        using var folder = new TemporaryFolder();
        await using ServedCommand serve = ServedCommand.Start("idio16", "--once", "--socket", folder.File("it's a card.sock"));
        string printed = await serve.WaitForAsync(line => line.Contains("-device", StringComparison.Ordinal), "the arguments for QEMU");

        // The printed arguments go to QEMU word for word, as a shell takes them; only the machine's memory is theirs, not the lab's.
        var configuration = new GuestConfiguration { SharedMemory = false, ExtraArguments = [.. await GuestShell.WordsAsync(printed), .. DeviceBench.PatientQemu] };
        await using GuestShell shell = await GuestShell.StartAsync(lab.Lab, configuration);
        LinuxCard linux = await LinuxCard.LoadAsync(shell);

        await serve.SayAsync("set 3 1");
        await serve.WaitForAsync("in 3 1");
        Assert.Equal(1 << 3, await linux.GetInputsAsync());

        await linux.SetOutputsAsync(0x8020);
        await serve.WaitForAsync("out 5 1");
        await serve.WaitForAsync("out 15 1");
        await serve.SayAsync("get");
        await serve.WaitForAsync("outputs 0x8020");
        await serve.WaitForAsync("inputs  0x0008");
        await serve.WaitForAsync("interrupts 0");

        await linux.StartWatchAsync();
        for (int i = 1; i <= Changes; i++)
        {
            await serve.SayAsync(string.Create(CultureInfo.InvariantCulture, $"set 12 {i % 2}"));
            await linux.WaitForEventsAsync(i * Idio16Function.InputCount);
        }

        Assert.Equal(Enumerable.Repeat((long)Changes, Idio16Function.InputCount), await linux.CountInputInterruptsAsync());
        await serve.SayAsync("get");
        await serve.WaitForAsync(string.Create(CultureInfo.InvariantCulture, $"interrupts {Changes}"));
        await shell.PowerOffAsync();
        Assert.Equal(0, await serve.WaitForExitAsync());
    }
}
