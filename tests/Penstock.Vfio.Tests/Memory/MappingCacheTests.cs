using Microsoft.Win32.SafeHandles;
using Penstock.Interop;

namespace Penstock.Vfio.Tests;

public sealed class MappingCacheTests
{
    private const ulong Window = 1 << 20;
    private static readonly MappingCacheOptions Options = new() { WindowBytes = Window, IdleMappings = 2, IdleTime = TimeSpan.FromSeconds(5) };

    private readonly ResourceLedger _ledger = new();
    private readonly ManualTime _time = new();

    [Fact]
    public void SmallPieces_OfOneWindow_ShareAMapping()
    {
        using var cache = new MappingCache(Options, _time, _ledger);
        using MemoryFile file = MemoryFile.Create("guest", 4 * Window);
        using OwnedDescriptor other = file.Descriptor.Duplicate();
        MappedMemory first = MappedMemory.Create(cache, file.Descriptor, 0x1000, 0x1000);
        MappedMemory second = MappedMemory.Create(cache, other, 0x3000, 0x2000);
        Assert.Equal(1, _ledger.Outstanding(ResourceKind.Mapping));
        Assert.Equal(0x2000, second.DirectAddress - first.DirectAddress);
        MappedMemory third = MappedMemory.Create(cache, file.Descriptor, Window, 0x1000);
        MappedMemory across = MappedMemory.Create(cache, file.Descriptor, Window - 0x1000, 0x2000);
        Assert.Equal(3, _ledger.Outstanding(ResourceKind.Mapping));
        foreach (MappedMemory memory in new[] { first, second, third, across })
        {
            memory.Release();
        }
    }

    [Fact]
    public void FactsOf_AFileThatIsMapped_AreWhatTheKernelSays()
    {
        using var cache = new MappingCache(Options, _time, _ledger);
        using MemoryFile open = MemoryFile.Create("open", 2 * Window, MemorySeals.None);
        using MemoryFile final = MemoryFile.Create("final", 2 * Window, MemorySeals.Shrink | MemorySeals.Seal);
        using MemoryFile other = MemoryFile.Create("other", 2 * Window, MemorySeals.Grow | MemorySeals.Seal);
        foreach (MemoryFile file in new[] { final, open, other, final })
        {
            MappedMemory memory = MappedMemory.Create(cache, file.Descriptor, 0, 0x1000);
            foreach (MemoryFile asked in new[] { open, final, other })
            {
                Assert.Equal(FileFacts.Of(asked.Descriptor.Value), cache.FactsOf(asked.Descriptor.Value));
            }

            memory.Release();
        }

        cache.Trim();
        Assert.Equal(FileFacts.Of(final.Descriptor.Value), cache.FactsOf(final.Descriptor.Value));
    }

    [Fact]
    public void FactsOf_AFileThatIsSealedWhileItIsMapped_SayThatItIsSealed()
    {
        using var cache = new MappingCache(Options, _time, _ledger);
        using MemoryFile file = MemoryFile.Create("guest", 2 * Window);
        MappedMemory memory = MappedMemory.Create(cache, file.Descriptor, 0, 0x1000);
        MemorySeals before = cache.FactsOf(file.Descriptor.Value).Seals;
        file.AddSeals(MemorySeals.Shrink);
        Assert.Equal(before | MemorySeals.Shrink, cache.FactsOf(file.Descriptor.Value).Seals);
        memory.Release();
    }

    [Theory]
    [InlineData(MemorySeals.Seal)]
    [InlineData(MemorySeals.Seal | MemorySeals.Shrink)]
    [InlineData(MemorySeals.Seal | MemorySeals.Grow)]
    public void FactsOf_AMappedFileThatChangesItsSize_SayTheNewSize(MemorySeals seals)
    {
        using var cache = new MappingCache(Options, _time, _ledger);
        using MemoryFile file = MemoryFile.Create("guest", 2 * Window, seals);
        MappedMemory memory = MappedMemory.Create(cache, file.Descriptor, 0, 0x1000);
        Assert.Equal(2 * Window, cache.FactsOf(file.Descriptor.Value).Size);
        ulong size = (seals & MemorySeals.Shrink) != 0 ? 3 * Window : Window;
        Assert.Equal(Errno.None, DescriptorStorage.SetLength(file.Descriptor.Value, size));
        Assert.Equal(size, cache.FactsOf(file.Descriptor.Value).Size);
        Assert.Equal(FileFacts.Of(file.Descriptor.Value), cache.FactsOf(file.Descriptor.Value));
        memory.Release();
    }

