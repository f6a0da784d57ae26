using System.Collections.Concurrent;
using Penstock.Interop;

namespace Penstock.Vfio;

/// <content>Translations for DMA that carries a process address space id.</content>
public sealed partial class IommuGroup
{
    private readonly ConcurrentDictionary<uint, IommuDomain> _pasids = new();

    /// <summary>Whether any domain is attached, to the group or to one of its PASIDs.</summary>
    internal bool IsAttached => Domain is not null || !_pasids.IsEmpty;

    /// <summary>The translation of DMA with a PASID; null while it is blocked.</summary>
    /// <param name="pasid">The PASID.</param>
    /// <returns>The domain.</returns>
    public IommuDomain? GetDomain(uint pasid) => _pasids.GetValueOrDefault(pasid);

    /// <summary>Attaches a PASID to a domain, or moves it there; when this returns no DMA with it goes through the old one.</summary>
    /// <param name="pasid">The PASID.</param>
    /// <param name="domain">The domain.</param>
    public void AttachPasid(uint pasid, IommuDomain domain)
    {
        ArgumentNullException.ThrowIfNull(domain);
        _pasids.TryGetValue(pasid, out IommuDomain? old);
        ThrowIfInside(old);
        _pasids[pasid] = domain;
        old?.Drain();
    }

    /// <summary>Blocks DMA with a PASID; when this returns none is in progress.</summary>
    /// <param name="pasid">The PASID.</param>
    public void DetachPasid(uint pasid)
    {
        ThrowIfInside(GetDomain(pasid));
        if (_pasids.TryRemove(pasid, out IommuDomain? old))
        {
            old.Drain();
        }
    }

    /// <summary>Returns when no DMA is in progress, with a PASID or without.</summary>
    internal void Drain()
    {
        Domain?.Drain();
        foreach (IommuDomain domain in _pasids.Values)
        {
            domain.Drain();
        }
    }

    private void ThrowIfInside(IommuDomain? domain)
    {
        if (domain is { IsEnteredByCaller: true })
        {
            throw new VfioException(Errno.EDEADLK, $"changing the domain of {this}", "the calling thread is inside a scope of it; leave it first");
        }
    }
}
