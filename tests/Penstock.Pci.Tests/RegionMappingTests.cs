using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Pci.Tests;

/// <summary>A function with memory behind its BARs, mapped by its users.</summary>
public sealed class RegionMappingTests : IDisposable
{
    private const ulong Page = 4096;
    private const int Whole = 0, Sparse = 2;

    private readonly VfioHost _host = new();
    private readonly ProcessMemory _whole;
    private readonly ProcessMemory _sparse;
    private readonly FakeFunction _function;
    private readonly VfioPciCoreDevice _device;
    private readonly ProcessAddressSpace _addresses = new();
    private readonly VfioContainer _container;
    private readonly VfioGroup _group;
    private readonly VfioDeviceFile _file;

    public RegionMappingTests()
    {
        _whole = ProcessMemory.Allocate(4 * Page, _host.Ledger);
        _sparse = ProcessMemory.Allocate(4 * Page, _host.Ledger);
        _function = new FakeFunction
        {
            Description = new PciFunctionDescription
            {
                VendorId = 0x1b36,
                DeviceId = 0x0010,
                ClassCode = 0x010802,
                Bars =
                [
                    new PciBar(Whole, PciBarKind.Memory64, 4 * Page) { Memory = _whole },
                    new PciBar(Sparse, PciBarKind.Memory32, 4 * Page) { Memory = _sparse, MappableAreas = [new VfioRegionArea(Page, 2 * Page)] },
                    new PciBar(3, PciBarKind.Memory32, Page),
                    new PciBar(4, PciBarKind.Io, 0x20),
                ],
                Capabilities = static () => [new PowerManagementCapability(), new MsixCapability(4, Whole, 0x3000, Whole, 0x3800)],
            },
        };
        IommuGroup group = _host.AddIommuUnit("unit").CreateGroup();
        _device = new VfioPciCoreDevice("0000:01:00.0", _function, group);
        _host.Register(_device, group);
        _container = _host.OpenContainer(Caller.Current with { MemlockLimit = 0, LockMemory = false }, _addresses);
        _group = _host.OpenGroup(group.Number, Caller.Current);
        _group.SetContainer(_container);
        _container.SetIommu(VfioIommuType.Type1V2);
        _file = _group.OpenDevice("0000:01:00.0");
        Memory(true);
    }

    public void Dispose()
    {
        _file.Dispose();
        _group.Dispose();
        _container.Dispose();
        _device.Dispose();
        _whole.Release();
        _sparse.Release();
        _host.Dispose();
        Assert.Equal("nothing", _host.Ledger.ToString());
    }

    [Fact]
    [Trait("Row", "D22")]
    public void Map_EachRegionThatSaysSo_GivesItsWholeSizeOrItsAreas()
    {
        int mapped = 0;
        for (uint i = 0; i < _file.GetInfo().RegionCount; i++)
        {
            if (i == VfioRegions.Vga)
            {
                continue;
            }

            VfioRegionInfo info = _file.GetRegionInfo(i);
            if ((info.Flags & VfioRegionFlags.Mmap) == 0)
            {
                continue;
            }

            foreach (VfioRegionArea area in info.MappableAreas ?? [new VfioRegionArea(0, info.Size)])
            {
                using VfioRegionMapping mapping = _file.Map(i, area.Offset, area.Size);
                Assert.NotEqual(0, mapping.Memory.DirectAddress);
                Assert.Equal(area.Size, mapping.Length);
                Assert.Equal(Errno.None, mapping.Write(area.Size - 1, [0x77]));
                mapped++;
            }
        }

        Assert.Equal(2, mapped);
        Assert.Equal(0x77, _whole.Span((4 * Page) - 1, 1)[0]);
        Assert.Equal(0x77, _sparse.Span((3 * Page) - 1, 1)[0]);
    }

