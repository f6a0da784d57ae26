using Penstock.Interop;

namespace Penstock.Vfio.Tests;

public sealed class SoftwareDomainTests : IDisposable
{
    private readonly ResourceLedger _ledger = new();
    private readonly SoftwareDomain _domain;
    private readonly ProcessMemory _memory;

    public SoftwareDomainTests()
    {
        _domain = new SoftwareDomain(IovaRange.All, ~0xffful, _ledger);
        _memory = ProcessMemory.Allocate(1 << 20, _ledger);
    }

    public void Dispose()
    {
        _domain.Dispose();
        _memory.Release();
        Assert.Equal("nothing", _ledger.ToString());
    }

    [Fact]
    public void Map_ManyAscendingUpToTheGreatestAddress_TheLastByteIsWhatItsMappingSays()
    {
        const ulong Last = ulong.MaxValue - 0xfff;
        for (ulong i = 200; i > 1; i--)
        {
            _domain.Map(Last - (i * 0x1000), 0x1000, DmaAccess.ReadWrite, _memory, 0);
            Assert.Equal(Errno.None, _domain.Read(Last - (i * 0x1000) + 0xfff, new byte[1]));
            Assert.Equal(Errno.EFAULT, _domain.Read(ulong.MaxValue, new byte[1]));
        }

        for (int round = 0; round < 3; round++)
        {
            _domain.Map(Last, 0x1000, DmaAccess.ReadWrite, _memory, 0);
            Assert.Equal(Errno.None, _domain.Read(ulong.MaxValue, new byte[1]));
            _domain.Unmap(new IovaRange(Last, ulong.MaxValue));
            Assert.Equal(Errno.EFAULT, _domain.Read(ulong.MaxValue, new byte[1]));
            _domain.Map(Last - 0x1000, 0x1000, DmaAccess.ReadWrite, _memory, 0);
            Assert.Equal(Errno.EFAULT, _domain.Read(ulong.MaxValue, new byte[1]));
            Assert.Equal(Errno.None, _domain.Read(Last - 1, new byte[1]));
            _domain.Unmap(new IovaRange(Last - 0x1000, Last - 1));
            Assert.Equal(Errno.EFAULT, _domain.Read(Last - 1, new byte[1]));
        }
    }

    [Fact]
    public void Read_AcrossMappings_IsOneCopy()
    {
        _domain.Map(0x1000, 0x1000, DmaAccess.Read, _memory, 0x5000);
        _domain.Map(0x2000, 0x1000, DmaAccess.Read, _memory, 0);
        _memory.Span(0x5fff, 1)[0] = 1;
        _memory.Span(0, 1)[0] = 2;
        byte[] data = new byte[2];
        Assert.Equal(Errno.None, _domain.Read(0x1fff, data));
        Assert.Equal([1, 2], data);
    }

    [Fact]
    public void Access_HoleOrMissingRight_EFAULTOrEPERM()
    {
        _domain.Map(0x1000, 0x1000, DmaAccess.Read, _memory, 0);
        _domain.Map(0x4000, 0x1000, DmaAccess.Write, _memory, 0);
        Assert.Equal(Errno.EFAULT, _domain.Read(0xfff, new byte[2]));
        Assert.Equal(Errno.EFAULT, _domain.Read(0x1fff, new byte[2]));
        Assert.Equal(Errno.EPERM, _domain.Write(0x1000, [1]));
        Assert.Equal(Errno.EPERM, _domain.Read(0x4000, new byte[1]));
        Assert.Equal(Errno.None, _domain.Write(0x4000, [1]));
        Assert.Equal(Errno.None, _domain.Read(0x9000, []));
    }

    [Fact]
    public void Access_RangeThatWraps_EFAULT()
    {
        _domain.Map(0, 0x1000, DmaAccess.ReadWrite, _memory, 0);
        _domain.Map(ulong.MaxValue - 0xfff, 0x1000, DmaAccess.ReadWrite, _memory, 0);
        Assert.Equal(Errno.None, _domain.Read(ulong.MaxValue, new byte[1]));
        Assert.Equal(Errno.EFAULT, _domain.Read(ulong.MaxValue, new byte[2]));
        using DmaScope scope = _domain.Enter();
        Assert.True(scope.TryBorrow(ulong.MaxValue - 1, 100, DmaAccess.Read, out DmaRun run));
        Assert.Equal(2ul, run.Length);
    }

    [Fact]
    public unsafe void TryBorrow_Direct_PointsIntoTheMemory()
    {
        _domain.Map(0x10000, 0x1000, DmaAccess.ReadWrite, _memory, 0x3000);
        using DmaScope scope = _domain.Enter();
        Assert.True(scope.TryBorrow(0x10010, 0x2000, DmaAccess.Write, out DmaRun run));
        Assert.Equal(_memory.DirectAddress + 0x3010, (nint)run.Pointer);
        Assert.Equal(0xff0ul, run.Length);
    }

