using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.Pci;
using Penstock.Vfio;

namespace Penstock.Devices;

/// <summary>
/// A function that tells its driver when the guest writes to a page, as graphics cards that shadow the guest's page tables have to know. It
/// works as long as <see cref="Track"/> is set.
/// </summary>
internal sealed class PageWatchFunction : IPciFunction
{
    private const ulong PageSize = 4096;

    private static readonly PciFunctionDescription Facts = new()
    {
        VendorId = PageWatchRegisters.VendorId,
        DeviceId = PageWatchRegisters.DeviceId,
        ClassCode = 0xFF0000,
        InterruptPin = 1,
        Bars = [new PciBar(PageWatchRegisters.BarIndex, PciBarKind.Memory32, PageWatchRegisters.BarSize)],
    };

    private readonly RegisterFile _registers;
    private PciFunctionPort? _port;
    private ulong? _watched;

    public PageWatchFunction() => _registers = new RegisterFile("page watch", PageWatchRegisters.BarSize,
    [
        new("FRAME", PageWatchRegisters.Frame, 8),
        new("CONTROL", PageWatchRegisters.Control, 4) { UnknownMask = uint.MaxValue & ~PageWatchRegisters.Watching, OnWrite = (_, after, _) => Switch(after != 0) },
        new("STATUS", PageWatchRegisters.Status, 4) { WriteOneToClearMask = PageWatchRegisters.Written, OnWrite = (_, _, _) => DrivePin() },
        new("WRITES", PageWatchRegisters.Writes, 8) { ReadOnlyMask = ulong.MaxValue },
        new("LAST ADDRESS", PageWatchRegisters.LastAddress, 8) { ReadOnlyMask = ulong.MaxValue },
        new("LAST DATA", PageWatchRegisters.LastData, 8) { ReadOnlyMask = ulong.MaxValue },
    ]);

    public PciFunctionDescription Description => Facts;

    /// <summary>The registration with the machine; set before the device answers, cleared when it no longer does.</summary>
    internal IPageTrack? Track { get; set; }

    public void Attach(PciFunctionPort port) => _port = port;

    public Errno ReadBar(int bar, ulong offset, Span<byte> data) => _registers.Read(offset, data);

    public Errno WriteBar(int bar, ulong offset, ReadOnlySpan<byte> data) => _registers.Write(offset, data);

    public void Reset(PciResetKind kind)
    {
        Switch(false);
        _registers.Reset();
        DrivePin();
    }

    /// <summary>On the strand: the guest has written.</summary>
    internal void Written(ulong address, ulong data)
    {
        if (_watched is not { } frame || address / PageSize != frame)
        {
            return;
        }

        _registers[PageWatchRegisters.Writes]++;
        _registers[PageWatchRegisters.LastAddress] = address;
        _registers[PageWatchRegisters.LastData] = data;
        _registers[PageWatchRegisters.Status] |= PageWatchRegisters.Written;
        DrivePin();
    }

    /// <summary>Enters the strand for a write that the machine tells.</summary>
    internal void Tell(ulong address, ReadOnlySpan<byte> data)
    {
        Span<byte> first = stackalloc byte[sizeof(ulong)];
        first.Clear();
        data[..Math.Min(data.Length, first.Length)].CopyTo(first);
        ulong value = BinaryPrimitives.ReadUInt64LittleEndian(first);
        _port!.Strand.RunOn(() => Written(address, value));
    }

    private void Switch(bool on)
    {
        if (_watched is { } before)
        {
            Track?.Remove(before);
            _watched = null;
        }

        ulong frame = _registers[PageWatchRegisters.Frame];
        if (on && Track?.Add(frame) == true)
        {
            _watched = frame;
            _registers[PageWatchRegisters.Writes] = 0;
        }
        else
        {
            _registers[PageWatchRegisters.Control] = 0;
        }
    }

    private void DrivePin() => _port?.SetIntx((_registers[PageWatchRegisters.Status] & PageWatchRegisters.Written) != 0);
}
