using System.Buffers.Binary;
using System.Diagnostics;
using Penstock.Devices;
using Penstock.Interop;
using Penstock.Pci;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;
using Penstock.VfioUser;

namespace Penstock.Cli.Demo;

/// <summary>The EDU device without a VM.</summary>
internal sealed class EduWireDemo(DemoReport report) : MessageDemo(report)
{
    private const uint Bar = VfioRegions.Bar0;
    private const uint Number = 12;
    private const uint Expected = 479_001_600;
    private const int Interrupts = 200;
    private const int Pages = 1000;
    private const int PageSize = EduDriver.BufferSize;
    private const ulong MemorySize = 1 << 20;
    private const ulong Iova = 0x10_0000;
    private const ulong ReadOnlyIova = 0x80_0000;

    private readonly EduFunction _edu = new();

    protected override string Name => "edu";

    protected override string Title => "QEMU's teaching device EDU";

    protected override IPciFunction Device => _edu;

    protected override void Drive(VfioUserClient user, CancellationToken cancellation)
    {
        var driver = new EduDriver(user);
        Identify(user, PciCommand.Memory | PciCommand.BusMaster, $"BAR0 with {user.GetRegionInfo(Bar).Size >> 20} MiB");
        Registers(driver);
        Factorial(user, driver);
        Pin(user, driver, cancellation);
        Transfers(user, driver, cancellation);
        Refusals(user, driver);
        new EduMigration(Report).Show(user, cancellation);
        user.Reset();
        DemoReport.Verify(driver.Read32(EduDriver.Factorial) == 0 && driver.ReadBuffer().All(b => b == 0), "a reset leaves something behind");
        Report.Done("reset", "registers and buffer are empty again");
    }

    private void Registers(EduDriver driver)
    {
        uint identification = driver.Read32(EduDriver.Identification);
        DemoReport.Verify(identification == 0x010000ed, $"the identification reads 0x{identification:x8}");
        const uint Alive = 0x1234_5678;
        driver.Write32(EduDriver.Liveness, Alive);
        uint answer = driver.Read32(EduDriver.Liveness);
        DemoReport.Verify(answer == ~Alive, $"wrote 0x{Alive:x8} to the liveness register, it reads 0x{answer:x8}");
        Report.Done("registers", $"identification 0x{identification:x8}, version 1.0; 0x{Alive:x8} comes back as 0x{answer:x8}");
    }

    private void Factorial(VfioUserClient user, EduDriver driver)
    {
        using var message = EventDescriptor.Create();
        user.SetIrqs(VfioIrqs.Msi, VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger, 0, 1, message);
        driver.Write32(EduDriver.Status, EduDriver.InterruptWhenComputed);
        driver.Write32(EduDriver.Factorial, Number);
        WaitFor(message, "the factorial");
        uint result = driver.Read32(EduDriver.Factorial);
        uint cause = driver.TakeCause();
        DemoReport.Verify((result, cause) == (Expected, EduDriver.CauseFactorial), $"{Number}! is {result}, cause 0x{cause:x}");
        driver.Write32(EduDriver.Status, 0);
        user.SetIrqs(VfioIrqs.Msi, VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger, 0, 0);
        Report.Done("factorial", $"{Number}! = {result}, computed in the background, one MSI when it was done");
    }

    private void Pin(VfioUserClient user, EduDriver driver, CancellationToken cancellation)
    {
        using var pin = EventDescriptor.Create();
        user.SetIrqs(VfioIrqs.Intx, VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger, 0, 1, pin);
        ulong signals = 0;
        for (uint cause = 1; cause <= Interrupts; cause++)
        {
            cancellation.ThrowIfCancellationRequested();
            driver.Write32(EduDriver.Raise, cause);
            signals += WaitFor(pin, $"cause {cause}");
            uint told = driver.TakeCause();
            DemoReport.Verify(told == cause, $"raised cause {cause}, the device tells {told}");
            user.SetIrqs(VfioIrqs.Intx, VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionUnmask, 0, 1);
        }

        DemoReport.Verify(signals == Interrupts, $"{Interrupts} interrupts by the pin, {signals} eventfd signals");
        user.SetIrqs(VfioIrqs.Intx, VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger, 0, 0);
        Report.Done("interrupts", $"{Interrupts} raised on the pin, each with its cause, {signals} eventfd signals");
    }

