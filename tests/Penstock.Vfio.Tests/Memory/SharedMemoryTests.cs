using Penstock.Interop;

namespace Penstock.Vfio.Tests;

/// <summary>Memory that other processes map.</summary>
public sealed class SharedMemoryTests : IDisposable
{
    private const ulong Size = 0x3000;

    private readonly ResourceLedger _ledger = new();
    private readonly SharedMemory _memory;

    public SharedMemoryTests() => _memory = SharedMemory.Create("doorbells", Size, _ledger);

    public void Dispose()
    {
        _memory.Release();
        Assert.Equal(0, _ledger.Total);
    }

    [Fact]
    public void Share_OtherProcessMaps_BothSeeTheSameBytes()
    {
        using MemoryMapping other = MapShared();
        Bytes(other)[0x1004] = 7;
        Assert.Equal(7, _memory.Span(0x1000, 8)[4]);
        Assert.Equal(Errno.None, _memory.Write(0, [1, 2, 3]));
        Assert.Equal([1, 2, 3], Bytes(other)[..3].ToArray());
    }

    [Fact]
    public void Share_Descriptor_CannotShrinkOrGrowOrBeSealedFurther()
    {
        OwnedDescriptor file = _memory.Share(out ulong offset)!;
        Assert.Equal(0ul, offset);
        Assert.Equal(MemorySeals.Seal | MemorySeals.Shrink | MemorySeals.Grow, FileFacts.Of(file.Value).Seals);
    }

    [Fact]
    public void Withdraw_WhoHadIt_ReachesTheMemoryNoMore()
    {
        nint address = _memory.DirectAddress;
        using MemoryMapping old = MapShared();
        Bytes(old)[0] = 5;
        Bytes(old)[0x2fff] = 6;
        _memory.Withdraw();
        Assert.Equal(address, _memory.DirectAddress);
        Assert.Equal((5, 6), (_memory.Span(0, 1)[0], _memory.Span(0x2fff, 1)[0]));
        Bytes(old)[0] = 9;
        _memory.Span(1, 1)[0] = 4;
        Assert.Equal(5, _memory.Span(0, 1)[0]);
        Assert.Equal(0, Bytes(old)[1]);
        using MemoryMapping next = MapShared();
        Assert.Equal((5, 4), (Bytes(next)[0], Bytes(next)[1]));
    }

    [Fact]
    public void Withdraw_WhatNobodyHas_ChangesNothing()
    {
        long before = _ledger.Outstanding(ResourceKind.Descriptor);
        _memory.Withdraw();
        Assert.Equal(1, before);
        Assert.Equal(before, _ledger.Outstanding(ResourceKind.Descriptor));
    }

    [Fact]
    public void Withdraw_WhileSomebodyWrites_LosesNoWriterAndNoAddress()
    {
        using var stop = new CancellationTokenSource();
        long rounds = 0;
        var writer = new Thread(() =>
        {
            while (!stop.IsCancellationRequested)
            {
                _memory.Span(0x1000, 1)[0]++;
                Interlocked.Increment(ref rounds);
            }
        })
        { IsBackground = true };
        writer.Start();
        for (int i = 0; i < 200 || Interlocked.Read(ref rounds) == 0; i++)
        {
            MapShared().Dispose();
            _memory.Withdraw();
        }

        stop.Cancel();
        writer.Join();
        Assert.True(rounds > 0);
    }

    [Theory]
    [InlineData(Size, 1)]
    [InlineData(Size - 1, 2)]
    [InlineData(ulong.MaxValue, 1)]
    public void Access_PastTheEnd_IsEfault(ulong offset, int length)
    {
        Assert.Equal(Errno.EFAULT, _memory.Read(offset, new byte[length]));
        Assert.Equal(Errno.EFAULT, _memory.Write(offset, new byte[length]));
    }

    [Fact]
    public void Share_MemoryWithoutAFile_GivesNone()
    {
        ProcessMemory plain = ProcessMemory.Allocate(4096);
        Assert.Null(plain.Share(out _));
        plain.Withdraw();
        plain.Release();
    }

    private MemoryMapping MapShared() =>
        MemoryMapping.Map(_memory.Share(out ulong offset)!.Value, offset, (nuint)Size, MemoryProtection.Read | MemoryProtection.Write);

    // SAFETY: the mapping outlives the span in each test.
    private static unsafe Span<byte> Bytes(MemoryMapping mapping) => new(mapping.Pointer, (int)mapping.Length);
}
