using System.Collections.Concurrent;
using Penstock.Interop;
using Penstock.Pci;

namespace Penstock.VfioUser.Tests;

/// <summary>
/// Registers with doorbells in BAR 0 (memory) and BAR 2 (ports), and 20 of them in BAR 3, more than one message takes. What the function saw is kept.
/// </summary>
internal sealed class BellFunction : IPciFunction
{
    public const int Many = 20;

    public BellFunction()
    {
        Action shared = () => Seen.Add("shared");
        Description = new PciFunctionDescription
        {
            VendorId = 0x1234,
            DeviceId = 0x567b,
            ClassCode = 0xff0000,
            Bars =
            [
                new PciBar(0, PciBarKind.Memory32, 0x1000)
                {
                    Doorbells =
                    [
                        new PciDoorbell(0x10, 4) { Match = 7 },
                        new PciDoorbell(0x20, 2),
                        new PciDoorbell(0x30, 0),
                        new PciDoorbell(0x40, 8) { Match = ulong.MaxValue, Rung = shared },
                        new PciDoorbell(0x48, 4) { Rung = shared },
                        new PciDoorbell(0x50, 1) { Rung = static () => throw new InvalidOperationException("the model has a bug") },
                    ],
                },
                new PciBar(2, PciBarKind.Io, 64) { Doorbells = [new PciDoorbell(8, 1) { Match = 0xff }] },
                new PciBar(3, PciBarKind.Memory32, 0x1000) { Doorbells = [.. Enumerable.Range(0, Many).Select(static i => new PciDoorbell((ulong)i * 4, 4))] },
                new PciBar(4, PciBarKind.Memory32, 0x1000),
            ],
        };
    }

    public PciFunctionDescription Description { get; }

    public PciFunctionPort Port { get; private set; } = null!;

    public ConcurrentBag<string> Seen { get; } = [];

    public void Attach(PciFunctionPort port) => Port = port;

    public Errno ReadBar(int bar, ulong offset, Span<byte> data)
    {
        data.Clear();
        return Errno.None;
    }

    public Errno WriteBar(int bar, ulong offset, ReadOnlySpan<byte> data)
    {
        Seen.Add($"{bar} {offset:x} {Convert.ToHexStringLower(data)}");
        return Errno.None;
    }

    public void Reset(PciResetKind kind) => Seen.Clear();
}
