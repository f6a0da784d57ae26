using System.Runtime.InteropServices;

namespace Penstock.Specs.VfioUser;

/// <summary>The 16 bytes before every message (vfio-user, "Header"). Host byte order.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioUserHeader
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 16;

    /// <summary>Offset of <see cref="Size"/>.</summary>
    public const int SizeOffset = 4;

    /// <summary>Chosen by the sender of a command, echoed in its reply.</summary>
    public ushort Id;

    /// <summary>The command, also in its reply.</summary>
    public VfioUserCommand Command;

    /// <summary>Length of the whole message in bytes.</summary>
    public uint Size;

    /// <summary>Type and flags.</summary>
    public VfioUserMessageFlags Flags;

    /// <summary>Error number; meaningful in an error reply.</summary>
    public uint Error;
}
