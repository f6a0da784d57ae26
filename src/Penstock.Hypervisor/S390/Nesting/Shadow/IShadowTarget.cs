using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// The host's tables that a shadow is kept in: a domain that is lent for that. One thread changes it at a time; devices translate meanwhile. Pages stay pinned until
/// <see cref="Refresh"/> has returned after they were taken out.
/// </summary>
internal interface IShadowTarget : IDisposable
{
    /// <summary>What groups are attached to.</summary>
    TranslatingDomain Domain { get; }

    /// <summary>Puts a page in, whatever was there.</summary>
    /// <param name="iova">First address of the page.</param>
    /// <param name="slot">The guest's memory.</param>
    /// <param name="page">The page of it.</param>
    /// <param name="writable">Whether it may be written.</param>
    /// <returns>False when there is no memory for a table; then nothing is there.</returns>
    bool TrySet(ulong iova, PinnedSlot slot, ulong page, bool writable);

    /// <summary>Takes a page out.</summary>
    /// <param name="iova">First address of the page.</param>
    void Clear(ulong iova);

    /// <summary>Refreshes each attached function once; when it returns no access uses what was taken out or changed before.</summary>
    /// <param name="first">First address that was changed.</param>
    /// <param name="last">Last one.</param>
    void Refresh(ulong first, ulong last);

    /// <summary>Nothing of a slot is in any entry, or used, any more.</summary>
    /// <param name="slot">The slot.</param>
    void Forget(PinnedSlot slot);
}
