using System.Collections.Concurrent;
using Penstock.Vfio;

namespace Penstock.Devices.Tests;

/// <summary>An EDU device on a test bench, with its registers by the words of its public description.</summary>
internal sealed class EduSlot : IDisposable
{
    internal const ulong MemorySize = 1 << 20;

    internal EduSlot(EduOptions? options = null)
    {
        Edu = new EduFunction(options);
        Edu.Notice += Notices.Add;
        Bench = new FunctionTestBench(Edu);
        Memory = Bench.CreateMemory(MemorySize);
    }

    internal EduFunction Edu { get; }

    internal FunctionTestBench Bench { get; }

    internal VfioDeviceFile File => Bench.File;

    internal TestMemory Memory { get; }

    internal BlockingCollection<string> Notices { get; } = [];

    public void Dispose() => Bench.Dispose();

    /// <summary>Maps the memory at an I/O address.</summary>
    internal void Map(ulong iova, DmaAccess access = DmaAccess.ReadWrite, ulong size = MemorySize) => Bench.Map(iova, Memory, access, size: size);

    internal uint Read32(ulong offset) => Bench.Bar(0).Read32(offset);

    internal ulong Read64(ulong offset) => Bench.Bar(0).Read64(offset);

    internal byte[] Read(ulong offset, int width) => Bench.Bar(0).ReadBytes(offset, width);

    internal void Write32(ulong offset, uint value) => Bench.Bar(0).Write32(offset, value);

    internal void Write64(ulong offset, ulong value) => Bench.Bar(0).Write64(offset, value);

    internal void Write(ulong offset, byte[] data) => Bench.Bar(0).WriteBytes(offset, data);

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

    internal void WaitForTransfer() => Bench.WaitUntil(() => (Read32(0x98) & 1) == 0, "the transfer does not end");

    internal void WaitForFactorial() => Bench.WaitUntil(() => (Read32(0x20) & 1) == 0, "the factorial does not end");

    internal string TakeNotice()
    {
        Assert.True(Notices.TryTake(out string? text, Bench.Patience), "no notice came");
        return text;
    }
}
