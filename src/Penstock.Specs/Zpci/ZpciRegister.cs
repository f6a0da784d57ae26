namespace Penstock.Specs.Zpci;

/// <summary>
/// The register that names a function in a zPCI instruction: handle, address space, and a length or an operation; afterwards the status.
/// </summary>
/// <param name="Value">The register.</param>
public readonly record struct ZpciRegister(ulong Value)
{
    /// <summary>Address space of the first BAR; the other five follow.</summary>
    public const byte FirstBar = 0;

    /// <summary>Address space of the last BAR.</summary>
    public const byte LastBar = 5;

    /// <summary>Address space of the configuration space.</summary>
    public const byte ConfigurationSpace = 15;

    /// <summary>How far the status is shifted left in the register.</summary>
    public const int StatusShift = 24;

    /// <summary>Longest block in a register.</summary>
    public const ushort BlockLengthMask = 0x1fff;

    private const int HandleShift = 32;
    private const int SpaceShift = 16;
    private const ulong StatusMask = 0xfful << StatusShift;

    /// <summary>Handle of the function.</summary>
    public uint Handle
    {
        get => (uint)(Value >> HandleShift);
        init => Value = (Value & uint.MaxValue) | ((ulong)value << HandleShift);
    }

    /// <summary>Address space: a BAR, the configuration space, or a DMA address space.</summary>
    public byte Space
    {
        get => (byte)(Value >> SpaceShift);
        init => Value = (Value & ~(0xfful << SpaceShift)) | ((ulong)value << SpaceShift);
    }

    /// <summary>Length in bytes of a load or store.</summary>
    public ushort AccessLength
    {
        get => (ushort)Value;
        init => Value = (Value & ~0xfffful) | value;
    }

    /// <summary>Operation of MPCIFC.</summary>
    public ZpciModifyOperation Operation
    {
        get => (ZpciModifyOperation)(byte)Value;
        init => Value = (Value & ~0xfful) | (byte)value;
    }

    /// <summary>What the instruction says of an error.</summary>
    public ZpciStatus Status
    {
        get => (ZpciStatus)(byte)(Value >> StatusShift);
        init => Value = (Value & ~StatusMask) | ((ulong)value << StatusShift);
    }
}
