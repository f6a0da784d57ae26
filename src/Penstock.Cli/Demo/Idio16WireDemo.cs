using System.Buffers.Binary;
using System.Diagnostics;
using Penstock.Devices;
using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;
using Penstock.VfioUser;

namespace Penstock.Cli.Demo;

/// <summary>The IDIO-16 card without a VM: served on a real socket, driven from the other end of the wire.</summary>
internal sealed class Idio16WireDemo(DemoReport report)
{
    private const uint Ports = VfioRegions.Bar0 + 2;
    private const ushort IoEnable = 1;
    private const int Changes = 200;
    private const int Accesses = 20_000;

    private static readonly TimeSpan InterruptTime = TimeSpan.FromSeconds(2);

    public Task<int> RunAsync(CancellationToken cancellation) => report.RunAsync(() => Task.Run(() => Run(cancellation), cancellation));

    private void Run(CancellationToken cancellation)
    {
        report.Title("Penstock demo: the ACCES PCI-IDIO-16 digital I/O card, every register in C#, without a VM.");
        using var folder = new TemporaryFolder();
        var card = new Idio16Function();
        SessionEnd? ending = null;
        using var ended = new ManualResetEventSlim();
        var options = new VfioUserServerOptions
        {
            ClientEnded = end =>
            {
                ending = end;
                ended.Set();
            },
        };
        using var server = PciFunctionServer.Serve(card, folder.File("idio16.sock"), options);
        long before = OfClients(server.Host.Ledger);
        report.Done("serve", $"vfio-user on {server.Path}");

        using (var user = VfioUserClient.Connect(server.Path))
        {
            report.Done("connect", $"protocol {user.Version}, up to {user.ServerLimits.MaximumTransfer >> 10} KiB and {user.ServerLimits.MaximumDescriptors} descriptors a message");
            Identify(user);
            Outputs(user, card);
            Inputs(user, card);
            Interrupts(user, card, cancellation);
            Memory(user);
            Timing(user, cancellation);
            user.Write(Ports, 0, [0xff]);
            user.Reset();
            DemoReport.Verify(card.Outputs == 0, $"outputs after a reset are 0x{card.Outputs:x4}, not 0");
            report.Done("reset", "all outputs low again");
        }

        DemoReport.Verify(ended.Wait(InterruptTime, cancellation), "the server did not notice that its client has gone");
        DemoReport.Verify(OfClients(server.Host.Ledger) == before, $"still owned after the client has gone: {server.Host.Ledger}");
        report.Done("leave", $"{ending!.Value.Reason}; descriptors, maps and interrupts are all given back");
    }

    private void Identify(VfioUserClient user)
    {
        VfioDeviceInfo info = user.GetInfo();
        Span<byte> header = stackalloc byte[64];
        user.Read(VfioRegions.Config, 0, header);
        ushort vendor = BinaryPrimitives.ReadUInt16LittleEndian(header);
        ushort device = BinaryPrimitives.ReadUInt16LittleEndian(header[2..]);
        VfioRegionInfo ports = user.GetRegionInfo(Ports);
        VfioIrqInfo pin = user.GetIrqInfo(VfioIrqs.Intx);
        DemoReport.Verify((vendor, device) == (0x494f, 0x0dc8), $"the ids read {vendor:x4}:{device:x4}");
        DemoReport.Verify(pin.Count == 1, "the card has no interrupt pin");
        report.Done("identify", $"{vendor:x4}:{device:x4}, {info.RegionCount} regions, BAR2 with {ports.Size} I/O ports, {pin.Count} interrupt pin");

        Span<byte> command = stackalloc byte[2];
        BinaryPrimitives.WriteUInt16LittleEndian(command, IoEnable);
        user.Write(VfioRegions.Config, 4, command);
    }

    private void Outputs(VfioUserClient user, Idio16Function card)
    {
        int patterns = 0;
        foreach (ushort pattern in WalkingOnes())
        {
            user.Write(Ports, 0, [(byte)pattern]);
            user.Write(Ports, 4, [(byte)(pattern >> 8)]);
            DemoReport.Verify(card.Outputs == pattern, $"wrote 0x{pattern:x4}, the card drives 0x{card.Outputs:x4}");
            patterns++;
        }

        report.Done("outputs", $"{patterns} patterns written through ports 0 and 4, all 16 lines follow");
    }

    private void Inputs(VfioUserClient user, Idio16Function card)
    {
        int patterns = 0;
        Span<byte> low = stackalloc byte[1];
        Span<byte> high = stackalloc byte[1];
        foreach (ushort pattern in WalkingOnes())
        {
            for (int line = 0; line < Idio16Function.InputCount; line++)
            {
                card.SetInput(line, (pattern >> line & 1) != 0);
            }

            user.Read(Ports, 1, low);
            user.Read(Ports, 5, high);
            int read = low[0] | (high[0] << 8);
            DemoReport.Verify(read == pattern, $"set 0x{pattern:x4} from outside, ports 1 and 5 read 0x{read:x4}");
            patterns++;
        }

        report.Done("inputs", $"{patterns} patterns set from outside, read back through ports 1 and 5");
    }

    private void Interrupts(VfioUserClient user, Idio16Function card, CancellationToken cancellation)
    {
        using var pin = EventDescriptor.Create();
        user.SetIrqs(VfioIrqs.Intx, VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger, 0, 1, pin);
        Span<byte> port = stackalloc byte[1];
        user.Read(Ports, 2, port);
        long raisedBefore = card.InterruptsRaised;
        ulong signals = 0;
        var times = new double[Changes];
        for (int i = 0; i < Changes; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            long start = Stopwatch.GetTimestamp();
            card.SetInput(3, i % 2 == 0);
            Poll.Wait(pin.Descriptor.Value, PollEvents.In, InterruptTime);
            times[i] = Stopwatch.GetElapsedTime(start).TotalMicroseconds;
            DemoReport.Verify(pin.TryDrain(out ulong count), $"change {i} of input 3 brought no interrupt");
            signals += count;
            user.Write(Ports, 1, [0]);
            user.SetIrqs(VfioIrqs.Intx, VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionUnmask, 0, 1);
        }

        long raised = card.InterruptsRaised - raisedBefore;
        DemoReport.Verify(signals == Changes && raised == Changes, $"{Changes} changes, {raised} interrupts raised, {signals} eventfd signals");
        Array.Sort(times);
        user.Write(Ports, 2, [0]);
        user.SetIrqs(VfioIrqs.Intx, VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger, 0, 0);
        report.Done("interrupts", $"{Changes} changes of input 3, {raised} interrupts, {signals} eventfd signals, median {Micro(times[Changes / 2])} to the eventfd");
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
        report.Done("memory", "1 MiB of memory mapped, an overlapping map refused, unmapped");
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
        report.Done("timing", $"{2 * Accesses} port accesses, median {Micro(reads[Accesses / 2])} for a read, {Micro(writes[Accesses / 2])} for a write");
    }

    private static long OfClients(ResourceLedger ledger) =>
        ledger.Outstanding(ResourceKind.Descriptor) + ledger.Outstanding(ResourceKind.Mapping) + ledger.Outstanding(ResourceKind.Pin);

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

    private static string Micro(double microseconds) => FormattableString.Invariant($"{microseconds:F1} µs");
}
