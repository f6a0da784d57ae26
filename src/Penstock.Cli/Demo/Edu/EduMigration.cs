using System.Buffers.Binary;
using System.Diagnostics;
using Penstock.Devices;
using Penstock.Interop;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;
using Penstock.VfioUser;

namespace Penstock.Cli.Demo;

/// <summary>Moves an EDU device that is being worked to another server, over vfio-user, and goes on there.</summary>
internal sealed class EduMigration(DemoReport report)
{
    private const ulong Iova = 0x10_0000;
    private const ulong MemorySize = 1 << 20;
    private const uint Unacknowledged = 0x42;
    private const int Chunk = 512;

    private readonly List<byte> _state = [];
    private readonly Random _random = new(2);
    private int _transfers;

    /// <summary>Moves the device of <paramref name="user"/>; it is stopped afterwards and wants a reset.</summary>
    public void Show(VfioUserClient user, CancellationToken cancellation)
    {
        using var folder = new TemporaryFolder();
        using var memory = MemoryFile.Create("penstock-demo", MemorySize);
        var target = new EduFunction();
        using var server = PciFunctionServer.Serve(target, folder.File("edu-target.sock"), OwnPeers.Server);
        using var other = VfioUserClient.Connect(server.Path, OwnPeers.Client);
        user.MapDma(Iova, MemorySize, DmaAccess.ReadWrite, memory);
        other.MapDma(Iova, MemorySize, DmaAccess.ReadWrite, memory);
        var source = new EduDriver(user);
        source.Write32(EduDriver.Raise, Unacknowledged);

        // While it works: most of its state goes now, and what changes meanwhile goes again.
        user.SetMigrationState(MigrationState.PreCopy);
        for (int i = 0; i < 2 * EduDriver.BufferSize / Chunk; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            Work(source, memory);
            Read(user);
        }

        int early = _state.Count;
        byte[] buffer = source.ReadBuffer();
        source.Write32(EduDriver.Factorial, 7);
        long start = Stopwatch.GetTimestamp();
        user.SetMigrationState(MigrationState.StopCopy);
        while (Read(user) > 0)
        {
        }

        other.SetMigrationState(MigrationState.Resuming);
        other.WriteMigrationData(_state.ToArray());
        other.SetMigrationState(MigrationState.Running);
        double stopped = Stopwatch.GetElapsedTime(start).TotalMicroseconds;

        var driver = new EduDriver(other);
        Span<byte> command = stackalloc byte[sizeof(ushort)];
        other.Read(VfioRegions.Config, PciConfigOffsets.Command, command);
        DemoReport.Verify(
            (PciCommand)BinaryPrimitives.ReadUInt16LittleEndian(command) == (PciCommand.Memory | PciCommand.BusMaster),
            "the command register has not come along");
        DemoReport.Verify(driver.ReadBuffer().AsSpan().SequenceEqual(buffer), "the buffer differs at the target");
        DemoReport.Verify(driver.TakeCause() == Unacknowledged, "the interrupt that nobody had acknowledged has not come along");
        DemoReport.Verify(driver.WaitForFactorial() == 5040, "the factorial that was under way has another result at the target");
        Work(driver, memory);
        DemoReport.Verify(target.Transfers == 2, $"the target did {target.Transfers} transfers, not the two it was told");
        report.Done(
            "migrate",
            FormattableString.Invariant($"to another server in {_state.Count} bytes, {early} of them beside {_transfers - 2} transfers; stopped for {stopped / 1000:F1} ms; registers and buffer equal, it goes on there"));
    }

    /// <summary>Lets the device copy a page and compares it.</summary>
    private void Work(EduDriver driver, MemoryFile memory)
    {
        byte[] page = new byte[EduDriver.BufferSize];
        byte[] copy = new byte[EduDriver.BufferSize];
        _random.NextBytes(page);
        ulong to = MemorySize / 2;
        DemoReport.Verify(DescriptorIO.WriteAt(memory.Descriptor.Value, 0, page, out _) == Errno.None, "the demonstration's own memory cannot be written");
        driver.Transfer(Iova, EduDriver.Buffer, EduDriver.BufferSize, 0);
        driver.Transfer(EduDriver.Buffer, Iova + to, EduDriver.BufferSize, EduDriver.ToMemory);
        DemoReport.Verify(DescriptorIO.ReadAt(memory.Descriptor.Value, to, copy, out _) == Errno.None, "the demonstration's own memory cannot be read");
        DemoReport.Verify(page.AsSpan().SequenceEqual(copy), "a page differs after its way through the device");
        _transfers += 2;
    }

    private int Read(VfioUserClient user)
    {
        Span<byte> part = stackalloc byte[Chunk];
        int came = user.ReadMigrationData(part);
        _state.AddRange(part[..came]);
        return came;
    }
}
