using Penstock.Interop;
using Penstock.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.VfioUser.Tests;

/// <summary>A function that migrates: 2.5 MiB behind BAR 0, which are its state, and MSI.</summary>
internal sealed class MovableFunction : IMigratableFunction
{
    public const int StorageSize = (2 << 20) + (512 << 10);

    public MovableFunction(MigrationFlags flags = MigrationFlags.All)
    {
        MigrationFlags = flags;
        State = new DeviceStateTable("movable", 1).Memory("storage", Storage).Number("limit", 1, () => Limit, v => Limit = (byte)v, largest: 9);
    }

    public PciFunctionDescription Description { get; } = new()
    {
        VendorId = 0x1234,
        DeviceId = 0x5679,
        ClassCode = 0xff0000,
        Bars = [new PciBar(0, PciBarKind.Memory32, 4 << 20)],
        Capabilities = static () => [new MsiCapability(4)],
    };

    public byte[] Storage { get; } = new byte[StorageSize];

    public byte Limit { get; set; }

    public PciFunctionPort Port { get; private set; } = null!;

    public DeviceStateTable State { get; }

    public MigrationFlags MigrationFlags { get; }

    public void Attach(PciFunctionPort port) => Port = port;

    public Errno ReadBar(int bar, ulong offset, Span<byte> data)
    {
        Storage.AsSpan((int)offset, data.Length).CopyTo(data);
        return Errno.None;
    }

    public Errno WriteBar(int bar, ulong offset, ReadOnlySpan<byte> data)
    {
        data.CopyTo(Storage.AsSpan((int)offset));
        return Errno.None;
    }

    public void Reset(PciResetKind kind)
    {
        Array.Clear(Storage);
        Limit = 0;
    }

    public void StateLoaded()
    {
    }
}
