using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// A guest's own tables as a function's translation: the guest's first stage nested on the host's knowledge of its memory. One contract for nesting in
/// software and for what hardware does; a guest cannot tell them apart, nor from the VMM's own path. May be used from any thread; calls of
/// <see cref="IRefreshMode"/> wait for each other.
/// <para>
/// Registering answers EOPNOTSUPP for tables that this mode cannot follow, and EFAULT when the first one is no memory: then the VMM does it by itself.
/// </para>
/// </summary>
public interface INestedTranslation : IRefreshMode
{
    /// <summary>How it nests.</summary>
    NestingMode Mode { get; }

    /// <summary>Both stages together: what groups are attached, or lent, to. It lives as long as this object; its own maps and unmaps answer EBUSY.</summary>
    TranslatingDomain Domain { get; }

    /// <summary>Pins now, where a page counts as often as it is pinned.</summary>
    long Pins { get; }

    /// <summary>Pages that are pinned now, each counted once.</summary>
    long PinnedPages { get; }
}
