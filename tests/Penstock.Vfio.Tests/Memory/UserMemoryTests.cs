using Penstock.Interop;

namespace Penstock.Vfio.Tests;

public sealed class UserMemoryTests : IDisposable
{
    private const ulong Page = 4096;

    private readonly ResourceLedger _ledger = new();
    private readonly MappingCache _cache;
    private readonly MemoryFile _file;

    public UserMemoryTests()
    {
        _cache = new MappingCache(ledger: _ledger);
        _file = MemoryFile.Create("guest", 16 * Page, ledger: _ledger);
    }

    public void Dispose()
    {
        _cache.Dispose();
        _file.Dispose();
        Assert.Equal("nothing", _ledger.ToString());
    }

    [Fact]
    public void MappedAndCopied_SameFile_SeeEachOthersWrites()
    {
        MappedMemory mapped = MappedMemory.Create(_cache, _file.Descriptor, 4 * Page, 2 * Page);
        CopiedMemory copied = CopiedMemory.Create(_cache, _file.Descriptor, 5 * Page, Page);
        Assert.NotEqual(0, mapped.DirectAddress);
        Assert.Equal(0, copied.DirectAddress);
        byte[] data = new byte[3];
        Assert.Equal(Errno.None, mapped.Write(Page + 8, [1, 2, 3]));
        Assert.Equal(Errno.None, copied.Read(8, data));
        Assert.Equal([1, 2, 3], data);
        Assert.Equal(Errno.None, copied.Write(16, [4, 5, 6]));
        Assert.Equal(Errno.None, mapped.Read(Page + 16, data));
        Assert.Equal([4, 5, 6], data);
        mapped.Release();
        copied.Release();
    }

    [Fact]
    public void Access_PastTheEnd_EFAULT()
    {
        UserMemory[] all =
        [
            MappedMemory.Create(_cache, _file.Descriptor, 0, Page),
            CopiedMemory.Create(_cache, _file.Descriptor, 0, Page),
            ProcessMemory.Allocate(Page, _ledger),
            new MessageMemory(new FakeChannel(0, (int)Page), 0, Page),
        ];
        foreach (UserMemory memory in all)
        {
            Assert.Equal(Errno.EFAULT, memory.Read(Page - 1, new byte[2]));
            Assert.Equal(Errno.EFAULT, memory.Write(Page + 1, []));
            Assert.Equal(Errno.EFAULT, memory.Write(ulong.MaxValue, new byte[2]));
            Assert.Equal(Errno.None, memory.Read(Page, []));
            memory.Release();
        }
    }

    [Theory]
    [InlineData(0ul, 17 * Page)]
    [InlineData(16 * Page, Page)]
    [InlineData(0ul, 0ul)]
    [InlineData(ulong.MaxValue, 2ul)]
    [InlineData(0ul, 1ul << 62)]
    public void Create_NotInsideTheFile_EINVAL(ulong offset, ulong length)
    {
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => MappedMemory.Create(_cache, _file.Descriptor, offset, length)));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => CopiedMemory.Create(_cache, _file.Descriptor, offset, length)));
    }

    [Fact]
    public void Create_NotAMemoryFile_EINVAL()
    {
        using EventDescriptor ev = EventDescriptor.Create(_ledger);
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => MappedMemory.Create(_cache, ev.Descriptor, 0, Page)));
    }

    [Fact]
    public void ReadOnlyFile_AllowsNoWrite()
    {
        using MemoryFile file = MemoryFile.Create("sealed", Page, MemorySeals.Write | MemorySeals.Shrink, _ledger);
        MappedMemory mapped = MappedMemory.Create(_cache, file.Descriptor, 0, Page);
        CopiedMemory copied = CopiedMemory.Create(_cache, file.Descriptor, 0, Page);
        Assert.Equal(DmaAccess.Read, mapped.Allowed);
        Assert.Equal(DmaAccess.Read, copied.Allowed);
        Assert.Equal(Errno.EFAULT, mapped.Write(0, [1]));
        Assert.Equal(Errno.EFAULT, copied.Write(0, [1]));
        Assert.Equal(Errno.None, mapped.Read(0, new byte[1]));
        mapped.Release();
        copied.Release();
    }

    [Fact]
    public void CopiedMemory_FileShrinks_EFAULT()
    {
        using var folder = new TemporaryFolder();
        using FileStream stream = new(folder.File("shrinks"), FileMode.CreateNew, FileAccess.ReadWrite);
        stream.SetLength(4 * (long)Page);
        using OwnedDescriptor descriptor = Adopt(stream);
        CopiedMemory copied = CopiedMemory.Create(_cache, descriptor, 0, 4 * Page);
        Assert.Equal(Errno.None, copied.Read(3 * Page, new byte[8]));
        stream.SetLength((long)Page);
        Assert.Equal(Errno.EFAULT, copied.Read(3 * Page, new byte[8]));
        Assert.Equal(Errno.EFAULT, copied.Read(Page - 4, new byte[8]));
        Assert.Equal(Errno.None, copied.Read(0, new byte[8]));
        copied.Release();
    }

    [Fact]
    public void CopiedMemory_ManyOfOneFile_ShareOneDescriptor()
    {
        long before = _ledger.Outstanding(ResourceKind.Descriptor);
        CopiedMemory[] many = [.. Enumerable.Range(0, 10).Select(i => CopiedMemory.Create(_cache, _file.Descriptor, (ulong)i * Page, Page))];
        Assert.Equal(before + 1, _ledger.Outstanding(ResourceKind.Descriptor));
        Array.ForEach(many, m => m.Release());
        Assert.Equal(before, _ledger.Outstanding(ResourceKind.Descriptor));
    }

    [Fact]
    public void SoftwareDomain_CopiedMemory_ReadsAndWritesButLendsNothing()
    {
        using var domain = new SoftwareDomain(IovaRange.All, ~0xffful, _ledger);
        CopiedMemory copied = CopiedMemory.Create(_cache, _file.Descriptor, 2 * Page, Page);
        domain.Map(0x7000, Page, DmaAccess.ReadWrite, copied, 0);
        copied.Release();
        Assert.Equal(Errno.None, domain.Write(0x7010, [5]));
        byte[] data = new byte[1];
        Assert.Equal(Errno.None, domain.Read(0x7010, data));
        Assert.Equal(5, data[0]);
        using DmaScope scope = domain.Enter();
        Assert.False(scope.TryBorrow(0x7010, 1, DmaAccess.Read, out _));
    }

    [Fact]
    public void Hold_AfterTheLastRelease_Throws()
    {
        ProcessMemory memory = ProcessMemory.Allocate(Page, _ledger);
        memory.Hold();
        memory.Release();
        memory.Release();
        Assert.Throws<ObjectDisposedException>(memory.Hold);
    }

    private OwnedDescriptor Adopt(FileStream stream)
    {
        using var borrowed = new OwnedDescriptor((int)stream.SafeFileHandle.DangerousGetHandle());
        OwnedDescriptor copy = borrowed.Duplicate(_ledger);
        borrowed.Take();
        return copy;
    }
}
