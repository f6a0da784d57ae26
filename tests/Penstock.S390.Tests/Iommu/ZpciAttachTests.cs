using Penstock.Interop;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.S390.Tests.Iommu;

public sealed class ZpciAttachTests
{
    private const ulong Page = DomainRig.Page;
    private const ulong Start = DomainRig.Start;

    [Fact]
    public void Attach_Function_IsRegisteredWithItsWindowAndTheTables()
    {
        using var rig = new DomainRig();
        Assert.Equal((Start, 0x1ff_ffff_fffful, rig.Domain.Iota), Assert.Single(rig.Function.Registrations));
        Assert.Same(rig.Domain, rig.Group.Domain);
        rig.Group.Detach();
        Assert.Null(rig.Function.Iota);
        Assert.Empty(rig.Domain.Functions);
    }

    [Fact]
    public void Attach_AnotherDomain_BlockedInBetween()
    {
        using var rig = new DomainRig();
        using ZpciDomain other = rig.Iommu.CreateDomain();
        rig.Group.Attach(other);

        // The fake asserts that nothing is registered when it is registered.
        Assert.Equal(other.Iota, rig.Function.Iota);
        Assert.Equal(1, rig.Function.Deregistrations);
        Assert.Empty(rig.Domain.Functions);
        Assert.Same(rig.Function, Assert.Single(other.Functions));
        rig.Group.Detach();
    }

    [Theory]
    [InlineData(ZpciConditionCode.Error, ZpciStatus.ErrorRecovery, true)]
    [InlineData(ZpciConditionCode.InvalidHandle, ZpciStatus.None, true)]
    [InlineData(ZpciConditionCode.Error, ZpciStatus.InsufficientResources, false)]
    [InlineData(ZpciConditionCode.Error, ZpciStatus.SequenceError, false)]
    [InlineData(ZpciConditionCode.Busy, ZpciStatus.None, false)]
    public void Attach_FirmwareAnswers_SuccessOrEIOAndBlocked(ZpciConditionCode condition, ZpciStatus status, bool succeeds)
    {
        using var rig = new DomainRig();
        using ZpciDomain other = rig.Iommu.CreateDomain();
        rig.Function.RegisterAnswer = new ZpciAnswer(condition, status);
        Assert.Equal(succeeds ? Errno.None : Errno.EIO, ErrnoOf(() => rig.Group.Attach(other)));
        Assert.Same(succeeds ? other : null, rig.Group.Domain);
        Assert.Equal(succeeds ? 1 : 0, other.Functions.Count);
        rig.Group.Detach();
    }

