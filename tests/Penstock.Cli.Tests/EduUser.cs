using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;
using Penstock.VfioUser;

namespace Penstock.Cli.Tests;

/// <summary>A VMM with an EDU device that a process of its own serves: registers, memory at <see cref="Iova"/>, one MSI.</summary>
internal sealed class EduUser : IDisposable
{
    public const ulong Iova = 0x10_0000;
    public const int MemorySize = 64 * PageSize;
    public const int PageSize = 4096;
    public const uint Liveness = 0x04;
    public const uint Factorial = 0x08;
    public const uint Status = 0x20;
    public const uint Causes = 0x24;
    public const uint Command = 0x98;
    public const ulong Buffer = 0x40000;
    private const uint Bar = VfioRegions.Bar0;

    private readonly EventDescriptor _message = EventDescriptor.Create();

    public EduUser(string socket, MemoryFile memory)
    {
        Client = VfioUserClient.Connect(socket, ToolProcess.Patience);
        Client.MapDma(Iova, MemorySize, DmaAccess.ReadWrite, memory);
        SetUp();
    }

    public VfioUserClient Client { get; }

    /// <summary>Enables the device and its interrupt, as a VMM does at the start and after a reset.</summary>
    public void SetUp()
    {
        Client.Write(VfioRegions.Config, PciConfigOffsets.Command, [(byte)(PciCommand.Memory | PciCommand.BusMaster), 0]);
        Client.SetIrqs(VfioIrqs.Msi, VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger, 0, 1, _message);
    }

    public uint Read32(uint offset)
    {
        Span<byte> word = stackalloc byte[sizeof(uint)];
        Client.Read(Bar, offset, word);
        return BinaryPrimitives.ReadUInt32LittleEndian(word);
    }

    public void Write32(uint offset, uint value)
    {
        Span<byte> word = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32LittleEndian(word, value);
        Client.Write(Bar, offset, word);
    }

    /// <summary>Starts a transfer with an interrupt at its end.</summary>
    public void StartTransfer(ulong source, ulong destination, bool toMemory, int count = PageSize)
    {
        ulong[] registers = [source, destination, (ulong)count, toMemory ? 7u : 5u];
        Span<byte> word = stackalloc byte[sizeof(ulong)];
        for (uint i = 0; i < registers.Length; i++)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(word, registers[i]);
            Client.Write(Bar, 0x80 + (8 * i), word);
        }
    }

    public bool IsTransferring => (Read32(Command) & 1) != 0;

    public bool IsComputing => (Read32(Status) & 1) != 0;

    /// <summary>Waits until neither unit works.</summary>
    public void Settle() => Assert.True(SpinWait.SpinUntil(() => !IsTransferring && !IsComputing, ToolProcess.Patience), "the device goes on and on");

    public void AcknowledgeAll() => Write32(0x64, uint.MaxValue);

    /// <summary>Signals of the interrupt since the last look; never waits.</summary>
    public int TakeSignals() => _message.TryDrain(out ulong count) ? (int)count : 0;

    /// <summary>All that a guest can see of the device: configuration space, registers, buffer.</summary>
    public (byte[] Config, byte[] Registers, byte[] Buffer) Look()
    {
        byte[] config = new byte[64];
        byte[] registers = new byte[0xa0];
        byte[] buffer = new byte[PageSize];
        Client.Read(VfioRegions.Config, 0, config);
        for (int offset = 0; offset < registers.Length; offset += sizeof(uint))
        {
            Client.Read(Bar, (ulong)offset, registers.AsSpan(offset, sizeof(uint)));
        }

        Client.Read(Bar, Buffer, buffer);
        return (config, registers, buffer);
    }

    public void Dispose()
    {
        Client.Dispose();
        _message.Dispose();
    }
}
