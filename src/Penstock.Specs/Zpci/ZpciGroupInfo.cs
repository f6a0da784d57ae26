using System.Runtime.InteropServices;

namespace Penstock.Specs.Zpci;

/// <summary>Version 2 of <see cref="ZpciInfoCapability.Group"/>, behind its header.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct ZpciGroupInfo
{
    /// <summary>Flag that asks the guest to report changes of its tables; the host always sets it.</summary>
    public const ulong Refresh = 1;

    /// <summary>Which bits of DMA addresses select an address space.</summary>
    public ulong DmaAddressMask;

    /// <summary>Where messages are sent.</summary>
    public ulong MsiAddress;

    /// <summary>Flags.</summary>
    public ulong Flags;

    /// <summary>Interval of measurements in milliseconds.</summary>
    public ushort MeasurementInterval;

    /// <summary>Number of interrupts.</summary>
    public ushort Interrupts;

    /// <summary>Longest store of a block in bytes, intercepted.</summary>
    public ushort MaximumStore;

    /// <summary>Version.</summary>
    public byte Version;

    /// <summary>Always 0.</summary>
    public byte Reserved;

    /// <summary>Longest store of a block in bytes, interpreted.</summary>
    public ushort MaximumInterpretedStore;
}
