using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Iommufd;
using Penstock.Specs.Vfio;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390.Nesting;

public sealed class NestingCreationTests : IDisposable
{
    private const ulong Page = NestingRig.Page;
    private const ulong Iova = NestingRig.Iova;
    private const ulong Data = 8ul << 20;

    private readonly NestingRig _rig = new();

    private VfioHost Host => _rig.Rig.Host;

    public void Dispose() => _rig.Dispose();

    [Theory]
    [InlineData(NestingMode.Walked)]
    [InlineData(NestingMode.Shadow)]
    [Trait("Row", "S0-10")]
    [Trait("Row", "S3-5")]
    public void Iommufd_NestedPageTable_FollowsTheGuestAfterInvalidation(NestingMode mode)
    {
        IommuGroup group = Group("cdev", new ZpciNestedTranslation(_ => _rig.Memory));
        using VfioCdevFile file = Host.OpenCdev("cdev", NestingRig.User());
        using IommufdContext context = Host.OpenIommufd(NestingRig.User());
        file.Bind(context);
        Ioas ioas = MapGuest(context);
        HwPagetable parent = context.AllocateHwPagetable(new HwPagetableRequest { DeviceId = file.Binding!.Id, ParentId = ioas.Id, Flags = IommuHwptAllocFlags.NestParent });
        _rig.Tables.Map(Iova, Data);

        var nested = (NestedHwPagetable)context.AllocateHwPagetable(Request(file, parent, mode));
        file.Attach(nested.Id);
        Assert.Equal((1u, Errno.None), Invalidate(nested, Iova, Page));

        var domain = (TranslatingDomain)group.Domain!;
        Assert.True(NestingRig.Seen(domain, Iova)!.Value.Writable);
        _rig.Tables.Unmap(Iova);
        Assert.Equal((1u, Errno.None), Invalidate(nested, Iova, Page));
        Assert.Null(NestingRig.Seen(domain, Iova));
        Assert.Equal((0u, Errno.EINVAL), Invalidate(nested, 0, Page));
        Assert.Equal((0u, Errno.EINVAL), nested.Invalidate(1, ZpciNestedInvalidation.Size, 0, default));
    }

    [Fact]
    [Trait("Row", "S3-9")]
    public void Iommufd_GuestMemoryThatIsUnmappedBelow_IsOutOfTheDevicesReach()
    {
        IommuGroup group = Group("cdev", new ZpciNestedTranslation());
        using VfioCdevFile file = Host.OpenCdev("cdev", NestingRig.User());
        using IommufdContext context = Host.OpenIommufd(NestingRig.User());
        file.Bind(context);
        Ioas ioas = MapGuest(context);
        HwPagetable parent = context.AllocateHwPagetable(new HwPagetableRequest { DeviceId = file.Binding!.Id, ParentId = ioas.Id, Flags = IommuHwptAllocFlags.NestParent });
        _rig.Tables.Map(Iova, NestingTables.SecondAddress);
        file.Attach(context.AllocateHwPagetable(Request(file, parent, NestingMode.Walked)).Id);
        Assert.NotNull(NestingRig.Seen((TranslatingDomain)group.Domain!, Iova));

        ioas.Unmap(NestingTables.SecondAddress, NestingTables.SecondLength);

        Assert.Null(NestingRig.Seen((TranslatingDomain)group.Domain!, Iova));
    }

