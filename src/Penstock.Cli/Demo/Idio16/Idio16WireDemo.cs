using System.Diagnostics;
using Penstock.Devices;
using Penstock.Interop;
using Penstock.Pci;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;
using Penstock.VfioUser;

namespace Penstock.Cli.Demo;

/// <summary>The IDIO-16 card without a VM.</summary>
internal sealed class Idio16WireDemo(DemoReport report) : MessageDemo(report)
{
    private const uint Ports = VfioRegions.Bar0 + 2;
    private const int Changes = 200;
    private const int Accesses = 20_000;

    private readonly Idio16Function _card = new();

    protected override string Name => "idio16";

    protected override string Title => "the ACCES PCI-IDIO-16 digital I/O card";

    protected override IPciFunction Device => _card;

    protected override void Drive(VfioUserClient user, CancellationToken cancellation)
    {
        Identify(user, PciCommand.Io, $"BAR2 with {user.GetRegionInfo(Ports).Size} I/O ports");
        Outputs(user);
        Inputs(user);
        Interrupts(user, cancellation);
        Memory(user);
        Timing(user, cancellation);
        user.Write(Ports, 0, [0xff]);
        user.Reset();
        DemoReport.Verify(_card.Outputs == 0, $"outputs after a reset are 0x{_card.Outputs:x4}, not 0");
        Report.Done("reset", "all outputs low again");
    }

    private void Outputs(VfioUserClient user)
    {
        int patterns = 0;
        foreach (ushort pattern in WalkingOnes())
        {
            user.Write(Ports, 0, [(byte)pattern]);
            user.Write(Ports, 4, [(byte)(pattern >> 8)]);
            DemoReport.Verify(_card.Outputs == pattern, $"wrote 0x{pattern:x4}, the card drives 0x{_card.Outputs:x4}");
            patterns++;
        }

        Report.Done("outputs", $"{patterns} patterns written through ports 0 and 4, all 16 lines follow");
    }

    private void Inputs(VfioUserClient user)
    {
        int patterns = 0;
        Span<byte> low = stackalloc byte[1];
        Span<byte> high = stackalloc byte[1];
        foreach (ushort pattern in WalkingOnes())
        {
            for (int line = 0; line < Idio16Function.InputCount; line++)
            {
                _card.SetInput(line, (pattern >> line & 1) != 0);
            }

            user.Read(Ports, 1, low);
            user.Read(Ports, 5, high);
            int read = low[0] | (high[0] << 8);
            DemoReport.Verify(read == pattern, $"set 0x{pattern:x4} from outside, ports 1 and 5 read 0x{read:x4}");
            patterns++;
        }

        Report.Done("inputs", $"{patterns} patterns set from outside, read back through ports 1 and 5");
    }

    private void Interrupts(VfioUserClient user, CancellationToken cancellation)
    {
        using var pin = EventDescriptor.Create();
        user.SetIrqs(VfioIrqs.Intx, VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger, 0, 1, pin);
        Span<byte> port = stackalloc byte[1];
        user.Read(Ports, 2, port);
        long raisedBefore = _card.InterruptsRaised;
        ulong signals = 0;
        var times = new double[Changes];
        for (int i = 0; i < Changes; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            long start = Stopwatch.GetTimestamp();
            _card.SetInput(3, i % 2 == 0);
            signals += WaitFor(pin, "a change of input 3");
            times[i] = Stopwatch.GetElapsedTime(start).TotalMicroseconds;
            user.Write(Ports, 1, [0]);
            user.SetIrqs(VfioIrqs.Intx, VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionUnmask, 0, 1);
        }

        long raised = _card.InterruptsRaised - raisedBefore;
        DemoReport.Verify(signals == Changes && raised == Changes, $"{Changes} changes, {raised} interrupts raised, {signals} eventfd signals");
        Array.Sort(times);
        user.Write(Ports, 2, [0]);
        user.SetIrqs(VfioIrqs.Intx, VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger, 0, 0);
        Report.Done("interrupts", $"{Changes} changes of input 3, {raised} interrupts, {signals} eventfd signals, median {Micro(times[Changes / 2])} to the eventfd");
    }

    private void Memory(VfioUserClient user)
    {
        const ulong Size = 1 << 20;
        using var memory = MemoryFile.Create("penstock-demo", Size);
        user.MapDma(0, Size, DmaAccess.ReadWrite, memory);
        bool refused = false;
        try
        {
            user.MapDma(Size / 2, Size, DmaAccess.ReadWrite, memory);
        }
        catch (VfioException e)
        {
            refused = e.Errno is Errno.EEXIST;
        }

        DemoReport.Verify(refused, "a second map over the first one was not refused with EEXIST");
        user.UnmapDma(0, Size);
        Report.Done("memory", "1 MiB of memory mapped, an overlapping map refused, unmapped");
    }

    private void Timing(VfioUserClient user, CancellationToken cancellation)
    {
        Span<byte> port = stackalloc byte[1];
        var reads = new double[Accesses];
        var writes = new double[Accesses];
        for (int i = 0; i < Accesses; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            long start = Stopwatch.GetTimestamp();
            user.Read(Ports, 0, port);
            reads[i] = Stopwatch.GetElapsedTime(start).TotalMicroseconds;
        }

        for (int i = 0; i < Accesses; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            long start = Stopwatch.GetTimestamp();
            user.Write(Ports, 0, port);
            writes[i] = Stopwatch.GetElapsedTime(start).TotalMicroseconds;
        }

        Array.Sort(reads);
        Array.Sort(writes);
        Report.Done("timing", $"{2 * Accesses} port accesses, median {Micro(reads[Accesses / 2])} for a read, {Micro(writes[Accesses / 2])} for a write");
    }

    private static IEnumerable<ushort> WalkingOnes()
    {
        for (int line = 0; line < 16; line++)
        {
            yield return (ushort)(1 << line);
        }

        yield return 0xffff;
        yield return 0xa55a;
        yield return 0;
    }
}
