namespace Penstock.Devices;

/// <summary>Which region each access goes to.</summary>
internal enum BenchPattern : ulong
{
    /// <summary>Always the first.</summary>
    FirstOnly = 0,

    /// <summary>One after the other.</summary>
    RoundRobin = 1,

    /// <summary>By an xorshift64 generator, so that any implementation visits the same regions.</summary>
    Random = 2,
}
