namespace Penstock.Vfio;

/// <content>What follows the mappings outside of this process. It is called without the gate: it may wait for a peer.</content>
public sealed unsafe partial class SoftwareDomain
{
    /// <inheritdoc/>
    protected internal override void Attaching(IommuGroup group) => _mirror?.Attaching(this);

    /// <inheritdoc/>
    protected internal override void Detached(IommuGroup group) => _mirror?.Detached();

    private void Follow(IDomainMirror mirror, ulong iova, ulong size, DmaAccess access, UserMemory memory, ulong memoryOffset)
    {
        try
        {
            mirror.Mapped(iova, size, access, memory, memoryOffset);
        }
        catch
        {
            Take(new IovaRange(iova, iova + (size - 1)));
            throw;
        }
    }

    /// <summary>The mirror is not told of an unmap that is refused.</summary>
    private void Unfollow(IDomainMirror mirror, IovaRange range)
    {
        (ulong iova, ulong last) = range;
        if (last < iova)
        {
            return;
        }

        lock (_gate)
        {
            // SAFETY: as long as the gate is held the table is neither replaced nor freed.
            byte* table = Writable("unmapping");
            int index = TranslationTable.ChunkOf(table, iova);
            if (Cuts(table, index, TranslationTable.Below(TranslationTable.Chunk(table, index), iova), iova, last))
            {
                return;
            }
        }

        mirror.Unmapping(range);
    }
}
