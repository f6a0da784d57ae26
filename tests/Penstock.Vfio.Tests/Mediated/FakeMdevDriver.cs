using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests.Mediated;

/// <summary>Makes empty devices, counts them, and can be told to fail.</summary>
internal sealed class FakeMdevDriver(int maxInstances) : MdevDriver
{
    private int _probes;
    private int _removes;
    private int _opens;
    private int _closes;

    public Errno ProbeError { get; set; }

    public Action? OnProbe { get; set; }

    public int? OwnCount { get; init; }

    public string Api { get; init; } = MdevDeviceApi.Pci;

    public int Probes => _probes;

    public int Removes => _removes;

    public int Opens => _opens;

    public int Closes => _closes;

    public override string Name => "fake";

    public override string DeviceApi => Api;

    public override int MaxInstances => maxInstances;

    protected internal override bool CountsInstances => OwnCount is not null;

    protected internal override int GetAvailable(MdevType type) => OwnCount!.Value;

    protected internal override string? Describe(MdevType type) => $"about {type.PrettyName}";

    protected internal override VfioDevice Probe(MdevDevice mdev)
    {
        OnProbe?.Invoke();
        Errno error = ProbeError;
        if (error != Errno.None)
        {
            throw new VfioException(error, "probing", "the test wants it");
        }

        Interlocked.Increment(ref _probes);
        return new EmulatedDevice(mdev.Name);
    }

    protected internal override void Remove(MdevDevice mdev, VfioDevice device)
    {
        var emulated = (EmulatedDevice)device;
        Interlocked.Increment(ref _removes);
        Interlocked.Add(ref _opens, emulated.Opens);
        Interlocked.Add(ref _closes, emulated.Closes);
    }
}