    [Fact]
    public void TryHold_Unmapped_StaysValid()
    {
        _domain.Map(0x10000, 0x1000, DmaAccess.ReadWrite, _memory, 0x3000);
        HeldMemory held;
        using (DmaScope scope = _domain.Enter())
        {
            Assert.Equal(Errno.EFAULT, scope.TryHold(0, 1, DmaAccess.Read, out _));
            Assert.Equal(Errno.None, scope.TryHold(0x10010, 0x20, DmaAccess.Read, out held));
        }

        _domain.Unmap(new IovaRange(0x10000, 0x10fff));
        _memory.Span(0x3010, 1)[0] = 9;
        byte[] data = new byte[1];
        Assert.Equal(Errno.None, held.Memory.Read(held.Offset, data));
        Assert.Equal(9, data[0]);
        held.Dispose();
    }

    [Fact]
    public void MapAndUnmap_InsideOwnScope_EDEADLK()
    {
        _domain.Map(0x1000, 0x1000, DmaAccess.Read, _memory, 0);
        using DmaScope scope = _domain.Enter();
        Assert.Equal(Errno.EDEADLK, ErrnoOf(() => _domain.Unmap(IovaRange.All)));
        Assert.Equal(Errno.EDEADLK, ErrnoOf(() => _domain.Map(0, 0x1000, DmaAccess.Read, _memory, 0)));
        Assert.Equal(Errno.EDEADLK, ErrnoOf(_domain.Drain));
        Assert.Equal(1, _domain.Count);
    }

    [Fact]
    public void Scope_Nested_InnerLeavesOuterInForce()
    {
        using DmaScope outer = _domain.Enter();
        _domain.Enter().Dispose();
        Assert.Equal(Errno.EDEADLK, ErrnoOf(_domain.Drain));
    }

    [Fact]
    public async Task Unmap_WhileAnotherThreadIsInside_WaitsForIt()
    {
        _domain.Map(0x1000, 0x1000, DmaAccess.Read, _memory, 0);
        using var entered = new ManualResetEventSlim();
        using var leave = new ManualResetEventSlim();
        bool left = false;
        Task reader = Task.Run(() =>
        {
            using DmaScope scope = _domain.Enter();
            entered.Set();
            leave.Wait();
            Volatile.Write(ref left, true);
        });
        entered.Wait();
        Task<bool> unmap = Task.Run(() =>
        {
            _domain.Unmap(IovaRange.All);
            return Volatile.Read(ref left);
        });
        SpinWait.SpinUntil(() => _domain.Count == 0, 20);
        Assert.False(unmap.IsCompleted);
        leave.Set();
        Assert.True(await unmap);
        await reader;
    }

    [Fact]
    public void Access_AfterDispose_EFAULT()
    {
        _domain.Map(0x1000, 0x1000, DmaAccess.Read, _memory, 0);
        _domain.Dispose();
        Assert.Equal(Errno.EFAULT, _domain.Read(0x1000, new byte[1]));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _domain.Unmap(IovaRange.All)));
    }

    [Fact]
    public void Unmap_FirstOfAChunk_LaterMappingAcrossTheOldBorderIsFound()
    {
        // 200 mappings fill several chunks; whatever becomes the border of a chunk may go, and a larger mapping take its place.
        for (ulong i = 0; i < 200; i++)
        {
            _domain.Map(i * 0x2000, 0x1000, DmaAccess.Read, _memory, 0);
        }

        for (ulong i = 1; i < 198; i += 3)
        {
            _domain.Unmap(new IovaRange(i * 0x2000, (i * 0x2000) + 0x3fff));
            _domain.Map((i * 0x2000) - 0x1000, 0x4000, DmaAccess.Read, _memory, 0);
            Assert.Equal(Errno.None, _domain.Read((i * 0x2000) - 0x1000, new byte[0x4000]));
        }
    }

    [Fact]
    public void Map_Overlap_EEXISTAndMemoryNotHeld()
    {
        _domain.Map(0x1000, 0x3000, DmaAccess.Read, _memory, 0);
        foreach (ulong iova in new ulong[] { 0, 0x1000, 0x2000, 0x3000 })
        {
            Assert.Equal(Errno.EEXIST, ErrnoOf(() => _domain.Map(iova, 0x2000, DmaAccess.Read, _memory, 0)));
        }

        Assert.Equal(1, _domain.Count);
    }

    [Fact]
    public void Replace_MemoryTooSmallOrReadOnly_EFAULTAndTheOldStays()
    {
        using var domain = new SoftwareDomain(IovaRange.All, ~0xffful);
        ProcessMemory memory = ProcessMemory.Allocate(8192);
        ProcessMemory readOnly = ProcessMemory.Over(memory.DirectAddress, 8192, DmaAccess.Read);
        domain.Map(0, 4096, DmaAccess.ReadWrite, memory, 0);
        Assert.Equal(Errno.EFAULT, ErrnoOf(() => domain.Replace(0, readOnly, 0)));
        Assert.Equal(Errno.EFAULT, ErrnoOf(() => domain.Replace(0, memory, 8192)));
        Assert.Equal(Errno.EFAULT, ErrnoOf(() => domain.Replace(0, memory, 4097)));
        Assert.Equal(Errno.None, domain.Write(0, [1]));
        domain.Replace(0, memory, 4096);
        Assert.Equal(Errno.None, domain.Write(0, [2]));
        Assert.Equal((1, 2), (memory.Span(0, 1)[0], memory.Span(4096, 1)[0]));
        domain.Unmap(IovaRange.All);
        readOnly.Release();
        memory.Release();
    }
}
