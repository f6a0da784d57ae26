namespace Penstock.Vfio.Tests.RejectedDesigns;

/// <summary>
/// The group notifier (VFIO_GROUP_NOTIFY_SET_KVM): callbacks that are called with the machine when it is set on a group, replayed at registration, and with
/// null when it goes. Each driver keeps what it was told and must register and unregister by itself; nobody holds a reference.
/// </summary>
internal sealed class GroupNotifier
{
    private readonly List<Action<IHypervisor?>> _handlers = [];
    private IHypervisor? _machine;

    public int Handlers => _handlers.Count;

    public void Set(IHypervisor? machine)
    {
        _machine = machine;
        _handlers.ForEach(h => h(machine));
    }

    public void Register(Action<IHypervisor?> handler)
    {
        _handlers.Add(handler);
        if (_machine is not null)
        {
            handler(_machine);
        }
    }

    public void Unregister(Action<IHypervisor?> handler) => _handlers.Remove(handler);
}