    [Fact]
    [Trait("Row", "D20")]
    public void Map_ThroughTwoFiles_BothFaultWhenTheDeviceRevokes()
    {
        using VfioDeviceFile second = _group.OpenDevice("0000:01:00.0");
        using VfioRegionMapping one = _file.Map(Whole, 0, Page);
        using VfioRegionMapping other = second.Map(Whole, Page, Page);
        Assert.Equal(Errno.None, one.Write(0, [1]));
        Assert.Equal(Errno.None, other.Read(0, new byte[1]));

        Memory(false);
        foreach (VfioRegionMapping mapping in (VfioRegionMapping[])[one, other])
        {
            Assert.True(mapping.IsRevoked);
            Assert.Equal(Errno.EFAULT, mapping.Read(0, new byte[1]));
            Assert.Equal(Errno.EFAULT, mapping.Write(0, [9]));
            using RegionAccess access = mapping.Enter();
            Assert.False(access.IsAlive);
            Assert.True(access.Bytes.IsEmpty);
        }

        // As a page fault would find the page again.
        Memory(true);
        byte[] back = new byte[1];
        Assert.Equal(Errno.None, one.Read(0, back));
        Assert.Equal(1, back[0]);
        Assert.Equal(Errno.None, other.Write(0, [2]));
    }

    [Fact]
    public async Task Revoke_SomebodyInside_WaitsForHim()
    {
        using VfioRegionMapping mapping = _file.Map(Whole, 0, Page);
        using var inside = new ManualResetEventSlim();
        using var leave = new ManualResetEventSlim();
        bool left = false;
        var reader = Task.Run(() =>
        {
            using RegionAccess access = mapping.Enter();
            inside.Set();
            leave.Wait();
            left = access.IsAlive;
        });
        inside.Wait();
        var revoke = Task.Run(() => Memory(false));
        await Task.WhenAny(revoke, Task.Delay(20));
        Assert.False(revoke.IsCompleted);
        leave.Set();
        await revoke;
        Assert.True(left);
        await reader;
    }

    [Fact]
    public void Map_PowerStateResetAndClose_RevokeIt()
    {
        VfioRegionMapping mapping = _file.Map(Whole, 0, Page);
        int power = PowerControl();
        Config(power, 3);
        Assert.Equal(Errno.EFAULT, mapping.Read(0, new byte[1]));
        Config(power, 0);
        Memory(true);
        Assert.Equal(Errno.None, mapping.Read(0, new byte[1]));

        bool workedDuringReset = true;
        _function.OnReset = () => workedDuringReset = mapping.Read(0, new byte[1]) == Errno.None;
        _file.Reset();
        Assert.False(workedDuringReset);
        Assert.Equal(Errno.None, mapping.Read(0, new byte[1]));

        using VfioDeviceFile second = _group.OpenDevice("0000:01:00.0");
        _file.Dispose();
        Assert.Equal(Errno.EFAULT, mapping.Read(0, new byte[1]));
        using VfioRegionMapping other = second.Map(Whole, 0, Page);
        Assert.Equal(Errno.None, other.Read(0, new byte[1]));
        Assert.True(mapping.IsRevoked);
    }

