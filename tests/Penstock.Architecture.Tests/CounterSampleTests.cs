using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.Samples.Counter;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;
using Penstock.VfioUser;

namespace Penstock.Architecture.Tests;

/// <summary>The sample of the README at work: served on a socket and driven from the other end.</summary>
public sealed class CounterSampleTests : IDisposable
{
    private const ulong Value = 0x00, Add = 0x04, Target = 0x08;
    private const ulong Iova = 0x10000;

    private readonly TemporaryFolder _folder = new();
    private readonly PciFunctionServer _server;
    private readonly VfioUserClient _user;

    public CounterSampleTests()
    {
        _server = PciFunctionServer.Serve(new CounterFunction(), _folder.File("counter.sock"));
        _user = VfioUserClient.Connect(_server.Path, TimeSpan.FromMinutes(1));
    }

    public void Dispose()
    {
        _user.Dispose();
        _server.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public void Add_WithMemoryAndVector_SumIsInMemoryAtTheInterrupt()
    {
        using var memory = MemoryFile.Create("counter", 4096);
        using var vector = EventDescriptor.Create();
        SetCommand(PciCommand.Memory | PciCommand.BusMaster);
        _user.MapDma(Iova, memory.Size, DmaAccess.ReadWrite, memory);
        _user.SetIrqs(VfioIrqs.Msix, VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger, 0, 1, vector);
        _user.Write(VfioRegions.Bar0, Target, BitConverter.GetBytes(Iova));

        Assert.Equal(5u, AddAndWait(5, memory, vector));
        Assert.Equal(12u, AddAndWait(7, memory, vector));
    }

    [Fact]
    public void Reset_AfterCounting_StartsAtZero()
    {
        SetCommand(PciCommand.Memory);
        _user.Write(VfioRegions.Bar0, Add, BitConverter.GetBytes(9u));
        Assert.Equal(9u, ReadValue());

        _user.Reset();
        SetCommand(PciCommand.Memory);
        Assert.Equal(0u, ReadValue());
    }

    private uint AddAndWait(uint number, MemoryFile memory, EventDescriptor vector)
    {
        _user.Write(VfioRegions.Bar0, Add, BitConverter.GetBytes(number));
        Poll.Wait(vector.Descriptor.Value, PollEvents.In, TimeSpan.FromMinutes(2));
        Assert.True(vector.TryDrain(out ulong count));
        Assert.Equal(1ul, count);
        Span<byte> sum = stackalloc byte[4];
        Assert.Equal(Errno.None, DescriptorIO.ReadAt(memory.Descriptor.Value, 0, sum, out _));
        return BinaryPrimitives.ReadUInt32LittleEndian(sum);
    }

    private uint ReadValue()
    {
        Span<byte> value = stackalloc byte[4];
        _user.Read(VfioRegions.Bar0, Value, value);
        return BinaryPrimitives.ReadUInt32LittleEndian(value);
    }

    private void SetCommand(PciCommand command) =>
        _user.Write(VfioRegions.Config, PciConfigOffsets.Command, BitConverter.GetBytes((ushort)command));
}