    [Fact]
    public void FactsOf_AnotherOpenOfAMappedFile_SayWhatThatOneAllows()
    {
        using var cache = new MappingCache(Options, _time, _ledger);
        using MemoryFile file = MemoryFile.Create("guest", 2 * Window, MemorySeals.Seal);
        MappedMemory memory = MappedMemory.Create(cache, file.Descriptor, 0, 0x1000);
        using SafeFileHandle reading = File.OpenHandle($"/proc/self/fd/{file.Descriptor.Value}");
        FileFacts facts = cache.FactsOf((int)reading.DangerousGetHandle());
        Assert.Equal(MemoryProtection.Read, facts.Access);
        Assert.Equal(MemoryProtection.ReadWrite, cache.FactsOf(file.Descriptor.Value).Access);
        Assert.Equal(FileFacts.Of(file.Descriptor.Value), cache.FactsOf(file.Descriptor.Value));
        memory.Release();
    }

    [Fact]
    public void Unused_WhileOthersWereUnusedAlready_GoesWithinTwiceTheTime()
    {
        using var cache = new MappingCache(Options, _time, _ledger);
        using MemoryFile file = MemoryFile.Create("guest", 4 * Window);
        MappedMemory.Create(cache, file.Descriptor, 0, 0x1000).Release();
        _time.Advance(TimeSpan.FromSeconds(3));
        MappedMemory.Create(cache, file.Descriptor, Window, 0x1000).Release();
        _time.Advance(TimeSpan.FromSeconds(3));
        Assert.Equal(1, cache.Count);
        _time.Advance(TimeSpan.FromSeconds(3));
        Assert.Equal(1, cache.Count);
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(0, cache.Count);
        Assert.Equal(0, _time.Timers);
    }

    [Fact]
    public void Unused_KeptForAWhileThenDropped()
    {
        using var cache = new MappingCache(Options, _time, _ledger);
        using MemoryFile file = MemoryFile.Create("guest", 4 * Window);
        MappedMemory.Create(cache, file.Descriptor, 0, 2 * Window).Release();
        _time.Advance(TimeSpan.FromSeconds(4));
        Assert.Equal(1, cache.Count);
        MappedMemory again = MappedMemory.Create(cache, file.Descriptor, 0, 2 * Window);
        _time.Advance(TimeSpan.FromSeconds(60));
        Assert.Equal(1, cache.Count);
        again.Release();
        _time.Advance(TimeSpan.FromSeconds(5));
        Assert.Equal(0, cache.Count);
        Assert.Equal(0, _ledger.Total);
        Assert.Equal(0, _time.Timers);
    }

    [Fact]
    public void Unused_MoreThanTheCap_OldestGoes()
    {
        using var cache = new MappingCache(Options, _time, _ledger);
        using MemoryFile file = MemoryFile.Create("guest", 8 * Window);
        for (ulong i = 0; i < 5; i++)
        {
            MappedMemory.Create(cache, file.Descriptor, i * Window, 0x1000).Release();
        }

        Assert.Equal(2, _ledger.Outstanding(ResourceKind.Mapping));
    }

    [Fact]
    public void Dispose_SomeInUse_TheyGoWithTheirUser()
    {
        using MemoryFile file = MemoryFile.Create("guest", 4 * Window);
        var cache = new MappingCache(Options, _time, _ledger);
        MappedMemory used = MappedMemory.Create(cache, file.Descriptor, 0, 0x1000);
        MappedMemory.Create(cache, file.Descriptor, Window, 0x1000).Release();
        cache.Dispose();
        Assert.Equal(1, _ledger.Outstanding(ResourceKind.Mapping));
        Assert.Equal(Errno.None, used.Write(0, [1]));
        used.Release();
        Assert.Equal(0, _ledger.Total);
    }

    [Fact]
    public void Window_AtTheEndOfASmallFile_IsNoLargerThanTheFile()
    {
        using var cache = new MappingCache(Options, _time, _ledger);
        using MemoryFile file = MemoryFile.Create("guest", 0x3000);
        MappedMemory memory = MappedMemory.Create(cache, file.Descriptor, 0x2000, 0x1000);
        Assert.Equal(Errno.None, memory.Write(0xfff, [1]));
        memory.Release();
    }

    [Fact]
    public void CopiedFiles_MoreThanTheCap_ENOSPCUntilOneGoes()
    {
        using var cache = new MappingCache(new MappingCacheOptions { LiveDescriptors = 2 }, _time, _ledger);
        using MemoryFile first = MemoryFile.Create("first", 8192);
        using MemoryFile second = MemoryFile.Create("second", 8192);
        using MemoryFile third = MemoryFile.Create("third", 8192);
        CopiedMemory[] kept =
        [
            CopiedMemory.Create(cache, first.Descriptor, 0, 4096),
            CopiedMemory.Create(cache, first.Descriptor, 4096, 4096),
            CopiedMemory.Create(cache, second.Descriptor, 0, 4096),
        ];
        Assert.Equal(Errno.ENOSPC, ErrnoOf(() => CopiedMemory.Create(cache, third.Descriptor, 0, 4096)));
        Assert.Equal(2, _ledger.Outstanding(ResourceKind.Descriptor));
        kept[2].Release();
        CopiedMemory.Create(cache, third.Descriptor, 0, 4096).Release();
        kept[0].Release();
        kept[1].Release();
        Assert.Equal(0, _ledger.Total);
    }
}
