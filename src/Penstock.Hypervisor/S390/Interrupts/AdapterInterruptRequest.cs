namespace Penstock.Hypervisor;

/// <summary>What a guest asked for when it registered a function's interruptions (zPCI, function information block, with guest addresses).</summary>
internal readonly record struct AdapterInterruptRequest
{
    /// <summary>Guest address of the interrupt bit vector.</summary>
    public ulong Vector { get; init; }

    /// <summary>Bit of vector 0 in it.</summary>
    public int VectorOffset { get; init; }

    /// <summary>Number of interrupts.</summary>
    public uint Count { get; init; }

    /// <summary>Guest address of the summary bits; 0 for none.</summary>
    public ulong Summary { get; init; }

    /// <summary>The function's bit there.</summary>
    public int SummaryOffset { get; init; }

    /// <summary>The guest's interruption subclass.</summary>
    public int Subclass { get; init; }

    /// <summary>Whether the host delivers everything.</summary>
    public bool ByHost { get; init; }
}
