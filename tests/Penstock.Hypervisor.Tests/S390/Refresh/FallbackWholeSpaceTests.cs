using Penstock.Hypervisor.Tests.S390.Model;
using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;
using Penstock.Vfio;
using Fallback = Penstock.Hypervisor.FallbackRefresh<Penstock.S390.TableWalker<Penstock.Hypervisor.GuestTableReader>>;

namespace Penstock.Hypervisor.Tests.S390.Refresh;

/// <summary>An aperture of all addresses there are: behind the last one there is 0, where it begins as well.</summary>
public sealed class FallbackWholeSpaceTests : IDisposable
{
    private const ulong Page = 0x1000;
    private const ulong LastPage = ulong.MaxValue - (Page - 1);

    private readonly HypervisorRig _rig = new();
    private readonly RecordingNotifier _notifier = new();
    private readonly GuestTables _tables;

    public FallbackWholeSpaceTests()
    {
        ProcessMemory memory = ProcessMemory.Allocate(16 << 20, _rig.Host.Ledger);
        _rig.Vm.Memory.Add(new GuestMemorySlot(0, 0, memory.Length, memory));
        memory.Release();
        _tables = GuestMemoryTables.Create(_rig.Vm.Memory, 8 << 20, 8 << 20, ZpciDesignationType.RegionFirst);
    }

    public void Dispose() => _rig.Dispose();

    [Fact]
    public void Refresh_OfAllAddressesThereAre_IsNotEmpty_AndOfTheLastPage_HasAnEnd()
    {
        using Fallback mode = Registered();
        _tables.Map(0x1_0000_0000, 0x5000, 1);
        _tables.Map(LastPage - Page, 0x6000, 1);
        _tables.Map(LastPage, 0x7000, 1);
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(0, ulong.MaxValue));
        Assert.Equal(3, mode.MappedPages);

        // The other page of its segment stays.
        _tables.Unmap(LastPage, 1);
        _notifier.Take();
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(LastPage, Page - 1));
        Assert.Equal(["U fffffffffffff000 1000"], _notifier.Take());
        Assert.Equal(2, mode.MappedPages);
    }

    [Fact]
    public void Refresh_NothingAnywhere_AllIsUnmapped()
    {
        using Fallback mode = Registered();
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(0, ulong.MaxValue));
        Assert.Equal(["U 0 8000000000000000", "U 8000000000000000 8000000000000000"], _notifier.Take());
    }

    /// <summary>2^64 is no length that a message could have.</summary>
    [Fact]
    public void Deregister_OfAllAddressesThereAre_UnmapsBothHalves()
    {
        using Fallback mode = Registered();
        mode.Deregister();
        Assert.Equal(["U 0 8000000000000000", "U 8000000000000000 8000000000000000"], _notifier.Take());
    }

    private Fallback Registered()
    {
        var mode = new Fallback(new TableWalker<GuestTableReader>(new GuestTableReader(_rig.Vm.Memory)), _notifier);
        Assert.Equal(Errno.None, mode.Register(new IoatRegistration(_tables.Iota, new DmaAperture(0, ulong.MaxValue))));
        return mode;
    }
}
