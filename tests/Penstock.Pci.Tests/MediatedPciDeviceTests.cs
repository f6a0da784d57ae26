using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Pci.Tests;

/// <summary>Mediated devices that look like PCI functions, and functions that are parents of such.</summary>
public sealed class MediatedPciDeviceTests : IDisposable
{
    private static readonly Caller User = new(1000, RawIo: false, LockMemory: false, ulong.MaxValue);

    private readonly VfioHost _host = new();
    private readonly SlicingDriver _driver = new();
    private readonly MdevType _type = new("function");

    public void Dispose()
    {
        Assert.Empty(_host.Devices);
        Assert.Equal("nothing", _host.Ledger.ToString());
        _host.Dispose();
    }

    [Fact]
    [Trait("Row", "S1-15")]
    public void RandomAccesses_MediatedAndWholeFunction_AnswerAlike()
    {
        IommuGroup group = _host.AddIommuUnit("unit").CreateGroup();
        using var whole = new VfioPciCoreDevice("0000:00:01.0", TestDevice.FullFunction(), group);
        _host.Register(whole, group);
        MdevParent parent = _host.RegisterMdevParent("software", _driver, _type);
        MdevDevice mdev = _type.Create(Guid.NewGuid());
        using (VfioDeviceFile a = Open(whole))
        using (VfioDeviceFile b = Open(mdev.Device!))
        {
            Compare(a, b);
        }

        parent.Unregister();
        _host.Unregister(whole);
    }

    [Fact]
    [Trait("Row", "S1-15")]
    public void Interrupts_OfAMediatedDevice_AreThoseOfAnyFunction()
    {
        MdevParent parent = _host.RegisterMdevParent("software", _driver, _type);
        MdevDevice mdev = _type.Create(Guid.NewGuid());
        using (VfioDeviceFile file = Open(mdev.Device!))
        using (EventDescriptor msi = EventDescriptor.Create())
        {
            Assert.Equal(8u, file.GetIrqInfo(VfioIrqs.Msi).Count);
            Write(file, VfioRegions.Config, 4, [6, 0]);
            file.SetIrqs(new VfioIrqRequest
            {
                Flags = VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger,
                Index = VfioIrqs.Msi,
                Count = 1,
                Events = new EventDescriptor?[] { msi },
            });
            _driver.Functions[mdev].Port.SignalVector(0);
            Assert.True(msi.TryDrain(out ulong signals));
            Assert.Equal(1ul, signals);
        }

        parent.Unregister();
    }

    [Fact]
    public void Dma_OfAMediatedDevice_GoesThroughItsContainer()
    {
        MdevParent parent = _host.RegisterMdevParent("software", _driver, _type);
        MdevDevice mdev = _type.Create(Guid.NewGuid());
        DmaPort dma = _driver.Functions[mdev].Port.Dma;
        byte[] back = new byte[3];
        using (VfioContainer container = _host.OpenContainer(User))
        using (VfioGroup group = _host.OpenGroup(mdev.Device!.Group!.Number, User))
        {
            group.SetContainer(container);
            container.SetIommu(VfioIommuType.Type1V2);
            ProcessMemory memory = ProcessMemory.Allocate(0x1000, _host.Ledger);
            container.MapDma(0x8000, 0x1000, DmaAccess.ReadWrite, memory, 0);
            memory.Release();
            using VfioDeviceFile file = group.OpenDevice(mdev.Name);
            Assert.Equal(Errno.EACCES, dma.Write(0x8ffd, [1, 2, 3]));
            Write(file, VfioRegions.Config, 4, [6, 0]);
            Assert.Equal(Errno.None, dma.Write(0x8ffd, [1, 2, 3]));
            Assert.Equal(Errno.None, dma.Read(0x8ffd, back));
            Assert.Equal([1, 2, 3], back);
            Assert.Equal(Errno.EFAULT, dma.Read(0x9000, back));
        }

        parent.Unregister();
    }

