using Penstock.Hypervisor.Tests.S390.Model;
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

    private readonly FallbackRig _rig = new(new DmaAperture(0, ulong.MaxValue), ZpciDesignationType.RegionFirst);

    public void Dispose() => _rig.Dispose();

    [Fact]
    public void Refresh_OfAllAddressesThereAre_IsNotEmpty_AndOfTheLastPage_HasAnEnd()
    {
        using Fallback mode = _rig.Register();
        _rig.Tables.Map(0x1_0000_0000, 0x5000, 1);
        _rig.Tables.Map(LastPage - Page, 0x6000, 1);
        _rig.Tables.Map(LastPage, 0x7000, 1);
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(0, ulong.MaxValue));
        Assert.Equal(3, mode.MappedPages);

        // The other page of its segment stays.
        _rig.Tables.Unmap(LastPage, 1);
        _rig.Notifier.Take();
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(LastPage, Page - 1));
        Assert.Equal(["U fffffffffffff000 1000"], _rig.Notifier.Take());
        Assert.Equal(2, mode.MappedPages);
    }

    [Fact]
    public void Refresh_NothingAnywhere_AllIsUnmapped()
    {
        using Fallback mode = _rig.Register();
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(0, ulong.MaxValue));
        Assert.Equal(["U 0 8000000000000000", "U 8000000000000000 8000000000000000"], _rig.Notifier.Take());
    }

    /// <summary>2^64 is no length that a message could have.</summary>
    [Fact]
    public void Deregister_OfAllAddressesThereAre_UnmapsBothHalves()
    {
        using Fallback mode = _rig.Register();
        mode.Deregister();
        Assert.Equal(["U 0 8000000000000000", "U 8000000000000000 8000000000000000"], _rig.Notifier.Take());
    }
}
