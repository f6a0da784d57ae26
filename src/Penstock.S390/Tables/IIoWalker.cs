namespace Penstock.S390;

/// <summary>Finds where a guest's I/O addresses lead: by walking its tables, or from a recording of what they said. Must not throw.</summary>
public interface IIoWalker
{
    /// <summary>Finds where an address leads.</summary>
    /// <param name="iota">The anchor in force.</param>
    /// <param name="iova">The address.</param>
    /// <returns>Where it leads.</returns>
    IoWalk Walk(Iota iota, ulong iova);
}
