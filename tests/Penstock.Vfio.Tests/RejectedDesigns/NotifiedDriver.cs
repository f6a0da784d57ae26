namespace Penstock.Vfio.Tests.RejectedDesigns;

/// <summary>A driver as they were with the notifier VFIO_GROUP_NOTIFY_SET_KVM: it keeps the machine that it was told of last.</summary>
internal sealed class NotifiedDriver
{
    private readonly GroupNotifier _notifier;
    private readonly Action<IHypervisor?> _handler;

    /// <summary>Makes a device's open and close follow the notifier.</summary>
    public NotifiedDriver(FakeDevice device, GroupNotifier notifier, bool handlesNull = true, bool unregisters = true)
    {
        _notifier = notifier;
        _handler = machine =>
        {
            Notifications++;
            if (machine is not null || handlesNull)
            {
                Machine = machine as FakeMachine;
            }
        };
        device.OnOpen = () => _notifier.Register(_handler);
        device.OnClose = () =>
        {
            Machine = null;
            if (unregisters)
            {
                _notifier.Unregister(_handler);
            }
        };
    }

    public FakeMachine? Machine { get; private set; }

    public int Notifications { get; private set; }
}
