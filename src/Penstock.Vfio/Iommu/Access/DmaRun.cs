namespace Penstock.Vfio;

/// <summary>Memory that one I/O address leads to, contiguous in this process. Valid only inside the scope that lent it.</summary>
public readonly unsafe struct DmaRun
{
    internal DmaRun(byte* pointer, ulong length)
    {
        Pointer = pointer;
        Length = length;
    }

    /// <summary>First byte.</summary>
    public byte* Pointer { get; }

    /// <summary>Length in bytes; it may be shorter than asked, never 0.</summary>
    public ulong Length { get; }

    /// <summary>The run as a span, cut at 2 GiB.</summary>
    // SAFETY: the mapping covers Length bytes for as long as the scope lasts.
    public Span<byte> Span => new(Pointer, (int)Math.Min(Length, int.MaxValue));
}
