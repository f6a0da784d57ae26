using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.Pci;
using Penstock.Specs.Pci;

namespace Penstock.Devices;

/// <summary>
/// A device for measuring: BAR 0 is 64 KiB of plain storage that cannot be mapped, so that every access is a message. A control block at
/// 0xF000 starts operations that measure address translation and message DMA from inside. Its ids bind to no driver.
/// <para>
/// A 4-byte write of 1 (translate), 2 (read by message), 3 (write by message) or 4 (translate, take, give back) to 0xF000 starts an
/// operation after the write has been answered; another number does nothing, and a write while an operation runs is refused with EBUSY.
/// Before it come, 8 bytes each and little-endian: iterations (0xF008), first I/O address (0xF010), distance between regions (0xF018),
/// number of regions (0xF020), bytes per access (0xF028, at most 1 MiB) and choice of region (0xF040: 0 first, 1 in turn, 2 random).
/// At the end the device stores the accesses that succeeded (0xF038) and then the nanoseconds taken, at least 1 (0xF030).
/// An operation that lasts longer than the limit ends there with what it has done. DMA needs Bus Master Enable, as for every function.
/// </para>
/// </summary>
public sealed class BenchFunction : IPciFunction
{
    private const uint UnclassifiedDevice = 0xFF0000;

    private static readonly TimeSpan DefaultLimit = TimeSpan.FromSeconds(10);

    private static readonly PciFunctionDescription Facts = new()
    {
        VendorId = BenchRegisters.VendorId,
        DeviceId = BenchRegisters.DeviceId,
        ClassCode = UnclassifiedDevice,


        // Measuring clients are no drivers: they do not enable anything first.
        InitialCommand = PciCommand.Memory | PciCommand.BusMaster,
        Bars = [new PciBar(BenchRegisters.BarIndex, PciBarKind.Memory32, BenchRegisters.BarSize) { TakesWholeAccesses = true }],
    };

    private readonly byte[] _storage = new byte[BenchRegisters.BarSize];
    private readonly TimeSpan _limit;
    private PciFunctionPort? _port;
    private BenchRun? _run;

    /// <summary>Creates the device.</summary>
    /// <param name="limit">Longest time for one operation; null for 10 seconds.</param>
    public BenchFunction(TimeSpan? limit = null)
    {
        _limit = limit ?? DefaultLimit;
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(_limit, TimeSpan.Zero, nameof(limit));
    }

    /// <inheritdoc/>
    public PciFunctionDescription Description => Facts;

    /// <inheritdoc/>
    public void Attach(PciFunctionPort port)
    {
        ArgumentNullException.ThrowIfNull(port);
        _port = port;
    }

    /// <inheritdoc/>
    public Errno ReadBar(int bar, ulong offset, Span<byte> data)
    {
        if (!InBar(bar, offset, data.Length))
        {
            return Errno.EINVAL;
        }

        _storage.AsSpan((int)offset, data.Length).CopyTo(data);
        return Errno.None;
    }

    /// <inheritdoc/>
    public Errno WriteBar(int bar, ulong offset, ReadOnlySpan<byte> data)
    {
        if (!InBar(bar, offset, data.Length))
        {
            return Errno.EINVAL;
        }

        var starts = offset == BenchRegisters.Operation && data.Length == sizeof(uint);
        if (starts && _run is not null)
        {
            return Errno.EBUSY;
        }

        data.CopyTo(_storage.AsSpan((int)offset, data.Length));
        if (starts)
        {
            Start((BenchOperation)BinaryPrimitives.ReadUInt32LittleEndian(data));
        }

        return Errno.None;
    }

    /// <inheritdoc/>
    /// <remarks>An operation in progress is abandoned and stores nothing.</remarks>
    public void Reset(PciResetKind kind)
    {
        _run = null;
        Array.Clear(_storage);
    }

    /// <summary>Whether the operation is still the one in progress: a reset takes that away. On the strand.</summary>
    internal bool IsCurrent(BenchRun run) => _run == run;

    /// <summary>Stores what an operation found, the time last, so that a peer that sees the time sees the rest. On the strand.</summary>
    internal void Finish(ulong nanoseconds, ulong succeeded)
    {
        _run = null;
        BinaryPrimitives.WriteUInt64LittleEndian(_storage.AsSpan(BenchRegisters.Succeeded), succeeded);
        Thread.MemoryBarrier();
        BinaryPrimitives.WriteUInt64LittleEndian(_storage.AsSpan(BenchRegisters.Nanoseconds), Math.Max(nanoseconds, 1));
    }

    private static bool InBar(int bar, ulong offset, int length) =>
        bar == BenchRegisters.BarIndex && offset < BenchRegisters.BarSize && length <= BenchRegisters.BarSize - (int)offset;

    private void Start(BenchOperation operation)
    {
        if (_port is not null && operation is >= BenchOperation.Translate and <= BenchOperation.TranslateGetPut)
        {
            _run = new BenchRun(this, _port, operation, _storage, _limit);
            _port.Strand.Post(_run);
        }
    }
}
