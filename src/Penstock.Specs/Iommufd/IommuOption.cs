using System.Runtime.InteropServices;

namespace Penstock.Specs.Iommufd;

/// <summary>OPTION (linux/iommufd.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct IommuOption
{
    /// <summary>Smallest size that the call accepts, in bytes.</summary>
    public const int MinimumLength = 24;

    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 24;

    /// <summary>Size of this structure.</summary>
    public uint Size;

    /// <summary>The option.</summary>
    public IommuOptionId OptionId;

    /// <summary>Set or get.</summary>
    public IommuOptionOperation Operation;

    /// <summary>0.</summary>
    public ushort Reserved;

    /// <summary>The object that has the option; 0 for the context.</summary>
    public uint ObjectId;

    /// <summary>The value.</summary>
    public ulong Value;
}
