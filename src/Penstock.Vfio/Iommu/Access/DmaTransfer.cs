namespace Penstock.Vfio;

/// <summary>
/// Whose transfer a copy belongs to, and since when. A reset of the function cancels what began before it: whoever carries a transfer out
/// looks here before each piece. The default belongs to no function and is never cancelled. May be used from any thread.
/// </summary>
public readonly struct DmaTransfer
{
    private readonly int _epoch;

    internal DmaTransfer(DmaPort port)
    {
        Port = port;
        _epoch = port.Epoch;
    }

    /// <summary>Whether the function was reset since; the transfer ends with ECANCELED.</summary>
    public bool IsCanceled => Port is not null && Port.Epoch != _epoch;

    internal DmaPort? Port { get; }

    /// <summary>The function's line of execution; null for the default.</summary>
    public Strand? Strand => Port?.Strand;

    /// <summary>Whether the next piece may go through a domain. Asked inside a scope of it, see <see cref="DmaPort.LeadsTo(TranslatingDomain)"/>.</summary>
    internal bool MayUse(TranslatingDomain domain) => Port is null || (!IsCanceled && Port.LeadsTo(domain));

    /// <summary>Whether the next piece may go through an access. Asked with the gate of its context held.</summary>
    internal bool MayUse(IommufdAccess access) => Port is null || (!IsCanceled && Port.LeadsTo(access));

    /// <summary>A piece has been copied, or part of it: whoever logs the device is told.</summary>
    internal void Copied(ulong iova, int length, DmaAccess access)
    {
        if (access == DmaAccess.Write)
        {
            Port?.Written(iova, (ulong)length);
        }
    }
}
