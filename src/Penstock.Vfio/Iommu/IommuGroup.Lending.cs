using Penstock.Interop;

namespace Penstock.Vfio;

/// <content>
/// Which domain is in force: the one that the group's owner attached, or another one that the group was lent to meanwhile.
/// </content>
public sealed partial class IommuGroup
{
    // Held while domains are switched; whoever holds a container's lock may take it, never the other way round.
    private readonly Lock _switching = new();
    private GroupLending? _lending;

    // What the owner attached; null while he blocks the group. The domain in force unless the group is lent.
    private IommuDomain? _attached;

    /// <summary>Whether another domain than the owner's is in force (<see cref="Lend"/>).</summary>
    public bool IsLent => Volatile.Read(ref _lending) is not null;

    /// <summary>
    /// Puts another domain in force without the owner's knowledge: his maps go on into the domain that he attached, and nothing of it is seen by
    /// the group's devices until the group is taken back. Each DMA goes through one of the two; when this returns, none goes through the owner's. What
    /// the owner attaches meanwhile is in force when the group is taken back, and when he detaches the group the lending has ended, too.
    /// </summary>
    /// <param name="domain">The domain; whoever lends the group keeps it until the lending has ended.</param>
    /// <returns>Dispose it to take the group back.</returns>
    /// <exception cref="VfioException">
    /// EBUSY: lent already; ENODEV: the owner has attached no domain, so there is nothing to come back to; EDEADLK: the calling thread is inside a
    /// scope of the domain in force. Nothing has changed.
    /// </exception>
    public GroupLending Lend(IommuDomain domain)
    {
        ArgumentNullException.ThrowIfNull(domain);
        string what = $"lending {this}";
        lock (_switching)
        {
            if (_lending is not null)
            {
                throw new VfioException(Errno.EBUSY, what, "it is lent already; take it back first");
            }

            if (_attached is null)
            {
                throw new VfioException(Errno.ENODEV, what, "its owner has attached no domain");
            }

            try
            {
                Switch(domain);
            }
            catch (VfioException)
            {
                // Some domains refuse only when the group has left the old one.
                Switch(_attached);
                throw;
            }

            var lending = new GroupLending(this, domain);
            Volatile.Write(ref _lending, lending);
            return lending;
        }
    }

    /// <summary>Ends a lending that is still in force.</summary>
    /// <returns>Whether it was in force.</returns>
    internal bool TakeBack(GroupLending lending)
    {
        lock (_switching)
        {
            if (_lending != lending)
            {
                return false;
            }

            Switch(_attached);
            Volatile.Write(ref _lending, null);
            return true;
        }
    }

    internal bool IsLentBy(GroupLending lending) => Volatile.Read(ref _lending) == lending;

    /// <summary>The owner attaches a domain, or blocks the group.</summary>
    private void SwitchOwn(IommuDomain? domain)
    {
        lock (_switching)
        {
            if (domain is not null && _lending is not null)
            {
                _attached = domain;
                return;
            }

            try
            {
                Switch(domain);
            }
            finally
            {
                // Also after a failure: of some domains it leaves the group blocked.
                _attached = _lending is null || _domain is null ? _domain : _attached;
            }

            Volatile.Write(ref _lending, null);
        }
    }
}
