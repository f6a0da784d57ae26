namespace Penstock.Vfio;

/// <summary>
/// A group is lent: another domain than its owner's is in force, see <see cref="IommuGroup.Lend"/>. All members may be called from any thread.
/// </summary>
public sealed class GroupLending : IDisposable
{
    internal GroupLending(IommuGroup group, IommuDomain domain)
    {
        Group = group;
        Domain = domain;
    }

    /// <summary>The group.</summary>
    public IommuGroup Group { get; }

    /// <summary>The domain that it is lent to.</summary>
    public IommuDomain Domain { get; }

    /// <summary>Whether it still is; not any more once it was taken back, or its owner has detached it.</summary>
    public bool IsInForce => Group.IsLentBy(this);

    /// <summary>
    /// Takes the group back: the owner's domain is in force again, with all that was mapped there meanwhile. When this returns no DMA goes
    /// through the other one.
    /// </summary>
    /// <returns>Whether it was lent until now.</returns>
    /// <exception cref="VfioException">EDEADLK: the calling thread is inside a scope of the domain; the group stays lent.</exception>
    public bool TakeBack() => Group.TakeBack(this);

    /// <summary>As <see cref="TakeBack"/>.</summary>
    public void Dispose() => TakeBack();
}
