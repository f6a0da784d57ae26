using System.Runtime.InteropServices;

namespace Penstock.Specs.Iommufd;

/// <summary>Answer written to a fault queue (linux/iommufd.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct IommuHwptPageResponse
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 8;

    /// <summary>The group.</summary>
    public uint Cookie;

    /// <summary>The answer.</summary>
    public IommuFaultResponseCode Code;
}
