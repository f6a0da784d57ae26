using System.Runtime.InteropServices;

namespace Penstock.Specs.Iommufd;

/// <summary>DESTROY (linux/iommufd.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct IommuDestroy
{
    /// <summary>Smallest size that the call accepts, in bytes.</summary>
    public const int MinimumLength = 8;

    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 8;

    /// <summary>Size of this structure.</summary>
    public uint Size;

    /// <summary>The object.</summary>
    public uint Id;
}
