using Penstock.Interop;

namespace Penstock.Vfio.Tests;

public sealed class CopiedAccessTests
{
    [Fact]
    public async Task Unmap_WhileACopyIsUnderWay_ReturnsOnlyAfterIt()
    {
        using var domain = new SoftwareDomain(IovaRange.All, ~0xffful);
        using var memory = new SlowMemory();
        domain.Map(0, 4096, DmaAccess.ReadWrite, memory, 0);
        Task<Errno> copy = Task.Run(() => domain.Write(0, new byte[8]));
        Assert.True(memory.Entered.Wait(TimeSpan.FromMinutes(1)));
        Task unmap = Task.Run(() => domain.Unmap(new IovaRange(0, 4095)));
        Assert.NotSame(unmap, await Task.WhenAny(unmap, Task.Delay(100)));
        memory.GoOn.Set();
        await unmap.WaitAsync(TimeSpan.FromMinutes(1));
        Assert.True(copy.IsCompleted || memory.Done, "the unmap returned before the copy was over");
        Assert.Equal(Errno.None, await copy);
    }

    [Fact]
    public void Windows_InUse_AreCapped()
    {
        using var cache = new MappingCache(new MappingCacheOptions { WindowBytes = 4096, LiveMappings = 2 });
        using MemoryFile file = MemoryFile.Create("capped", 16384);
        var kept = new List<MappedMemory>
        {
            MappedMemory.Create(cache, file.Descriptor, 0, 4096),
            MappedMemory.Create(cache, file.Descriptor, 4096, 4096),
        };
        var refused = Assert.Throws<VfioException>(() => MappedMemory.Create(cache, file.Descriptor, 8192, 4096));
        Assert.Equal(Errno.ENOSPC, refused.Errno);
        kept[0].Release();
        MappedMemory.Create(cache, file.Descriptor, 8192, 4096).Release();
        kept[1].Release();
    }

    private sealed class SlowMemory() : UserMemory(4096), IDisposable
    {
        public ManualResetEventSlim Entered { get; } = new();

        public ManualResetEventSlim GoOn { get; } = new();

        public bool Done { get; private set; }

        public override Errno Read(ulong offset, Span<byte> destination) => Errno.None;

        public override Errno Write(ulong offset, ReadOnlySpan<byte> source)
        {
            Entered.Set();
            GoOn.Wait();
            Done = true;
            return Errno.None;
        }

        public void Dispose()
        {
            Entered.Dispose();
            GoOn.Dispose();
        }

        protected override void Free()
        {
        }
    }
}
