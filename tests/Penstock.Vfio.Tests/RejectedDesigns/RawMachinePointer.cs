namespace Penstock.Vfio.Tests.RejectedDesigns;

/// <summary>
/// What came right after the group notifier: the core copies the machine from the group to the device at its first open, as it
/// is, without a reference.
/// </summary>
internal sealed class RawMachinePointer
{
    public RawMachinePointer(FakeDevice device)
    {
        device.OnOpen = () => OfDevice = OfGroup;
        device.OnClose = () => OfDevice = null;
    }

    public FakeMachine? OfGroup { get; set; }

    public FakeMachine? OfDevice { get; private set; }
}
