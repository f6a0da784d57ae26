using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <summary>
/// A domain's other half: what the domain maps is mapped at the device's server too, as long as the device is attached to the domain and
/// connected. The domain itself keeps the translation, by which the server's messages are served.
/// </summary>
internal sealed class RemoteDomain(RemoteLink link) : IDomainMirror
{
    private readonly SortedSet<RemoteMapping> _mappings = [];

    /// <summary>The mappings, ascending. With the link's gate held.</summary>
    internal IReadOnlyCollection<RemoteMapping> Mappings => _mappings;

    public void Mapped(ulong iova, ulong size, DmaAccess access, UserMemory memory, ulong memoryOffset)
    {
        var mapping = new RemoteMapping(iova, size, access, memory, memoryOffset);
        lock (link.Gate)
        {
            if (link.Attached == this)
            {
                link.Map(mapping, _mappings.Count);
            }

            _mappings.Add(mapping);
        }
    }

    public void Unmapping(IovaRange range)
    {
        lock (link.Gate)
        {
            foreach (RemoteMapping mapping in _mappings.GetViewBetween(RemoteMapping.At(range.First), RemoteMapping.At(range.Last)).ToArray())
            {
                if (link.Attached == this)
                {
                    link.Unmap(mapping);
                }

                _mappings.Remove(mapping);
            }
        }
    }

    public void Attaching(SoftwareDomain domain) => link.Attach(this, domain);

    public void Detached() => link.Detach(this);
}
