using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.Specs.Pci;
using Penstock.Vfio;

namespace Penstock.Pci.Tests;

/// <summary>
/// A function with a few registers, 10,000 bytes of memory behind BAR 1, and an engine that copies by DMA as posted work. Register 0
/// is a number, 8 the source of a copy, 16 where to, 24 starts a copy of so many bytes in steps of 64 and reads how many are left.
/// </summary>
internal sealed class CounterFunction : IMigratableFunction
{
    public const int MemoryLength = 10_000;
    public const int Step = 64;
    private readonly byte[] _memory = new byte[MemoryLength];
    private readonly ulong[] _registers = new ulong[4];
    private uint _epoch;

    public CounterFunction(Specs.Vfio.MigrationFlags flags = Specs.Vfio.MigrationFlags.All, int version = 1, PciBar? bar = null)
    {
        Description = Describe(bar);
        MigrationFlags = flags;
        State = new DeviceStateTable("counter", version);
        for (int i = 0; i < _registers.Length; i++)
        {
            int at = i;
            State.Number($"register {i}", 8, () => _registers[at], v => _registers[at] = v, i == 3 ? 1 << 20 : ulong.MaxValue);
        }

        State.Memory("memory", _memory);
    }

    public PciFunctionDescription Description { get; }

    private static PciFunctionDescription Describe(PciBar? bar) => new()
    {
        VendorId = 0x1b36,
        DeviceId = 0x00aa,
        ClassCode = 0xff0000,
        InterruptPin = 1,
        InitialCommand = PciCommand.Memory | PciCommand.BusMaster,
        Bars =
        [
            new PciBar(0, PciBarKind.Memory32, 0x1000),
            new PciBar(1, PciBarKind.Memory32, 0x4000),
            new PciBar(2, PciBarKind.Memory32, 0x1000),
            .. bar is null ? (PciBar[])[] : [bar],
        ],
        Capabilities = static () => [new PowerManagementCapability(), new MsiCapability(4), new MsixCapability(4, 2, 0, 2, 0x800)],
    };

    public PciFunctionPort Port { get; private set; } = null!;

    public DeviceStateTable State { get; }

    public Specs.Vfio.MigrationFlags MigrationFlags { get; }

    public Span<byte> Memory => _memory;

    public ulong[] Values => _registers;

    /// <summary>How many steps of a copy are done before it stands still, as if the device were that slow.</summary>
    public int Steps { get; set; } = int.MaxValue;

    public List<DeviceActivity> Activities { get; } = [];

    public Action? OnReset { get; set; }

    public Action<DeviceActivity>? OnActivity { get; set; }

    public void Attach(PciFunctionPort port) => Port = port;

    public Errno ReadBar(int bar, ulong offset, Span<byte> data)
    {
        Span<byte> word = stackalloc byte[8];
        if (bar == 1)
        {
            data.Clear();
            _memory.AsSpan(Math.Min(MemoryLength, (int)offset), Math.Min(data.Length, Math.Max(0, MemoryLength - (int)offset))).CopyTo(data);
            return Errno.None;
        }

        BinaryPrimitives.WriteUInt64LittleEndian(word, _registers[(offset / 8) & 3]);
        word.Slice((int)(offset % 8), data.Length).CopyTo(data);
        return Errno.None;
    }

    public Errno WriteBar(int bar, ulong offset, ReadOnlySpan<byte> data)
    {
        if (bar == 1)
        {
            data[..Math.Min(data.Length, Math.Max(0, MemoryLength - (int)offset))].CopyTo(_memory.AsSpan(Math.Min(MemoryLength, (int)offset)));
            return Errno.None;
        }

        if (data.Length != 8)
        {
            return Errno.EINVAL;
        }

        int index = (int)(offset / 8) & 3;
        _registers[index] = BinaryPrimitives.ReadUInt64LittleEndian(data);
        if (index == 3)
        {
            Continue();
        }

        return Errno.None;
    }

    public void Reset(PciResetKind kind)
    {
        _epoch++;
        Array.Clear(_registers);
        Array.Clear(_memory);
        OnReset?.Invoke();
    }

    public void StateLoaded() => Continue();

    public void ActivityChanged(DeviceActivity activity)
    {
        Activities.Add(activity);
        OnActivity?.Invoke(activity);
    }

    private void Continue()
    {
        if (_registers[3] != 0)
        {
            uint epoch = _epoch;
            Port.Dma.Post(() => Copy(epoch));
        }
    }

    private void Copy(uint epoch)
    {
        if (epoch != _epoch || _registers[3] == 0 || Steps-- <= 0)
        {
            return;
        }

        byte[] part = new byte[Step];
        Errno errno = Port.Dma.Read(_registers[1], part);
        if (errno == Errno.None)
        {
            errno = Port.Dma.Write(_registers[2], part);
        }

        _registers[0] = (ulong)errno;
        _registers[1] += Step;
        _registers[2] += Step;
        _registers[3] -= Math.Min(Step, _registers[3]);
        if (_registers[3] == 0)
        {
            Port.SignalVector(0);
        }

        Continue();
    }
}
