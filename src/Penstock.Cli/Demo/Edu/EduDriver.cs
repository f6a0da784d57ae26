using System.Buffers.Binary;
using Penstock.Specs.Vfio;
using Penstock.VfioUser;

namespace Penstock.Cli.Demo;

/// <summary>A small driver for the EDU device, as one writes it from the device's description.</summary>
internal sealed class EduDriver(VfioUserClient user)
{
    public const uint Identification = 0x00;
    public const uint Liveness = 0x04;
    public const uint Factorial = 0x08;
    public const uint Status = 0x20;
    public const uint Raise = 0x60;
    public const uint InterruptWhenComputed = 0x80;
    public const uint CauseFactorial = 0x001;
    public const uint CauseDma = 0x100;
    public const ulong ToMemory = 2;
    public const ulong InterruptWhenDone = 4;
    public const ulong Buffer = 0x40000;
    public const int BufferSize = 4096;

    private const uint Computing = 0x01;
    private const uint Causes = 0x24;
    private const uint Acknowledge = 0x64;
    private const uint DmaSource = 0x80;
    private const uint DmaDestination = 0x88;
    private const uint DmaCount = 0x90;
    private const uint DmaCommand = 0x98;
    private const ulong StartBit = 1;
    private const uint Bar = VfioRegions.Bar0;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    public uint Read32(uint offset)
    {
        Span<byte> word = stackalloc byte[sizeof(uint)];
        user.Read(Bar, offset, word);
        return BinaryPrimitives.ReadUInt32LittleEndian(word);
    }

    public void Write32(uint offset, uint value)
    {
        Span<byte> word = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32LittleEndian(word, value);
        user.Write(Bar, offset, word);
    }

    public byte[] ReadBuffer()
    {
        byte[] bytes = new byte[BufferSize];
        user.Read(Bar, Buffer, bytes);
        return bytes;
    }

    /// <summary>Asks until the factorial is there.</summary>
    public uint WaitForFactorial()
    {
        DemoReport.Verify(SpinWait.SpinUntil(() => (Read32(Status) & Computing) == 0, Patience), "a factorial does not end");
        return Read32(Factorial);
    }

    /// <summary>Reads why the device interrupts and acknowledges it.</summary>
    public uint TakeCause()
    {
        uint causes = Read32(Causes);
        Write32(Acknowledge, causes);
        return causes;
    }

    /// <summary>Starts a transfer.</summary>
    public void Start(ulong source, ulong destination, ulong count, ulong command)
    {
        Write64(DmaSource, source);
        Write64(DmaDestination, destination);
        Write64(DmaCount, count);
        Write64(DmaCommand, command | StartBit);
    }

    /// <summary>Starts a transfer and asks until it has ended.</summary>
    public void Transfer(ulong source, ulong destination, ulong count, ulong command)
    {
        Start(source, destination, count, command);
        DemoReport.Verify(SpinWait.SpinUntil(() => (Read32(DmaCommand) & StartBit) == 0, Patience), "a transfer does not end");
    }

    private void Write64(uint offset, ulong value)
    {
        Span<byte> word = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(word, value);
        user.Write(Bar, offset, word);
    }
}
