using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.RejectedDesigns;

/// <summary>
/// Links of a hypervisor to containers without a way to end one, as was once proposed for POWER: each time a link is made, those whose containers
/// have lost their backend are dropped. A link holds guest memory, as one to a TCE table does.
/// </summary>
internal sealed class LazySweep
{
    private readonly List<(VfioContainer Container, PinnedGuestMemory Held)> _links = [];

    public int Links => _links.Count;

    public void Set(VfioContainer container, PinnedGuestMemory held)
    {
        foreach ((VfioContainer stale, PinnedGuestMemory memory) in _links.FindAll(static l => !l.Container.HasBackend))
        {
            _links.RemoveAll(l => l.Container == stale);
            memory.Dispose();
        }

        _links.Add((container, held));
    }
}