    private void Transfers(VfioUserClient user, EduDriver driver, CancellationToken cancellation)
    {
        using var memory = MemoryFile.Create("penstock-demo", MemorySize);
        using var message = EventDescriptor.Create();
        user.MapDma(Iova, MemorySize, DmaAccess.ReadWrite, memory);
        user.SetIrqs(VfioIrqs.Msi, VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger, 0, 1, message);
        var random = new Random(1);
        byte[] page = new byte[PageSize];
        byte[] copy = new byte[PageSize];
        var times = new double[2 * Pages];
        for (int i = 0; i < Pages; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            ulong from = (ulong)random.Next(128) * PageSize;
            ulong to = (ulong)random.Next(128, 256) * PageSize;
            random.NextBytes(page);
            Verify(DescriptorIO.WriteAt(memory.Descriptor.Value, from, page, out _));
            times[2 * i] = Timed(driver, message, Iova + from, EduDriver.Buffer, 0);
            times[(2 * i) + 1] = Timed(driver, message, EduDriver.Buffer, Iova + to, EduDriver.ToMemory);
            Verify(DescriptorIO.ReadAt(memory.Descriptor.Value, to, copy, out _));
            DemoReport.Verify(page.AsSpan().SequenceEqual(copy), $"page {i} differs after its way through the device");
        }

        DemoReport.Verify(_edu.Transfers == 2 * Pages && _edu.FailedTransfers == 0, $"the device did {_edu.Transfers} transfers, {_edu.FailedTransfers} failed");
        user.SetIrqs(VfioIrqs.Msi, VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger, 0, 0);
        user.UnmapDma(Iova, MemorySize);
        Array.Sort(times);
        Report.Done("dma", $"{Pages} pages of mapped memory through the device's buffer and back, all equal; median {Micro(times[Pages])} from command to interrupt");
    }

    private void Refusals(VfioUserClient user, EduDriver driver)
    {
        using var memory = MemoryFile.Create("penstock-demo", PageSize);
        byte[] page = new byte[PageSize];
        Array.Fill(page, (byte)0x5a);
        Verify(DescriptorIO.WriteAt(memory.Descriptor.Value, 0, page, out _));
        user.MapDma(ReadOnlyIova, PageSize, DmaAccess.Read, memory);
        driver.Transfer(ReadOnlyIova, EduDriver.Buffer, PageSize, 0);
        DemoReport.Verify(driver.ReadBuffer().AsSpan().SequenceEqual(page), "the device cannot read memory that is mapped read-only");

        long failed = _edu.FailedTransfers;
        user.Write(Bar, EduDriver.Buffer, new byte[PageSize]);
        driver.Transfer(EduDriver.Buffer, ReadOnlyIova, PageSize, EduDriver.ToMemory);
        byte[] after = new byte[PageSize];
        Verify(DescriptorIO.ReadAt(memory.Descriptor.Value, 0, after, out _));
        DemoReport.Verify(after.AsSpan().SequenceEqual(page) && _edu.FailedTransfers == failed + 1, "memory that is mapped read-only was written");
        Report.Done("read-only", "memory mapped for reading: read by the device, a write to it refused");

        user.UnmapDma(ReadOnlyIova, PageSize);
        driver.Transfer(ReadOnlyIova, EduDriver.Buffer, PageSize, 0);
        DemoReport.Verify(_edu.FailedTransfers == failed + 2, "memory that is not mapped any more was read");
        Report.Quote(_edu.LastFailure!);
        Report.Done("unmapped", "nothing is reached any more once it is unmapped; the person who serves the device is told");
    }

    private static double Timed(EduDriver driver, EventDescriptor message, ulong source, ulong destination, ulong direction)
    {
        long start = Stopwatch.GetTimestamp();
        driver.Start(source, destination, PageSize, direction | EduDriver.InterruptWhenDone);
        WaitFor(message, "a transfer");
        double time = Stopwatch.GetElapsedTime(start).TotalMicroseconds;
        DemoReport.Verify(driver.TakeCause() == EduDriver.CauseDma, "a transfer has another cause than its own");
        return time;
    }

    private static void Verify(Errno errno) => DemoReport.Verify(errno == Errno.None, $"the demonstration's own memory cannot be used: {errno}");
}
