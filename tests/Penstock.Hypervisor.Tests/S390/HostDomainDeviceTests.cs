using System.Buffers.Binary;
using Penstock.Devices;
using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390;

/// <summary>A whole device whose DMA goes through a host's I/O tables, as its user sees it.</summary>
public sealed class HostDomainDeviceTests : IDisposable
{
    private const ulong Page = ZpciIoTable.PageSize;
    private const ulong Iova = 0x10_0000;
    private const ulong Buffer = 0x4_0000;
    private const uint Source = 0x80;
    private const uint Destination = 0x88;
    private const uint Count = 0x90;
    private const uint Command = 0x98;
    private const ulong Start = 1;
    private const ulong ToMemory = 2;
    private const string Name = "0001:00:00.0";

    private readonly VfioHost _host = new();
    private readonly EduFunction _hardware = new(new EduOptions { Delay = TimeSpan.Zero });
    private readonly ZpciHostFunction _firmware;
    private readonly ZpciVfioPciDevice _device;
    private readonly VfioContainer _container;
    private readonly VfioGroup _group;
    private readonly VfioDeviceFile _file;

    public HostDomainDeviceTests()
    {
        // The device has 28 address bits.
        var function = new ZpciFunction(1, 1) { Base = new ZpciBaseInfo { StartDma = Page, EndDma = (1 << 28) - 1 } };
        _firmware = new ZpciHostFunction(function);
        IommuGroup group = new ZpciIommu(_host, "zpci").AddFunction(_firmware);
        _device = new ZpciVfioPciDevice(Name, _hardware, group, function);
        _host.Register(_device, group);
        _container = _host.OpenContainer(Caller.Current);
        _group = _host.OpenGroup(group.Number, Caller.Current);
        _group.SetContainer(_container);
        _container.SetIommu(VfioIommuType.Type1V2);
        _file = _group.OpenDevice(Name);
        _file.Write(VfioRegions.Config, PciConfigOffsets.Command, [(byte)(PciCommand.BusMaster | PciCommand.Memory), 0], out _);
    }

    public void Dispose()
    {
        _file.Dispose();
        _group.Dispose();
        _container.Dispose();
        _host.Unregister(_device);
        _device.Dispose();
        Assert.Equal("nothing", _host.Ledger.ToString());
        _host.Dispose();
    }

    [Fact]
    public void Transfers_ThroughMappedPages_ThereAndBack()
    {
        ProcessMemory memory = ProcessMemory.Allocate(4 * Page, _host.Ledger);
        _container.MapDma(Iova, 2 * Page, DmaAccess.Read, memory, 0);
        _container.MapDma(Iova + (2 * Page), 2 * Page, DmaAccess.ReadWrite, memory, 2 * Page);
        byte[] data = new byte[3000];
        new Random(1).NextBytes(data);
        data.CopyTo(memory.Span(2000, data.Length));

        // Across a page, and back to another place.
        Transfer(Iova + 2000, Buffer, data.Length, Start);
        Transfer(Buffer, Iova + (2 * Page) + 3000, data.Length, Start | ToMemory);
        Assert.Equal(data, memory.Span((2 * Page) + 3000, data.Length).ToArray());
        Assert.Equal(0, _hardware.FailedTransfers);

        // The first two pages cannot be written, and after the unmap nothing can.
        Transfer(Buffer, Iova, 8, Start | ToMemory);
        Assert.Equal(1, _hardware.FailedTransfers);
        Assert.Equal(4 * Page, _container.UnmapDma(Iova, 4 * Page));
        Transfer(Buffer, Iova + (2 * Page), 8, Start | ToMemory);
        Assert.Equal(2, _hardware.FailedTransfers);
        Assert.Equal(1, _firmware.Refreshes);
        memory.Release();
    }

    private void Transfer(ulong from, ulong to, int length, ulong command)
    {
        Write(Source, from);
        Write(Destination, to);
        Write(Count, (ulong)length);
        Write(Command, command);
        Assert.True(SpinWait.SpinUntil(() => (Read(Command) & Start) == 0, HypervisorRig.Patience));
    }

    private void Write(uint register, ulong value)
    {
        Span<byte> bytes = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
        Assert.Equal(Errno.None, _file.Write(VfioRegions.Bar0, register, bytes, out _));
    }

    private ulong Read(uint register)
    {
        Span<byte> bytes = stackalloc byte[sizeof(ulong)];
        Assert.Equal(Errno.None, _file.Read(VfioRegions.Bar0, register, bytes, out _));
        return BinaryPrimitives.ReadUInt64LittleEndian(bytes);
    }
}
