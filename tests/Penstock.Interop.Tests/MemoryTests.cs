namespace Penstock.Interop.Tests;

public sealed unsafe class MemoryTests : IDisposable
{
    private const ulong Page = 4096;
    private readonly ResourceLedger _ledger = new();

    public void Dispose() => Assert.Equal("nothing", _ledger.ToString());

    [Fact]
    public void Create_HasItsSizeItsSealsAndZeroes()
    {
        using MemoryFile file = MemoryFile.Create("sealed", 3 * Page, MemorySeals.Shrink | MemorySeals.Grow, _ledger);
        FileFacts facts = FileFacts.Of(file.Descriptor.Value);
        Assert.Equal(3 * Page, facts.Size);
        Assert.Equal(MemorySeals.Shrink | MemorySeals.Grow, facts.Seals);
        Assert.True(facts.IsRegular);
        Assert.False(facts.IsHugePages);
        Assert.Equal(MemoryProtection.ReadWrite, facts.Access);
        Assert.True(Libc.IsCloseOnExec(file.Descriptor.Value));
        using MemoryMapping mapping = MemoryMapping.Map(file.Descriptor.Value, 0, (nuint)facts.Size, MemoryProtection.Read, _ledger);
        Assert.Equal(-1, new ReadOnlySpan<byte>(mapping.Pointer, (int)facts.Size).IndexOfAnyExcept((byte)0));
    }

    [Fact]
    public void AddSeals_AfterTheSealAgainstSeals_NamesCallDescriptorAndError()
    {
        using MemoryFile file = MemoryFile.Create("final", Page, MemorySeals.Seal, _ledger);
        var refused = Assert.Throws<SystemCallException>(() => file.AddSeals(MemorySeals.Write));
        Assert.Equal(Errno.EPERM, refused.Errno);
        Assert.Contains("fcntl(F_ADD_SEALS, Write)", refused.Message, StringComparison.Ordinal);
        Assert.Contains($"descriptor {file.Descriptor.Value}", refused.Message, StringComparison.Ordinal);
        Assert.Contains("EPERM", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Map_TwoMappings_SeeEachOther()
    {
        using MemoryFile file = MemoryFile.Create("shared", 2 * Page, ledger: _ledger);
        using MemoryMapping all = MemoryMapping.Map(file.Descriptor.Value, 0, (nuint)(2 * Page), MemoryProtection.ReadWrite, _ledger);
        using MemoryMapping second = MemoryMapping.Map(file.Descriptor.Value, Page, (nuint)Page, MemoryProtection.Read, _ledger);
        all.Pointer[Page + 5] = 0x5a;
        Assert.Equal(0x5a, second.Pointer[5]);
        Assert.Equal(2, _ledger.Outstanding(ResourceKind.Mapping));
        file.Dispose();
        Assert.Equal(0x5a, second.Pointer[5]);
    }

    [Theory]
    [InlineData(0ul, (2 * Page) + 1)]
    [InlineData(Page, Page + 1)]
    [InlineData(2 * Page, 1ul)]
    [InlineData(3 * Page, 1ul)]
    [InlineData(Page, ulong.MaxValue)]
    [InlineData(ulong.MaxValue - Page + 1, Page)]
    [InlineData(1ul << 63, Page)]
    [InlineData(0ul, 0ul)]
    [InlineData(1ul, 1ul)]
    public void Map_BeyondTheFileOrUnaligned_IsInvalidAndMapsNothing(ulong offset, ulong length)
    {
        using MemoryFile file = MemoryFile.Create("short", 2 * Page, ledger: _ledger);
        var refused = Assert.Throws<SystemCallException>(
            () => MemoryMapping.Map(file.Descriptor.Value, offset, (nuint)length, MemoryProtection.ReadWrite, _ledger));
        Assert.Equal(Errno.EINVAL, refused.Errno);
        Assert.Contains("mmap", refused.Message, StringComparison.Ordinal);
        Assert.Contains($"0x{offset:x}", refused.Message, StringComparison.Ordinal);
        Assert.Equal(0, _ledger.Outstanding(ResourceKind.Mapping));
    }

    [Fact]
    public void Map_FileThatShrankMeanwhile_IsMeasuredAtTheMoment()
    {
        using MemoryFile file = MemoryFile.Create("shrinking", 2 * Page, ledger: _ledger);
        Libc.Truncate(file.Descriptor.Value, (long)Page);
        Assert.Throws<SystemCallException>(() => MemoryMapping.Map(file.Descriptor.Value, 0, (nuint)(2 * Page), MemoryProtection.Read, _ledger));
    }

    [Theory]
    [InlineData(MemorySeals.Write)]
    [InlineData(MemorySeals.FutureWrite)]
    public void Map_ForStoresWhenSealedAgainstWriting_IsNotPermitted(MemorySeals seals)
    {
        using MemoryFile file = MemoryFile.Create("constant", Page, seals, _ledger);
        var refused = Assert.Throws<SystemCallException>(
            () => MemoryMapping.Map(file.Descriptor.Value, 0, (nuint)Page, MemoryProtection.ReadWrite, _ledger));
        Assert.Equal(Errno.EPERM, refused.Errno);
        using MemoryMapping readable = MemoryMapping.Map(file.Descriptor.Value, 0, (nuint)Page, MemoryProtection.Read, _ledger);
        Assert.Equal(0, *readable.Pointer);
    }

    [Fact]
    public void Map_DescriptorWithoutMemory_NamesTheError()
    {
        using EventDescriptor ev = EventDescriptor.Create(_ledger);
        Assert.Equal(Errno.ENODEV, Refusal(ev.Descriptor.Value));
        Assert.Equal(Errno.EBADF, Refusal(int.MaxValue));
        using var folder = new TemporaryFolder();
        File.WriteAllBytes(folder.File("file"), new byte[Page]);
        using OwnedDescriptor writable = Libc.OpenForWriting(folder.File("file"));
        Assert.Equal(Errno.EACCES, Refusal(writable.Value));

        Errno Refusal(int descriptor) =>
            Assert.Throws<SystemCallException>(() => MemoryMapping.Map(descriptor, 0, (nuint)Page, MemoryProtection.Read, _ledger)).Errno;
    }

    [Fact]
    public void Dispose_Twice_UnmapsOnce()
    {
        using MemoryFile file = MemoryFile.Create("twice", Page, ledger: _ledger);
        MemoryMapping mapping = MemoryMapping.Map(file.Descriptor.Value, 0, (nuint)Page, MemoryProtection.Read, _ledger);
        mapping.Dispose();
        mapping.Dispose();
        Assert.True(mapping.Pointer == null);
        Assert.Equal(0, _ledger.Outstanding(ResourceKind.Mapping));
    }

    [Fact]
    public void Create_SizeThatNoFileHas_IsRefusedAndKeepsNothing()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => MemoryFile.Create("huge", ulong.MaxValue, ledger: _ledger));
        string name = new('n', 300);
        var refused = Assert.Throws<SystemCallException>(() => MemoryFile.Create(name, Page, ledger: _ledger));
        Assert.Equal(("memfd_create", name, Errno.EINVAL), (refused.Call, refused.Thing, refused.Errno));
    }
}
