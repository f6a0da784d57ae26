using System.Buffers.Binary;
using System.Collections.Concurrent;
using Penstock.Interop;
using Penstock.Pci;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Devices.Tests;

/// <summary>An EDU device behind the files that a user holds, with memory behind a type1 container.</summary>
internal sealed class EduSlot : IDisposable
{
    internal const ulong MemorySize = 1 << 20;
    private const string Address = "0000:01:00.0";
    private const uint Bar = VfioRegions.Bar0;
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    private readonly VfioHost _host = new();
    private readonly VfioPciCoreDevice _device;
    private readonly VfioGroup _group;
    private readonly List<UserMemory> _memories = [];

    internal EduSlot(EduOptions? options = null)
    {
        Edu = new EduFunction(options);
        Edu.Notice += Notices.Add;
        var group = _host.AddIommuUnit("unit").CreateGroup();
        _device = new VfioPciCoreDevice(Address, Edu, group, Log.Enqueue);
        _host.Register(_device, group);
        Container = _host.OpenContainer(Caller.Current);
        _group = _host.OpenGroup(group.Number, Caller.Current);
        _group.SetContainer(Container);
        Container.SetIommu(VfioIommuType.Type1V2);
        File = _group.OpenDevice(Address);
        SetCommand(PciCommand.Memory | PciCommand.BusMaster);
    }

    internal EduFunction Edu { get; }

    internal VfioContainer Container { get; }

    internal VfioDeviceFile File { get; }

    internal BlockingCollection<string> Notices { get; } = [];

    /// <summary>What the core said; a model that throws would be told here.</summary>
    internal ConcurrentQueue<string> Log { get; } = new();

    internal MemoryFile Memory { get; } = MemoryFile.Create("guest", MemorySize);

    public void Dispose()
    {
        File.Dispose();
        _group.Dispose();
        Container.Dispose();
        _device.Dispose();
        _memories.ForEach(m => m.Release());
        Memory.Dispose();
        _host.Dispose();
        Assert.Equal("nothing", _host.Ledger.ToString());
        Assert.Empty(Log);
    }

    internal void SetCommand(PciCommand command)
    {
        Span<byte> bytes = stackalloc byte[2];
        BinaryPrimitives.WriteUInt16LittleEndian(bytes, (ushort)command);
        Assert.Equal(Errno.None, File.Write(VfioRegions.Config, (ulong)PciConfigOffsets.Command, bytes, out _));
    }

    /// <summary>Maps the memory at an I/O address.</summary>
    internal void Map(ulong iova, DmaAccess access = DmaAccess.ReadWrite, ulong size = MemorySize) =>
        Map(iova, access, MappedMemory.Create(_host.Mappings, Memory.Descriptor, 0, size), size);

    internal void Map(ulong iova, DmaAccess access, UserMemory memory, ulong size)
    {
        _memories.Add(memory);
        Container.MapDma(iova, size, access, memory, 0);
    }

    internal byte[] GuestMemory(int offset, int count)
    {
        byte[] bytes = new byte[count];
        Assert.Equal(Errno.None, DescriptorIO.ReadAt(Memory.Descriptor.Value, (ulong)offset, bytes, out _));
        return bytes;
    }

    internal void SetGuestMemory(int offset, ReadOnlySpan<byte> bytes) =>
        Assert.Equal(Errno.None, DescriptorIO.WriteAt(Memory.Descriptor.Value, (ulong)offset, bytes, out _));

    internal uint Read32(ulong offset) => BinaryPrimitives.ReadUInt32LittleEndian(Read(offset, sizeof(uint)));

    internal ulong Read64(ulong offset) => BinaryPrimitives.ReadUInt64LittleEndian(Read(offset, sizeof(ulong)));

    internal byte[] Read(ulong offset, int width)
    {
        byte[] data = new byte[width];
        Assert.Equal(Errno.None, File.Read(Bar, offset, data, out int transferred));
        Assert.Equal(width, transferred);
        return data;
    }

    internal void Write32(ulong offset, uint value)
    {
        byte[] data = new byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32LittleEndian(data, value);
        Write(offset, data);
    }

    internal void Write64(ulong offset, ulong value)
    {
        byte[] data = new byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(data, value);
        Write(offset, data);
    }

    internal void Write(ulong offset, byte[] data)
    {
        Assert.Equal(Errno.None, File.Write(Bar, offset, data, out int transferred));
        Assert.Equal(data.Length, transferred);
    }

    /// <summary>Programs a transfer, starts it and waits as a driver does.</summary>
    internal void Transfer(ulong source, ulong destination, ulong count, ulong command)
    {
        StartTransfer(source, destination, count, command);
        WaitForTransfer();
    }

    internal void StartTransfer(ulong source, ulong destination, ulong count, ulong command)
    {
        Write64(0x80, source);
        Write64(0x88, destination);
        Write64(0x90, count);
        Write64(0x98, command | 1);
    }

    internal void WaitForTransfer() => Assert.True(SpinWait.SpinUntil(() => (Read32(0x98) & 1) == 0, s_patience), "the transfer does not end");

    internal void WaitForFactorial() => Assert.True(SpinWait.SpinUntil(() => (Read32(0x20) & 1) == 0, s_patience), "the factorial does not end");

    internal string TakeNotice()
    {
        Assert.True(Notices.TryTake(out string? text, s_patience), "no notice came");
        return text;
    }

    internal void Arm(int index, EventDescriptor trigger)
    {
        var events = new EventDescriptor?[] { trigger };
        File.SetIrqs(new VfioIrqRequest
        {
            Index = (uint)index,
            Count = 1,
            Flags = VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger,
            Events = events,
        });
    }

    internal void Act(int index, VfioIrqSetFlags action, uint count = 1) =>
        File.SetIrqs(new VfioIrqRequest { Index = (uint)index, Count = count, Flags = VfioIrqSetFlags.DataNone | action });
}
