namespace Penstock.S390;

/// <summary>Settings of a <see cref="ZpciDmaSpace"/>.</summary>
public sealed record ZpciDmaOptions
{
    /// <summary>
    /// Whether unmaps are put off and done together. Until then the function may still use the memory that was unmapped, so this is for who trusts it.
    /// Internal shared memory functions are strict all the same.
    /// </summary>
    public bool Lazy { get; init; }

    /// <summary>How many unmaps are put off at most; a power of two.</summary>
    public int QueueSize { get; init; } = 32768;

    /// <summary>How long an unmap is put off at most.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(1);
}
