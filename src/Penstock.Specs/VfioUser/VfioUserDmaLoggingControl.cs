using System.Runtime.InteropServices;

namespace Penstock.Specs.VfioUser;

/// <summary>Data of DEVICE_FEATURE 6; the ranges follow.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioUserDmaLoggingControl
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 16;

    /// <summary>Bytes that the client would like one bit to stand for; answered with what the device has chosen.</summary>
    public ulong PageSize;

    /// <summary>Number of ranges.</summary>
    public uint RangeCount;

    /// <summary>0.</summary>
    public uint Reserved;
}
