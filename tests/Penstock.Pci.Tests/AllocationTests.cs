using Penstock.Interop;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;

namespace Penstock.Pci.Tests;

public sealed class AllocationTests
{
    private const int Rounds = 2_000;

    [Fact]
    public void HotPaths_AfterWarmUp_AllocateNothing()
    {
        using TestDevice device = TestDevice.Full();
        device.Command = PciCommand.Memory | PciCommand.BusMaster;
        EventDescriptor[] events = Events.Make(4);
        device.Bind(VfioIrqs.Msix, 0, events);
        byte[] word = new byte[8];
        byte[] config = new byte[256];

        Assert.Equal(0, Allocated(() => device.Read(VfioRegions.Config, 0, config, out _)));
        Assert.Equal(0, Allocated(() => device.Write(VfioRegions.Config, PciConfigOffsets.InterruptLine, word.AsSpan(0, 1), out _)));
        Assert.Equal(0, Allocated(() => device.Read(0, 8, word, out _)));
        Assert.Equal(0, Allocated(() => device.Write(0, 8, word, out _)));
        Assert.Equal(0, Allocated(() => device.Read(0, 0x3000, word, out _)));
        ulong signals = 0;
        Assert.Equal(0, Allocated(() =>
        {
            signals++;
            device.Hardware.Port.SignalVector(1);
        }));
        Assert.Equal(signals, events[1].Count());

        device.Close();
        device.Open();
        device.Bind(VfioIrqs.Intx, 0, events[0]);
        signals = 0;
        Assert.Equal(0, Allocated(() =>
        {
            signals++;
            device.Hardware.Port.SetIntx(true);
            device.Hardware.Port.SetIntx(false);
            device.Irq(VfioIrqs.Intx, VfioIrqSetFlags.ActionUnmask);
        }));
        Assert.Equal(signals, events[0].Count());
        device.Close();
        Array.ForEach(events, static e => e.Dispose());
    }

    [Fact]
    public void RegisterFile_Access_AllocatesNothing()
    {
        ulong seen = 0;
        var file = new RegisterFile("bar 0", 64,
        [
            new Register("A", 0, 4) { OnRead = static v => v + 1, OnWrite = (_, after, _) => seen = after },
            new Register("B", 4, 4),
            new Register("C", 8, 8),
        ]);
        byte[] word = new byte[8];
        Assert.Equal(0, Allocated(() => file.Read(0, word)));
        Assert.Equal(0, Allocated(() => file.Write(0, word)));
        Assert.Equal(0, Allocated(() => file.Read(32, word)));
        Assert.Equal(file[0], seen);
    }

    private static long Allocated(Action action) => AllocatedBytes.In(Rounds, _ => action());
}
