using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Pci;
using Penstock.Pci.Tests;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.S390.Tests.Functions;

/// <summary>A zPCI device for a user-space driver: everything works, and nothing of a hypervisor is there.</summary>
public sealed class ZpciWithoutMachineTests : IDisposable
{
    private const string Name = "0000:01:00.0";
    private const ulong Iova = 0x10000;

    private readonly VfioHost _host = new();
    private readonly ProcessMemory _bar;
    private readonly FakeFunction _function;
    private readonly ZpciFunction _zpci = new(0x17, 3)
    {
        Base = new ZpciBaseInfo { EndDma = 0xffff_ffff, FunctionType = 2, GroupId = 0x10 },
        Group = new ZpciGroupInfo { MsiAddress = 0xfe00_0000, Interrupts = 64, MaximumStore = 128 },
        Util = new byte[64],
    };

    private readonly ZpciVfioPciDevice _device;
    private readonly VfioContainer _container;
    private readonly VfioGroup _group;
    private readonly VfioDeviceFile _file;

    public ZpciWithoutMachineTests()
    {
        _bar = ProcessMemory.Allocate(0x4000, _host.Ledger);
        _function = new FakeFunction
        {
            Description = new PciFunctionDescription
            {
                VendorId = 0x1b36,
                DeviceId = 0x0010,
                ClassCode = 0x010802,
                Bars = [new PciBar(0, PciBarKind.Memory64, 0x4000) { Memory = _bar }],
                Capabilities = static () => [new MsixCapability(4, 0, 0x2000, 0, 0x3000)],
            },
        };
        IommuGroup group = _host.AddIommuUnit("unit").CreateGroup();
        _device = new ZpciVfioPciDevice(Name, _function, group, _zpci);
        _host.Register(_device, group);
        _container = _host.OpenContainer(Caller.Current);
        _group = _host.OpenGroup(group.Number, Caller.Current);
        _group.SetContainer(_container);
        _container.SetIommu(VfioIommuType.Type1V2);
        _file = _group.OpenDevice(Name);
    }

    public void Dispose()
    {
        _file.Dispose();
        _group.Dispose();
        _container.Dispose();
        _device.Dispose();
        _bar.Release();
        _host.Dispose();
        Assert.Equal("nothing", _host.Ledger.ToString());
    }

    [Fact]
    [Trait("Row", "S0-13")]
    public void User_WithoutAMachine_HasFullUseOfTheDevice()
    {
        uint handle = _zpci.Handle;
        _file.Write(VfioRegions.Config, PciConfigOffsets.Command, [(byte)(PciCommand.Memory | PciCommand.BusMaster), 0], out _);

        // BAR: by access, and mapped.
        byte[] word = [1, 2, 3, 4];
        using VfioRegionMapping mapping = _file.Map(VfioRegions.Bar0, 0, 0x1000);
        Assert.Equal(Errno.None, mapping.Write(0x10, word));
        byte[] back = new byte[4];
        Assert.Equal(Errno.None, mapping.Read(0x10, back));
        Assert.Equal(word, back);
        Assert.Equal(Errno.None, _file.Read(VfioRegions.Bar0, 0x10, back, out int read));
        Assert.Equal(4, read);

        // DMA.
        ProcessMemory memory = ProcessMemory.Allocate(0x1000, _host.Ledger);
        _container.MapDma(Iova, 0x1000, DmaAccess.ReadWrite, memory, 0);
        Assert.Equal(Errno.None, _function.Port.Dma.Write(Iova + 8, word));
        Assert.Equal(word, memory.Span(8, 4).ToArray());
        memory.Release();

        // MSI-X by eventfd.
        using var vector = EventDescriptor.Create();
        _file.SetIrqs(new VfioIrqRequest
        {
            Flags = VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger,
            Index = VfioIrqs.Msix,
            Count = 1,
            Events = new[] { vector },
        });
        _function.Port.SignalVector(0);
        Assert.Equal(1ul, vector.Count());

        // What there is to know is told, and nothing of a hypervisor was made.
        Assert.Equal(
            [(ZpciInfoCapability.Base, 3), (ZpciInfoCapability.Group, 2), (ZpciInfoCapability.Util, 1), (ZpciInfoCapability.Pfip, 1)],
            Capabilities().Select(static c => (c.Id, (int)c.Version)));
        Assert.False(_device.IsRegistered);
        Assert.Null(_device.Hypervisor);
        Assert.False(_host.Slot<IZpciVmHook>().IsInstalled);
        Assert.Equal((handle, 0u), (_zpci.Handle, _zpci.Designation));
        Assert.Equal(0, _host.IrqBypass.Consumers);
    }

    [Fact]
    public void GetInfo_Capabilities_HaveTheFunctionsValues()
    {
        (ushort Id, ushort Version, byte[] Payload)[] all = [.. Capabilities()];
        ZpciBaseInfo basis = MemoryMarshal.Read<ZpciBaseInfo>(all[0].Payload);
        Assert.Equal((0xffff_fffful, _zpci.Handle, 32u), (basis.EndDma, basis.Handle, basis.ErrorLength));
        ZpciGroupInfo group = MemoryMarshal.Read<ZpciGroupInfo>(all[1].Payload);
        Assert.Equal((0xfe00_0000ul, ZpciGroupInfo.Refresh, (byte)0), (group.MsiAddress, group.Flags, group.Reserved));
        Assert.Equal(64u, BitConverter.ToUInt32(all[2].Payload));
        Assert.Equal(4u, BitConverter.ToUInt32(all[3].Payload));
    }

    [Fact]
    public void GetInfo_TooShortForCapabilities_SaysHowMuchIsNeeded()
    {
        byte[] bytes = new byte[VfioDeviceGetInfo.Length];
        bytes[0] = (byte)bytes.Length;
        Assert.Equal(0, _file.Ioctl((uint)VfioDeviceRequest.GetInfo, bytes));
        VfioDeviceGetInfo answer = MemoryMarshal.Read<VfioDeviceGetInfo>(bytes);
        Assert.Equal(0u, answer.CapabilityOffset);
        Assert.True(answer.Flags.HasFlag(VfioDeviceFlags.Caps));
        Assert.True(answer.ArgumentSize > bytes.Length);
        Assert.Equal(VfioDeviceGetInfo.Length + 40 + 48 + 80 + 16, (int)answer.ArgumentSize);
    }

    /// <summary>The chain behind the kernel's structure.</summary>
    private List<(ushort Id, ushort Version, byte[] Payload)> Capabilities()
    {
        byte[] bytes = new byte[512];
        BitConverter.TryWriteBytes(bytes, bytes.Length);
        Assert.Equal(0, _file.Ioctl((uint)VfioDeviceRequest.GetInfo, bytes));
        VfioDeviceGetInfo answer = MemoryMarshal.Read<VfioDeviceGetInfo>(bytes);
        Assert.Equal(512u, answer.ArgumentSize);
        var found = new List<(ushort, ushort, byte[])>();
        for (uint at = answer.CapabilityOffset; at != 0;)
        {
            VfioInfoCapHeader header = MemoryMarshal.Read<VfioInfoCapHeader>(bytes.AsSpan((int)at));
            found.Add((header.Id, header.Version, bytes[(int)(at + VfioInfoCapHeader.Length)..]));
            at = header.Next;
        }

        return found;
    }
}
