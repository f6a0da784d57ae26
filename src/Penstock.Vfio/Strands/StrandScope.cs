namespace Penstock.Vfio;

/// <summary>The time that a register call spends on a strand.</summary>
public readonly ref struct StrandScope
{
    private readonly Strand? _strand;

    internal StrandScope(Strand? strand) => _strand = strand;

    /// <summary>Leaves the strand.</summary>
    public void Dispose() => _strand?.LeaveRegisterCall();
}
