using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <summary>A SET_IRQS call. The caller keeps its eventfds; a device that binds one takes a duplicate.</summary>
public readonly ref struct VfioIrqRequest
{
    /// <summary>Exactly one data bit and one action bit, unless the call is to be refused.</summary>
    public VfioIrqSetFlags Flags { get; init; }

    /// <summary>Interrupt index.</summary>
    public uint Index { get; init; }

    /// <summary>First vector.</summary>
    public uint Start { get; init; }

    /// <summary>Number of vectors.</summary>
    public uint Count { get; init; }

    /// <summary>With bool data: one byte per vector.</summary>
    public ReadOnlySpan<byte> Bools { get; init; }

    /// <summary>With eventfd data: one entry per vector, null where the vector is to lose its eventfd ("-1").</summary>
    public ReadOnlySpan<EventDescriptor?> Events { get; init; }
}