    [Fact]
    public void Attach_WindowOutsideOfTheTables_EINVALAndNothingChanges()
    {
        using var rig = new DomainRig();
        using var far = new ZpciDomain(new ZpciDomainSetup { FunctionsOf = _ => [new FakeHostFunction(first: 1ul << 43, last: 1ul << 44)] });
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => rig.Group.Attach(far)));
        Assert.Same(rig.Domain, rig.Group.Domain);
        Assert.Equal(rig.Domain.Iota, rig.Function.Iota);
    }

    [Fact]
    public void Attach_InternalSharedMemory_WindowIsRegisteredAPageTooLong()
    {
        using var rig = new DomainRig(new FakeHostFunction { IsInternalSharedMemory = true });
        Assert.Equal(0x200_0000_0ffful, Assert.Single(rig.Function.Registrations).Last);
    }

    [Fact]
    public void Attach_InternalSharedMemoryUpToTheLastAddress_WindowDoesNotWrapAround()
    {
        using var rig = new DomainRig();
        var function = new FakeHostFunction(last: ulong.MaxValue) { IsInternalSharedMemory = true };
        using var domain = new ZpciDomain(new ZpciDomainSetup { Type = ZpciDesignationType.RegionFirst, FunctionsOf = _ => [function] });
        rig.Group.Attach(domain);
        Assert.Equal(ulong.MaxValue, Assert.Single(function.Registrations).Last);
        rig.Group.Detach();
    }

    [Theory]
    [InlineData(0x1_0000_0000ul, ulong.MaxValue, 0ul, ZpciDesignationType.RegionThird, 0x3ff_ffff_fffful)]
    [InlineData(0x1_0000_0000ul, ulong.MaxValue, 0x4000_0000ul, ZpciDesignationType.RegionThird, 0x1_3fff_fffful)]
    [InlineData(0x1_0000_0000ul, 0x1_0fff_fffful, 0x4000_0000ul, ZpciDesignationType.RegionThird, 0x1_0fff_fffful)]
    public void AddFunction_WantedAperture_IsTheEndThatUsersAreTold(ulong first, ulong last, ulong memory, ZpciDesignationType type, ulong end)
    {
        using var host = new VfioHost();
        var function = new ZpciFunction(1, 1) { Base = new ZpciBaseInfo { StartDma = first, EndDma = last } };
        var iommu = new ZpciIommu(host, "zpci", new ZpciIommuOptions { HostMemory = memory, ApertureFactor = memory == 0 ? 0ul : 1, Type = type });
        IommuGroup group = iommu.AddFunction(new ZpciHostFunction(function));
        Assert.Equal(end, function.Base.EndDma);
        IovaRange[] both = [new IovaRange(0, first - 1), new IovaRange(end + 1, iommu.Aperture.Last)];
        Assert.Equal(end == iommu.Aperture.Last ? both[..1] : both, group.Reserved);
        Assert.Equal([new IovaRange(0, first - 1)], iommu.ReservedFor(iommu.FunctionOf(group)!, translates: false));
    }

    [Theory]
    [InlineData(1ul << 40, true, true, ZpciDesignationType.RegionThird, 1ul << 40)]
    [InlineData(1ul << 42, true, true, ZpciDesignationType.RegionSecond, 1ul << 42)]
    [InlineData(1ul << 42, false, true, ZpciDesignationType.RegionFirst, 1ul << 42)]
    [InlineData(1ul << 42, false, false, ZpciDesignationType.RegionThird, (1ul << 42) - Start)]
    [InlineData(1ul << 53, true, true, ZpciDesignationType.RegionFirst, 1ul << 53)]
    [InlineData(1ul << 53, true, false, ZpciDesignationType.RegionThird, (1ul << 42) - Start)]
    [InlineData((1ul << 42) - Start, true, true, ZpciDesignationType.RegionThird, (1ul << 42) - Start)]
    public void Choose_WantedSize_FewestLevelsThatReach(ulong wanted, bool second, bool first, ZpciDesignationType type, ulong size)
    {
        ZpciAperture chosen = ZpciAperture.Choose(
            new IovaRange(Start, ulong.MaxValue), wanted, t => t == ZpciDesignationType.RegionSecond ? second : first);
        Assert.Equal(new ZpciAperture(type, new IovaRange(Start, Start + size - 1)), chosen);
    }

    [Fact]
    public void Choose_EverythingUpToTheEnd_RegionFirst()
    {
        ZpciAperture chosen = ZpciAperture.Choose(new IovaRange(1, ulong.MaxValue), 0, static _ => true);
        Assert.Equal(new ZpciAperture(ZpciDesignationType.RegionFirst, new IovaRange(Page, ulong.MaxValue)), chosen);
    }

    [Fact]
    public void Identity_RelaxedTranslation_AddressesAreRealOnes()
    {
        using var host = new VfioHost();
        var iommu = new ZpciIommu(host, "zpci", new ZpciIommuOptions { RelaxedTranslation = true });
        var function = new FakeHostFunction();
        IommuGroup group = iommu.AddFunction(function);
        ProcessMemory memory = ProcessMemory.Allocate(4 * Page);
        using (ZpciIdentityDomain identity = iommu.CreateIdentityDomain(memory))
        {
            group.Attach(identity);
            Assert.Equal(0ul, function.Iota);
            Assert.Equal(Errno.None, identity.Write(Start + Page, [5]));
            Assert.Equal(5, memory.Span(Page, 1)[0]);
            Assert.Equal(Errno.EFAULT, identity.Write(Start - 1, [5]));
            Assert.Equal(Errno.EFAULT, identity.Write(Start + (4 * Page), [5]));
            Assert.Equal(Errno.EINVAL, ErrnoOf(() => identity.Map(Start, Page, DmaAccess.Read, memory, 0)));
            group.Detach();
            Assert.Null(function.Iota);
            Assert.Equal(Errno.EFAULT, identity.Write(Start, [5]));
        }

        memory.Release();
        Assert.Equal("nothing", host.Ledger.ToString());
    }

    [Fact]
    public void Identity_NoRelaxedTranslation_EOPNOTSUPP()
    {
        using var rig = new DomainRig();
        Assert.Equal(Errno.EOPNOTSUPP, ErrnoOf(() => rig.Iommu.CreateIdentityDomain(rig.Memory)));
    }

    [Fact]
    public void RestoreTranslation_FunctionWasEnabledAnew_RegistersAgain()
    {
        using var rig = new DomainRig();
        rig.Function.DeregisterIoat();
        rig.Iommu.RestoreTranslation(rig.Group);
        Assert.Equal(rig.Domain.Iota, rig.Function.Iota);
        Assert.Single(rig.Domain.Functions);
    }
}
