using System.Runtime.InteropServices;

namespace Penstock.Specs.VfioUser;

/// <summary>Payload of VERSION, before the JSON text.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioUserVersion
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 4;

    /// <summary>Must agree.</summary>
    public ushort Major;

    /// <summary>The lower one of both sides is used.</summary>
    public ushort Minor;
}
