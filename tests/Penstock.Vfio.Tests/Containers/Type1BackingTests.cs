using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests;

/// <summary>Memory of unusual size or kind behind mappings.</summary>
public sealed partial class Type1BackingTests
{
    private const ulong Page = Type1Rig.Page;
    private const uint HugePages = 4;
    private const int HugeShift = 26;

    [Theory]
    [InlineData(2ul << 20)]
    [InlineData(1ul << 30)]
    [Trait("Row", "T45")]
    public void Map_LargePage_OneLargeEntry(ulong size)
    {
        using var rig = new Type1Rig();

        // One page of that size where the machine has one to give. Where it has none the same is proven for a file of small pages: one entry,
        // not one for each page, for a range of that size and alignment; what kind of page is behind it does not show in the table.
        using OwnedDescriptor? huge = HugePage(size);
        using MemoryFile? small = huge is null ? MemoryFile.Create("large", size) : null;
        OwnedDescriptor file = huge ?? small!.Descriptor;
        Assert.Equal(huge is not null, FileFacts.Of(file.Value).IsHugePages);
        MappedMemory memory = MappedMemory.Create(rig.Host.Mappings, file, 0, size);
        rig.Container.MapDma(size, size, DmaAccess.ReadWrite, memory, 0);
        memory.Release();
        var domain = (SoftwareDomain)rig.IommuGroup.Domain!;
        Assert.Equal(1, domain.Count);
        using (DmaScope scope = domain.Enter())
        {
            Assert.True(scope.TryBorrow(size, size, DmaAccess.Write, out DmaRun run));
            Assert.Equal(size, run.Length);
        }

        Assert.Equal(size / Page, rig.Locked);
        Assert.Equal((Errno.None, size), rig.Unmap(size, size));
        Assert.Equal(0, domain.Count);
        rig.Host.Mappings.Trim();
    }

    [Theory]
    [InlineData(0ul, 16 * Page)]
    [InlineData(3 * Page, Page)]
    [InlineData(5 * Page, 3 * Page)]
    [Trait("Row", "T46")]
    public void Map_DeviceRegisters_WorksAndNobodyPays(ulong offset, ulong size)
    {
        using var rig = new Type1Rig(caller: Rig.User with { MemlockLimit = 0 });
        rig.User.IsReserved = true;
        Assert.Equal(Errno.None, rig.Map(0x10_0000, size, vaddr: Type1Rig.Base + offset));
        Assert.True(rig.IsMapped(0x10_0000));
        Assert.Equal(0ul, rig.Locked);
        Assert.Equal(Errno.EINVAL, rig.Device.Pin(0x10_0000, 1));
        Assert.Equal(Errno.None, rig.Device.DmaWrite(0x10_0000, [7]));
        Assert.Equal(7, rig.User.Span(Type1Rig.Base + offset, 1)[0]);
        Assert.Equal((Errno.None, size), rig.Unmap(0x10_0000, size));
    }

    /// <summary>A file of one huge page; null when the machine has none left.</summary>
    private static OwnedDescriptor? HugePage(ulong size)
    {
        int fd = memfd_create("huge", HugePages | ((uint)System.Numerics.BitOperations.Log2(size) << HugeShift));
        if (fd < 0)
        {
            return null;
        }

        // This takes the page, so that nobody finds it missing later.
        var file = new OwnedDescriptor(fd);
        if (ftruncate(fd, (long)size) == 0 && fallocate(fd, 0, 0, (long)size) == 0)
        {
            return file;
        }

        file.Dispose();
        return null;
    }

    [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int memfd_create(string name, uint flags);

    [LibraryImport("libc")]
    private static partial int ftruncate(int fd, long length);

    [LibraryImport("libc")]
    private static partial int fallocate(int fd, int mode, long offset, long length);
}
