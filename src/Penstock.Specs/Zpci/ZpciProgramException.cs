namespace Penstock.Specs.Zpci;

/// <summary>Program interruptions that end a zPCI instruction instead of a condition code (z/Architecture interruption codes).</summary>
public enum ZpciProgramException
{
    /// <summary>None: the condition code counts.</summary>
    None = 0,

    /// <summary>The machine does not have the instruction.</summary>
    Operation = 0x01,

    /// <summary>The processor was in the problem state.</summary>
    PrivilegedOperation = 0x02,

    /// <summary>An operand is not in the guest's memory, or may not be written.</summary>
    Addressing = 0x05,

    /// <summary>A register number or an address is not aligned as it must be.</summary>
    Specification = 0x06,

    /// <summary>A value is not possible.</summary>
    Operand = 0x15,
}
