using System.Buffers.Binary;
using Penstock.Pci;
using Penstock.Specs.Pci;
using Penstock.Specs.Zpci;
using static Penstock.Hypervisor.Tests.Tap.TappedFunction;

namespace Penstock.Hypervisor.Tests.Tap;

/// <summary>A tapped guest that registers its function's interrupts, by a plugin that is the test.</summary>
internal static class TapInterruptGuest
{
    public const ulong Vector = 0x1000;
    public const ulong Summary = 0x2000;
    public const uint Table = 0x2000;
    public const int Vectors = 4;
    public const int VectorOffset = 3;
    public const int SummaryOffset = 10;
    public const int MaskOffset = 12;
    public const byte Bar = 2;

    public static MsixCapability Msix => new(Vectors, Bar, Table, Bar, 0x3000);

    public static ulong Entry(int vector) => Table + (ulong)(vector * PciMsix.EntrySize);

    public static ulong Request(byte space, ushort length) => (new ZpciRegister(0) with { Handle = Handle, Space = space, AccessLength = length }).Value;

    public static ZpciFib InterruptFib() => new()
    {
        VectorAddress = Vector,
        SummaryAddress = Summary,
        InterruptWord = (new ZpciInterruptWord(0) with { Interrupts = 40, VectorOffset = VectorOffset, HasSummary = true, SummaryOffset = SummaryOffset }).Value,
    };

    /// <summary>A store as a guest makes it: the register's rightmost bytes, which are the little-endian value's turned around.</summary>
    public static void Store(FakePlugin plugin, ulong offset, ushort length, ulong value)
    {
        ulong register = BinaryPrimitives.ReverseEndianness(value) >> (64 - (8 * length));
        plugin.Call(TapCallKind.Store, Request(Bar, length), offset, register);
    }

    public static void WriteEntry(FakePlugin plugin, int vector, uint control)
    {
        Store(plugin, Entry(vector), 4, unchecked((uint)ZpciLimits.MsiAddress));
        Store(plugin, Entry(vector) + 4, 4, (uint)(ZpciLimits.MsiAddress >> 32));

        // The last one's message is another than its place.
        Store(plugin, Entry(vector) + 8, 4, vector == Vectors - 1 ? 5u : (uint)vector);
        Store(plugin, Entry(vector) + MaskOffset, 4, control);
    }

    public static void Enable(FakePlugin plugin)
    {
        plugin.Enable();
        plugin.RegisterTables();
        Assert.Equal((Handle, Bar, (ulong)Table, Table + (ulong)(Vectors * PciMsix.EntrySize) - 1), plugin.Watched(0));
        Assert.Equal((Handle, ZpciRegister.ConfigurationSpace), (plugin.Watched(1).Handle, plugin.Watched(1).Space));
    }

    public static void Register(FakePlugin plugin)
    {
        Enable(plugin);
        for (int vector = 0; vector < Vectors; vector++)
        {
            WriteEntry(plugin, vector, 0);
        }

        plugin.Mpcifc(Handle, InterruptFib(), ZpciModifyOperation.RegisterInterrupts);
    }
}
