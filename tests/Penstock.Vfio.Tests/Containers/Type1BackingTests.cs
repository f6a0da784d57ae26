using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests;

/// <summary>Memory of unusual size or kind behind mappings.</summary>
public sealed class Type1BackingTests
{
    private const ulong Page = Type1Rig.Page;

    [Theory]
    [InlineData(2ul << 20)]
    [InlineData(1ul << 30)]
    [Trait("Row", "T45")]
    public unsafe void Map_LargePage_OneLargeEntry(ulong size)
    {
        using var rig = new Type1Rig();
        using MemoryFile file = MemoryFile.Create("large", size);
        MappedMemory memory = MappedMemory.Create(rig.Host.Mappings, file.Descriptor, 0, size);
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
}
