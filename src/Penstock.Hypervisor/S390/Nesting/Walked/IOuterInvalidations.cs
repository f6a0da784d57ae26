namespace Penstock.Hypervisor;

/// <summary>Ranges that somebody outside of this process appends, such as a guest whose RPCIT is answered where it is executed.</summary>
internal interface IOuterInvalidations
{
    /// <summary>How many lines were ever appended, modulo 2^32. A line stays until it was said to have taken effect.</summary>
    uint Head { get; }

    /// <summary>Reads a line before <see cref="Head"/>. Any thread.</summary>
    /// <param name="number">Its number.</param>
    /// <param name="start">First I/O address.</param>
    /// <param name="length">Length in bytes.</param>
    /// <returns>False: what it said is not known.</returns>
    bool TryReadLine(uint number, out ulong start, out ulong length);

    /// <summary>A device is about to look at the tables, inside a scope: from now on whoever appends waits until the line has taken effect. Any thread.</summary>
    void MarkBusy();
}
