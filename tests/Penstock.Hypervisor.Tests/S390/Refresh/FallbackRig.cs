using Penstock.Hypervisor.Tests.S390.Model;
using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;
using Fallback = Penstock.Hypervisor.FallbackRefresh<Penstock.S390.TableWalker<Penstock.Hypervisor.GuestTableReader>>;

namespace Penstock.Hypervisor.Tests.S390.Refresh;

/// <summary>A guest whose tables cover an aperture, and what refreshes of it tell.</summary>
internal sealed class FallbackRig : IDisposable
{
    private readonly HypervisorRig _rig = new();
    private readonly DmaAperture _aperture;

    public FallbackRig(DmaAperture aperture, ZpciDesignationType type = ZpciDesignationType.RegionThird)
    {
        const ulong Size = 64 << 20;
        _aperture = aperture;
        _rig.AddMemory(Size);
        Tables = GuestMemoryTables.Create(_rig.Vm.Memory, Size / 4, Size / 2, type);
    }

    public RecordingNotifier Notifier { get; } = new();

    public GuestTables Tables { get; }

    /// <summary>A fallback that the tables are registered with; it tells the rig's notifier unless it is given another one.</summary>
    public Fallback Register(DmaBudget? budget = null, FallbackOptions? options = null, RecordingNotifier? notifier = null)
    {
        var walker = new TableWalker<GuestTableReader>(new GuestTableReader(_rig.Vm.Memory));
        var mode = new Fallback(walker, notifier ?? Notifier, budget, options);
        Assert.Equal(Errno.None, mode.Register(new IoatRegistration(Tables.Iota, _aperture)));
        return mode;
    }

    public void Dispose() => _rig.Dispose();
}
