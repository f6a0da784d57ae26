using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390.Nesting;

public sealed class NegotiatedRefreshTests : IDisposable
{
    private readonly NestingRig _rig = new();

    public void Dispose() => _rig.Dispose();

    [Fact]
    [Trait("Row", "S3-13")]
    public void Preferred_IsChosenBeforeRegistrationAndNotDuringIt()
    {
        using var modes = new NegotiatedRefresh(_rig.Fallback(out TranslatingDomain mapped));
        WalkedRefresh walked = _rig.Walked();
        _rig.Tables.Map(NestingRig.Iova, 8 << 20);
        modes.Preferred = walked;
        Assert.Equal(Errno.None, modes.Register(_rig.Tables.Registration()));
        Assert.Same(walked, modes.Current);
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => modes.Preferred = null));
        Assert.Equal(RpcitAnswer.Done, modes.Refresh(NestingRig.Iova, NestingRig.Page));
        Assert.Null(NestingRig.Seen(mapped, NestingRig.Iova));

        modes.Deregister();
        modes.Preferred = null;
        Assert.Equal(Errno.None, modes.Register(_rig.Tables.Registration()));

        Assert.Equal("fallback", modes.Name);
        Assert.Equal(RpcitAnswer.Done, modes.Refresh(NestingRig.Iova, NestingRig.Page));
        Assert.NotNull(NestingRig.Seen(mapped, NestingRig.Iova));
        Assert.Null(NestingRig.Seen(walked.Domain, NestingRig.Iova));
    }

    [Fact]
    [Trait("Row", "S3-13")]
    public void Register_OfWhatThePreferredModeCannotFollow_IsTheVmms()
    {
        using var modes = new NegotiatedRefresh(_rig.Fallback(out TranslatingDomain _)) { Preferred = _rig.Shadow(out FakeHostTables _) };
        ulong above = _rig.Tables.NewTable();
        _rig.Tables.Write(above, _rig.Tables.Root | ZpciIoTable.TypeRegionSecond | ZpciIoTable.LengthMask);

        Assert.Equal(Errno.None, modes.Register(_rig.Tables.Registration() with { Iota = Iota.Of(above, ZpciDesignationType.RegionSecond) }));

        Assert.Equal("fallback", modes.Current!.Name);
        Assert.Equal(Errno.EBUSY, modes.Register(_rig.Tables.Registration()));
        Assert.Equal(RpcitAnswer.Done, modes.Refresh(NestingRig.Iova, NestingRig.Page));
    }
}