    [Theory]
    [InlineData(Whole, 0, 0)]
    [InlineData(Whole, 1, 4096)]
    [InlineData(Whole, 0, 0x5000)]
    [InlineData(Whole, 0x4000, 0x1000)]
    [InlineData(Whole, 0x3000, 0x2000)]
    [InlineData(Sparse, 0, 0x1000)]
    [InlineData(Sparse, 0x2000, 0x2000)]
    [InlineData(3, 0, 0x1000)]
    [InlineData(4, 0, 0x20)]
    [InlineData(VfioRegions.Rom, 0, 0x1000)]
    [InlineData(VfioRegions.Config, 0, 0x1000)]
    [InlineData(99, 0, 0x1000)]
    public void Map_WhatCannotBeMapped_EINVAL(uint region, ulong offset, ulong length) =>
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _file.Map(region, offset, length)));

    [Fact]
    public void Access_OfMappableMemory_IsTheSameByCallAndByMapping()
    {
        using VfioRegionMapping mapping = _file.Map(Sparse, Page, Page);
        Assert.Equal(Errno.None, _file.Write(Sparse, Page + 8, [1, 2, 3, 4], out _));
        byte[] read = new byte[4];
        Assert.Equal(Errno.None, mapping.Read(8, read));
        Assert.Equal([1, 2, 3, 4], read);
        using (RegionAccess access = mapping.Enter())
        {
            Volatile.Write(ref MemoryMarshal.Cast<byte, uint>(access.Bytes)[2], 0x0a0b0c0d);
        }

        Assert.Equal(Errno.None, _file.Read(Sparse, Page + 8, read, out _));
        Assert.Equal([0x0d, 0x0c, 0x0b, 0x0a], read);

        // Outside of the area the function is asked, and it has other memory.
        _function.Memory(Sparse)[0] = 0x55;
        Assert.Equal(Errno.None, _file.Read(Sparse, 0, read, out _));
        Assert.Equal(0x55, read[0]);
        Assert.Equal(0, _function.Memory(Sparse)[(int)Page + 8]);
    }

    [Fact]
    public void GetRegionInfo_MappableBars_HaveTheirCapabilities()
    {
        Assert.True(_file.GetRegionInfo(Whole).IsMsixMappable);
        Assert.Null(_file.GetRegionInfo(Whole).MappableAreas);
        Assert.False(_file.GetRegionInfo(Sparse).IsMsixMappable);
        Assert.Equal([new VfioRegionArea(Page, 2 * Page)], _file.GetRegionInfo(Sparse).MappableAreas);
    }

    [Theory]
    [Trait("Row", "T46")]
    [InlineData(0, 4)]
    [InlineData(0, 1)]
    [InlineData(3, 1)]
    public void MapDma_MappingOfABar_WorksAndIsNotCharged(ulong firstPage, ulong pages)
    {
        // The caller may lock nothing at all, so that any charge would be refused.
        using VfioRegionMapping mapping = _file.Map(Whole, 0, 4 * Page);
        ulong address = _addresses.Map(mapping) + (firstPage * Page);
        byte[] map = new byte[VfioDmaMap.Length];
        MemoryMarshal.Write(map, new VfioDmaMap
        {
            ArgumentSize = VfioDmaMap.Length,
            Flags = VfioDmaMapFlags.Read | VfioDmaMapFlags.Write,
            UserAddress = address,
            Iova = 0x10_0000,
            MapSize = pages * Page,
        });
        Assert.Equal(0, _container.Ioctl((uint)VfioContainerRequest.MapDma, map));
        _file.Write(VfioRegions.Config, PciConfigOffsets.Command, [(byte)(PciCommand.Memory | PciCommand.BusMaster)], out _);
        Assert.Equal(Errno.None, _function.Port.Dma.Write(0x10_0000 + (pages * Page) - 1, [0x99]));
        Assert.Equal(0x99, _whole.Span(((firstPage + pages) * Page) - 1, 1)[0]);
        Assert.Equal(pages * Page, _container.UnmapDma(0x10_0000, pages * Page));
    }

    private void Memory(bool enabled) =>
        Assert.Equal(Errno.None, _file.Write(VfioRegions.Config, PciConfigOffsets.Command, [(byte)(enabled ? PciCommand.Memory : 0)], out _));

    private void Config(int offset, byte value) => Assert.Equal(Errno.None, _file.Write(VfioRegions.Config, (ulong)offset, [value], out _));

    private int PowerControl()
    {
        byte[] config = new byte[256];
        Assert.Equal(Errno.None, _file.Read(VfioRegions.Config, 0, config, out _));
        int at = config[PciConfigOffsets.CapabilityPointer];
        while (config[at] != (byte)PciCapabilityId.PowerManagement)
        {
            at = config[at + 1];
        }

        return at + 4;
    }
}
