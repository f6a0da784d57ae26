namespace Penstock.Vfio;

/// <summary>Limits of a <see cref="MappingCache"/>.</summary>
public sealed class MappingCacheOptions
{
    /// <summary>Small pieces of one file are mapped together in windows of this size in bytes, a power of two.</summary>
    public ulong WindowBytes { get; init; } = 64ul << 20;

    /// <summary>
    /// How many mappings may be in use. The kernel gives a process some 65,000 in all and ends a runtime that finds none left, so users must
    /// never come near.
    /// </summary>
    public int LiveMappings { get; init; } = 8192;

    /// <summary>
    /// How many files may be copied from at once; each of them costs a descriptor, however much of it is used. Memory comes from a few files.
    /// </summary>
    public int LiveDescriptors { get; init; } = 256;

    /// <summary>How much address space unused mappings may keep, in bytes.</summary>
    public ulong IdleBytes { get; init; } = 64ul << 30;

    /// <summary>How many unused mappings are kept.</summary>
    public int IdleMappings { get; init; } = 64;

    /// <summary>How long an unused mapping is kept at least; at most twice as long.</summary>
    public TimeSpan IdleTime { get; init; } = TimeSpan.FromSeconds(5);
}
