using System.Runtime.InteropServices;

namespace Penstock.Specs.Iommufd;

/// <summary>One range of I/O addresses, both ends included (linux/iommufd.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct IommuIovaRange
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 16;

    /// <summary>First address.</summary>
    public ulong Start;

    /// <summary>Last address.</summary>
    public ulong Last;
}
