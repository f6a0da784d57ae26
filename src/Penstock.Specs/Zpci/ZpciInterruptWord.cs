namespace Penstock.Specs.Zpci;

/// <summary>How a FIB of format 0 says that interrupts are told of (<see cref="ZpciFib.InterruptWord"/>).</summary>
/// <param name="Value">The word.</param>
public readonly record struct ZpciInterruptWord(uint Value)
{
    /// <summary>Interruption subclass (isc).</summary>
    public int Subclass
    {
        get => (int)((Value >> 28) & 0x7);
        init => Value = (Value & ~(0x7u << 28)) | (((uint)value & 0x7) << 28);
    }

    /// <summary>Number of interrupts (noi).</summary>
    public int Interrupts
    {
        get => (int)((Value >> 16) & 0xfff);
        init => Value = (Value & ~(0xfffu << 16)) | (((uint)value & 0xfff) << 16);
    }

    /// <summary>First bit in the vector (aibvo).</summary>
    public int VectorOffset
    {
        get => (int)((Value >> 8) & 0x3f);
        init => Value = (Value & ~(0x3fu << 8)) | (((uint)value & 0x3f) << 8);
    }

    /// <summary>There is a summary bit (sum).</summary>
    public bool HasSummary
    {
        get => (Value & 0x80) != 0;
        init => Value = value ? Value | 0x80 : Value & ~0x80u;
    }

    /// <summary>The bit in the summary vector (aisbo).</summary>
    public int SummaryOffset
    {
        get => (int)(Value & 0x3f);
        init => Value = (Value & ~0x3fu) | ((uint)value & 0x3f);
    }
}