    [Fact]
    [Trait("Row", "S1-16")]
    public void WholeFunction_Alone_LivesAndDiesWithoutMediatedDevices()
    {
        IommuGroup group = _host.AddIommuUnit("unit").CreateGroup();
        using var card = new VfioPciCoreDevice("0000:00:01.0", TestDevice.FullFunction(), group);
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _host.RegisterEmulated(card)));
        Assert.DoesNotContain(_host.Groups, g => g.IsEmulated);
        _host.Register(card, group);
        using (VfioDeviceFile file = Open(card))
        {
            Assert.Equal(0x1b36, ReadId(file));
        }

        Assert.Empty(_host.MdevParents);
        _host.Unregister(card);
    }

    [Fact]
    [Trait("Row", "S1-16")]
    public void MediatedDevice_Alone_LivesAndDiesWithoutAWholeFunction()
    {
        MdevParent parent = _host.RegisterMdevParent("software", _driver, _type);
        MdevDevice mdev = _type.Create(Guid.NewGuid());
        VfioDevice device = mdev.Device!;
        Assert.Empty(_host.Units);
        Assert.Null(parent.Device);
        using (VfioDeviceFile file = Open(device))
        {
            Assert.Equal(0x1b36, ReadId(file));
        }

        mdev.Remove();
        IommuGroup real = _host.AddIommuUnit("unit").CreateGroup();
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _host.Register(device, real)));
        parent.Unregister();
    }

    [Fact]
    [Trait("Row", "S1-16")]
    public void WholeFunction_AsParent_IsNotForUsersUntilItIsNoneAnyMore()
    {
        IommuGroup group = _host.AddIommuUnit("unit").CreateGroup();
        using var card = new VfioPciCoreDevice("0000:00:01.0", TestDevice.FullFunction(), group);
        _host.Register(card, group);
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => _host.RegisterMdevParent(card, _driver, _type)));
        _host.Unregister(card);

        MdevParent parent = _host.RegisterMdevParent(card, _driver, _type);
        Assert.Equal((card.Name, card), (parent.Name, parent.Device));
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => _host.Register(card, group)));
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => _host.RegisterMdevParent(card, _driver, new MdevType("other"))));
        MdevDevice mdev = _type.Create(Guid.NewGuid());
        using (VfioDeviceFile file = Open(mdev.Device!))
        {
            Assert.Equal(0x1b36, ReadId(file));
        }

        parent.Unregister();
        _host.Register(card, group);
        _host.Unregister(card);
    }

    private static int ReadId(VfioDeviceFile file)
    {
        byte[] id = new byte[2];
        Assert.Equal(Errno.None, file.Read(VfioRegions.Config, 0, id, out _));
        return BitConverter.ToUInt16(id);
    }

    private static void Write(VfioDeviceFile file, uint region, ulong offset, byte[] data) =>
        Assert.Equal(Errno.None, file.Write(region, offset, data, out _));

    private static void Compare(VfioDeviceFile a, VfioDeviceFile b)
    {
        Assert.Equal(a.GetInfo(), b.GetInfo());
        for (uint i = 0; i <= VfioRegions.Config; i++)
        {
            Assert.Equal(a.GetRegionInfo(i), b.GetRegionInfo(i));
        }

        for (uint i = 0; i < VfioIrqs.Count; i++)
        {
            Assert.Equal(a.GetIrqInfo(i), b.GetIrqInfo(i));
        }

        var random = new Random(7);
        uint[] regions = [VfioRegions.Config, VfioRegions.Config, VfioRegions.Bar0, VfioRegions.Bar0 + 2, VfioRegions.Bar0 + 4, VfioRegions.Rom];
        for (int step = 0; step < 20_000; step++)
        {
            uint region = regions[random.Next(regions.Length)];
            ulong offset = (ulong)random.Next(region == VfioRegions.Config ? 0x140 : 0x60);
            byte[] left = new byte[random.Next(1, 9)];
            random.NextBytes(left);
            byte[] right = [.. left];
            Errno first;
            Errno second;
            int done;
            int alsoDone;
            if (random.Next(2) == 0)
            {
                first = a.Read(region, offset, left, out done);
                second = b.Read(region, offset, right, out alsoDone);
            }
            else
            {
                first = a.Write(region, offset, left, out done);
                second = b.Write(region, offset, right, out alsoDone);
            }

            Assert.Equal((step, first, done), (step, second, alsoDone));
            Assert.Equal(left, right);
        }
    }

    private VfioDeviceFile Open(VfioDevice device)
    {
        using VfioContainer container = _host.OpenContainer(User);
        using VfioGroup group = _host.OpenGroup(device.Group!.Number, User);
        group.SetContainer(container);
        container.SetIommu(VfioIommuType.Type1V2);
        return group.OpenDevice(device.Name);
    }

    private sealed class SlicingDriver : MdevDriver
    {
        public Dictionary<MdevDevice, FakeFunction> Functions { get; } = [];

        public override string Name => "slices";

        public override string DeviceApi => MdevDeviceApi.Pci;

        public override int MaxInstances => 2;

        protected override VfioDevice Probe(MdevDevice mdev)
        {
            Functions[mdev] = TestDevice.FullFunction();
            return new MediatedPciDevice(mdev, Functions[mdev]);
        }

        protected override void Remove(MdevDevice mdev, VfioDevice device) => ((MediatedPciDevice)device).Dispose();
    }
}