    [Fact]
    [Trait("Row", "S0-10")]
    public void Iommufd_WhatCannotBeNested_IsRefused()
    {
        Group("cdev", new ZpciNestedTranslation());
        using VfioCdevFile file = Host.OpenCdev("cdev", NestingRig.User());
        using IommufdContext context = Host.OpenIommufd(NestingRig.User());
        file.Bind(context);
        HwPagetable parent = context.AllocateHwPagetable(
            new HwPagetableRequest { DeviceId = file.Binding!.Id, ParentId = MapGuest(context).Id, Flags = IommuHwptAllocFlags.NestParent });

        Assert.Equal(Errno.EOPNOTSUPP, ErrnoOf(() => context.AllocateHwPagetable(Request(file, parent, NestingMode.Shadow))));
        Assert.Equal(Errno.EOPNOTSUPP, ErrnoOf(() => context.AllocateHwPagetable(Request(file, parent, (NestingMode)3))));
        Assert.Equal(Errno.EOPNOTSUPP, ErrnoOf(() => context.AllocateHwPagetable(Request(file, parent, NestingMode.Walked, iota: 0))));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => context.AllocateHwPagetable(Request(file, parent, NestingMode.Walked, first: Iova + 1))));
    }

    [Theory]
    [InlineData(NestingMode.Walked)]
    [InlineData(NestingMode.Shadow)]
    [Trait("Row", "S0-10")]
    [Trait("Row", "S3-5")]
    [Trait("Row", "S3-8")]
    public void Container_OwnedByAMachine_FollowsItsGuestAndRefusesUsers(NestingMode mode)
    {
        var driver = new ZpciKvmDriver(mode);
        Host.AddBackendDriver(driver);
        IommuGroup group = Group("grouped");
        using KvmVfio kvm = _rig.Rig.CreateVfio();
        using VfioGroup file = Host.OpenGroup(group.Number, NestingRig.User());
        kvm.AddFile(file);
        using VfioContainer container = Host.OpenContainer(NestingRig.User());
        file.SetContainer(container);
        container.SetIommu((VfioIommuType)ZpciNesting.KvmOwnedContainer);
        Assert.Null(driver.Find(group));
        Assert.Null(group.Domain);
        using (VfioDeviceFile device = file.OpenDevice("grouped"))
        {
            INestedTranslation translation = driver.Find(group)!;
            Assert.Same(translation.Domain, group.Domain);
            Assert.Equal(Errno.EBUSY, ErrnoOf(() => driver.AttachVm(group, _rig.Rig.Vm)));
            _rig.Tables.Map(Iova, Data);
            Assert.Equal(Errno.None, translation.Register(_rig.Tables.Registration()));
            Assert.Equal(RpcitAnswer.Done, translation.Refresh(Iova, Page));
            Assert.NotNull(NestingRig.Seen(translation.Domain, Iova));

            Assert.Equal(Errno.EBUSY, ErrnoOf(() => container.UnmapDma(Iova, Page)));
            var memory = ProcessMemory.Allocate(Page, Host.Ledger);
            Assert.Equal(Errno.EBUSY, ErrnoOf(() => container.MapDma(Iova, Page, DmaAccess.Read, memory, 0)));
            memory.Release();
            kvm.RemoveFile(file);
        }

        file.UnsetContainer();
        Assert.Null(driver.Find(group));
        Assert.Null(group.Domain);
        Assert.Equal(0, Host.Ledger.Outstanding(ResourceKind.Pin));
    }

    private static (uint Handled, Errno Error) Invalidate(NestedHwPagetable table, ulong start, ulong length)
    {
        var entry = new ZpciNestedInvalidation { Start = start, Length = length };
        return table.Invalidate(ZpciNesting.InvalidateDataType, ZpciNestedInvalidation.Size, 1, MemoryMarshal.AsBytes(new Span<ZpciNestedInvalidation>(ref entry)));
    }

    private HwPagetableRequest Request(VfioCdevFile file, HwPagetable parent, NestingMode mode, ulong? iota = null, ulong first = Iova)
    {
        var table = new ZpciNestedTable
        {
            Iota = iota ?? _rig.Tables.Iota.Value,
            FirstAddress = first,
            LastAddress = Iova + (4ul << 30) - 1,
            Mode = (uint)mode,
        };
        return new HwPagetableRequest
        {
            DeviceId = file.Binding!.Id,
            ParentId = parent.Id,
            DataType = ZpciNesting.HwptDataType,
            Data = MemoryMarshal.AsBytes(new Span<ZpciNestedTable>(ref table)).ToArray(),
        };
    }

    private IommuGroup Group(string name, ZpciNestedTranslation? kind = null)
    {
        IommuGroup group = Host.AddIommuUnit($"unit of {name}", new IommuUnitOptions { NestedTranslations = kind is null ? [] : [kind] }).CreateGroup();
        Host.Register(new FakeDevice(name), group);
        return group;
    }

    private Ioas MapGuest(IommufdContext context)
    {
        Ioas ioas = context.AllocateIoas();
        foreach (GuestMemorySlot slot in _rig.Memory.Slots)
        {
            ioas.Map(slot.Memory, slot.Offset, slot.Length, slot.IsReadOnly ? DmaAccess.Read : DmaAccess.ReadWrite, slot.Address);
        }

        return ioas;
    }
}
