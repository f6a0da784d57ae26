using Penstock.Interop;
using Penstock.Pci;

namespace Penstock.VfioUser.Tests;

/// <summary>
/// Hardware for the wire: 2 MiB of storage in BAR 0, I/O ports in BAR 2 that run what a test put there, MSI with 4 and MSI-X with 48 vectors, a
/// pin.
/// </summary>
internal sealed class WireFunction : IPciFunction
{
    public const int StorageSize = 2 << 20;
    public const int Vectors = 48;
    public const int PortBar = 2;
    public const int PortBarSize = 64;

    private readonly byte[] _ports = new byte[PortBarSize];

    public PciFunctionDescription Description { get; } = new()
    {
        VendorId = 0x1234,
        DeviceId = 0x5678,
        ClassCode = 0xff0000,
        InterruptPin = 1,
        Bars =
        [
            new PciBar(0, PciBarKind.Memory32, StorageSize),
            new PciBar(PortBar, PciBarKind.Io, PortBarSize),
            new PciBar(4, PciBarKind.Memory32, 0x1000),
        ],
        Capabilities = static () => [new MsiCapability(4), new MsixCapability(Vectors, 4, 0, 4, 0x800)],
    };

    public byte[] Storage { get; } = new byte[StorageSize];

    public PciFunctionPort Port { get; private set; } = null!;

    /// <summary>Runs inside a write to a port, before it is answered.</summary>
    public Func<ulong, Errno>? OnPortWrite { get; set; }

    /// <summary>Runs inside a read from a port.</summary>
    public Action<ulong>? OnPortRead { get; set; }

    public int Resets { get; private set; }

    public bool Fails { get; set; }

    public void Attach(PciFunctionPort port) => Port = port;

    public Errno ReadBar(int bar, ulong offset, Span<byte> data)
    {
        if (Fails)
        {
            throw new InvalidOperationException("the model has a bug");
        }

        if (bar == PortBar)
        {
            OnPortRead?.Invoke(offset);
            _ports.AsSpan((int)offset, data.Length).CopyTo(data);
        }
        else
        {
            Storage.AsSpan((int)offset, data.Length).CopyTo(data);
        }

        return Errno.None;
    }

    public Errno WriteBar(int bar, ulong offset, ReadOnlySpan<byte> data)
    {
        if (Fails)
        {
            throw new InvalidOperationException("the model has a bug");
        }

        if (bar == PortBar)
        {
            data.CopyTo(_ports.AsSpan((int)offset));
            return OnPortWrite?.Invoke(offset) ?? Errno.None;
        }

        data.CopyTo(Storage.AsSpan((int)offset));
        return Errno.None;
    }

    public void Reset(PciResetKind kind)
    {
        Resets++;
        Array.Clear(Storage);
        Array.Clear(_ports);
    }
}
