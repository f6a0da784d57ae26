using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests;

/// <summary>Pins of drivers in a container, their copies, and what happens when the user unmaps.</summary>
public sealed class Type1PinTests
{
    private const ulong Page = Type1Rig.Page;
    private const ulong Mega = Type1Rig.Mega;

    public static TheoryData<string> ClosingOrders => new("cgd", "cdg", "gcd", "gdc", "dcg", "dgc");

    [Fact]
    [Trait("Row", "T42")]
    public void Unmap_PinsThatTheDeviceDrops_ToldTheWholeMapping()
    {
        using var rig = new Type1Rig();
        Assert.Equal(Errno.None, rig.Map(Mega, 16 * Page));
        Assert.Equal(Errno.None, rig.Device.Pin(Mega + (3 * Page), 4));
        rig.Device.OnUnmap = (_, _) => rig.Device.UnpinPages(Mega + (3 * Page), 4);
        Assert.Equal((Errno.None, 16 * Page), rig.Unmap(0, 4 * Mega));
        Assert.Equal([(Mega, 16 * Page)], rig.Device.Notices);
        Assert.False(rig.IsMapped(Mega));
    }

    [Fact]
    public void Unmap_NothingPinned_NobodyIsTold()
    {
        using var rig = new Type1Rig();
        Assert.Equal(Errno.None, rig.Map(0, Page));
        Assert.Equal(Errno.None, rig.Map(Page, Page));
        Assert.Equal(Errno.None, rig.Device.Pin(0, 1));
        Assert.Equal((Errno.None, Page), rig.Unmap(Page, Page));
        Assert.Empty(rig.Device.Notices);
        rig.Device.UnpinPages(0, 1);
    }

    [Fact]
    [Trait("Row", "T43")]
    public void Unmap_TwoDevicesOnePinned_BothAreTold()
    {
        using var rig = new Type1Rig();
        var other = new PinningDevice("pinner1");
        var deaf = new FakeDevice("deaf");
        rig.Host.Register(other, rig.IommuGroup);
        rig.Host.Register(deaf, rig.IommuGroup);
        using VfioDeviceFile second = rig.Group.OpenDevice(other.Name);
        using VfioDeviceFile third = rig.Group.OpenDevice(deaf.Name);
        Assert.Equal(Errno.None, rig.Map(0, 2 * Page));
        Assert.Equal(Errno.None, rig.Device.Pin(Page, 1));
        rig.Device.OnUnmap = (_, _) => rig.Device.UnpinPages(Page, 1);
        Assert.Equal((Errno.None, 2 * Page), rig.Unmap(0, 2 * Page));
        Assert.Equal([(0ul, 2 * Page)], rig.Device.Notices);
        Assert.Equal([(0ul, 2 * Page)], other.Notices);
    }

    [Fact]
    [Trait("Row", "T44")]
    public void Unmap_DeviceNeverUnpins_GivenUpAfterTenNotices()
    {
        using var rig = new Type1Rig();
        Assert.Equal(Errno.None, rig.Map(0, Page));
        Assert.Equal(Errno.None, rig.Map(Page, Page));
        Assert.Equal(Errno.None, rig.Device.Pin(Page, 1));

        // What lies below has gone, and the structure says nothing of it.
        Assert.Equal((Errno.EDEADLK, 2 * Page), rig.Unmap(0, 2 * Page));
        Assert.Equal(10, rig.Device.Notices.Count);
        Assert.True(rig.Device.HasFailed);
        Assert.Single(rig.Log, l => l.Contains("given up", StringComparison.Ordinal));
        Assert.False(rig.IsMapped(0));
        Assert.True(rig.IsMapped(Page));
        Assert.Equal(Errno.EIO, rig.Device.Pin(Page, 1));
        Assert.Equal(Errno.EDEADLK, rig.Unmap(Page, Page).Errno);
        Assert.Equal(10, rig.Device.Notices.Count);

        // Closing drops what it kept.
        rig.File.Dispose();
        Assert.Equal((Errno.None, Page), rig.Unmap(Page, Page));
        Assert.Contains(rig.Log, l => l.Contains("closed with 1 pins", StringComparison.Ordinal));
        using VfioDeviceFile again = rig.Group.OpenDevice(rig.Device.Name);
        Assert.False(rig.Device.HasFailed);
    }

    [Fact]
    public void Unmap_DeviceUnmapsInItsNotice_NoHangAndEachByteOnce()
    {
        using var rig = new Type1Rig();
        Assert.Equal(Errno.None, rig.Map(0, 2 * Page));
        Assert.Equal(Errno.None, rig.Device.Pin(0, 1));
        var inner = new List<(Errno, ulong)>();
        rig.Device.OnUnmap = (_, _) =>
        {
            inner.Add(rig.Unmap(0, 2 * Page));
            rig.Device.UnpinPages(0, 1);
            inner.Add(rig.Unmap(0, 2 * Page));
        };
        Assert.Equal((Errno.None, 0ul), rig.Unmap(0, 2 * Page));
        Assert.Equal([(Errno.EDEADLK, 2 * Page), (Errno.None, 2 * Page)], inner);
    }

    [Fact]
    public async Task Unmap_PinsDroppedByAnotherThread_LockIsFreeMeanwhile()
    {
        using var rig = new Type1Rig();
        Assert.Equal(Errno.None, rig.Map(0, Page));
        Assert.Equal(Errno.None, rig.Device.Pin(0, 1));
        rig.Device.OnUnmap = (_, _) => Task.Run(() => rig.Device.UnpinPages(0, 1)).Wait();
        (Errno Errno, ulong Size) answer = await Task.Run(() => rig.Unmap(0, Page)).WaitAsync(TimeSpan.FromSeconds(60));
        Assert.Equal((Errno.None, Page), answer);
    }

    [Fact]
    public void Unmap_NoticeThrows_LoggedAndToldAgain()
    {
        using var rig = new Type1Rig();
        Assert.Equal(Errno.None, rig.Map(0, Page));
        Assert.Equal(Errno.None, rig.Device.Pin(0, 1));
        rig.Device.OnUnmap = (_, _) =>
        {
            if (rig.Device.Notices.Count == 3)
            {
                rig.Device.UnpinPages(0, 1);
            }

            throw new InvalidOperationException("the test wants it");
        };
        Assert.Equal((Errno.None, Page), rig.Unmap(0, Page));
        Assert.Equal(3, rig.Device.Notices.Count);
        Assert.Contains(rig.Log, l => l.Contains("the test wants it", StringComparison.Ordinal));
    }

    [Fact]
    [Trait("Row", "E10")]
    public void Pin_TooManyOrNoneOrNoNoticeOrFirstForm_EachItsErrno()
    {
        using var rig = new Type1Rig();
        var deaf = new FakeDevice("deaf");
        rig.Host.Register(deaf, rig.IommuGroup);
        using VfioDeviceFile second = rig.Group.OpenDevice(deaf.Name);
        Assert.Equal(Errno.None, rig.Map(0, 600 * Page));
        Assert.Equal(Errno.E2BIG, rig.Device.Pin(0, 513));
        Assert.Equal(Errno.EINVAL, rig.Device.Pin(0, 0));
        Assert.Equal(Errno.EINVAL, rig.Device.Pin(0, -1));
        Assert.Equal(Errno.EINVAL, rig.Device.PinPages(0, 2, DmaAccess.Read, new PinnedPage[1]));
        Assert.Equal(Errno.EINVAL, deaf.PinPages(0, 1, DmaAccess.Read, new PinnedPage[1]));
        Assert.Equal(Errno.EOVERFLOW, rig.Device.Pin(ulong.MaxValue - Page + 1, 2));
        Assert.Equal(Errno.None, rig.Device.Pin(0, 512));
        Assert.Equal(512, rig.Host.Ledger.Outstanding(ResourceKind.Pin));
        rig.Device.UnpinPages(0, 512);

        using var first = new Type1Rig(type: VfioIommuType.Type1);
        Assert.Equal(Errno.None, first.Map(0, Page));
        Assert.Equal(Errno.EACCES, first.Device.Pin(0, 1));
        first.File.Dispose();
        Assert.Equal(Errno.EINVAL, first.Device.Pin(0, 1));
        Assert.Equal(Errno.EINVAL, first.Device.DmaRead(0, new byte[1]));
    }

    [Fact]
    [Trait("Row", "E11")]
    public void DmaWrite_WriteOnlyMapping_EPERM()
    {
        using var rig = new Type1Rig();
        Assert.Equal(Errno.None, rig.Map(0, Page, flags: 2));
        Assert.Equal(Errno.EPERM, rig.Device.DmaWrite(0, [1]));
        Assert.Equal(Errno.EPERM, rig.Device.DmaRead(0, new byte[1]));
        Assert.Equal(Errno.None, rig.Map(Page, Page, flags: 1));
        Assert.Equal(Errno.EPERM, rig.Device.DmaWrite(Page, [1]));
        Assert.Equal(Errno.None, rig.Device.DmaRead(Page, new byte[1]));
        Assert.Equal(Errno.EINVAL, rig.Device.DmaRead(4 * Page, new byte[1]));
        Assert.Equal(Errno.EINVAL, rig.Device.DmaRead(0, []));
    }

    [Fact]
    [Trait("Row", "E12")]
    public void Pin_NotMappedOrNotWriteable_ErrorAndNothingStaysPinned()
    {
        using var rig = new Type1Rig();
        Assert.Equal(Errno.None, rig.Map(0, 2 * Page, flags: 1));
        Assert.Equal(Errno.EINVAL, rig.Device.Pin(4 * Page, 1));
        Assert.Equal(Errno.EPERM, rig.Device.Pin(0, 1, DmaAccess.Write));
        Assert.Equal(Errno.EINVAL, rig.Device.Pin(0, 4, DmaAccess.Read));
        Assert.Equal(0, rig.Host.Ledger.Outstanding(ResourceKind.Pin));
        Assert.Equal(Errno.None, rig.Device.Pin(0, 2, DmaAccess.Read));
    }

    [Fact]
    public void Pin_ManyTimes_ChargedOnceAndFreeAtZero()
    {
        using var rig = new Type1Rig(caller: Rig.User with { MemlockLimit = 4 * Page }, emulated: true);
        Assert.Equal(Errno.None, rig.Map(0, 64 * Page));
        Assert.Equal(Errno.None, rig.Device.Pin(0, 4));
        Assert.Equal(Errno.None, rig.Device.Pin(Page, 3));
        Assert.Equal(4ul, rig.Locked);
        Assert.Equal(Errno.ENOMEM, rig.Device.Pin(2 * Page, 4));
        Assert.Equal((4ul, 7L), (rig.Locked, rig.Host.Ledger.Outstanding(ResourceKind.Pin)));
        rig.Device.UnpinPages(0, 4);
        Assert.Equal(3ul, rig.Locked);
        rig.Device.UnpinPages(Page, 3);
        Assert.Equal(0ul, rig.Locked);
        int lines = rig.Log.Count;
        rig.Device.UnpinPages(Page, 3);
        Assert.Equal(lines + 1, rig.Log.Count);
    }

    [Fact]
    public void PinAndCopy_AcrossMappings_SameBytes()
    {
        using var rig = new Type1Rig();
        Assert.Equal(Errno.None, rig.Map(0, Page, vaddr: Type1Rig.Base + (8 * Page)));
        Assert.Equal(Errno.None, rig.Map(Page, Page, vaddr: Type1Rig.Base));
        byte[] bytes = [.. Enumerable.Range(0, 100).Select(i => (byte)i)];
        Assert.Equal(Errno.None, rig.Device.DmaWrite(Page - 50, bytes));
        Assert.Equal(bytes[50..], rig.User.Span(Type1Rig.Base, 50).ToArray());
        var pages = new PinnedPage[2];
        Assert.Equal(Errno.None, rig.Device.PinPages(0, 2, DmaAccess.Read, pages));
        byte[] seen = new byte[50];
        Assert.Equal(Errno.None, pages[0].Memory.Read(pages[0].Offset + Page - 50, seen));
        Assert.Equal(bytes[..50], seen);
        byte[] back = new byte[100];
        Assert.Equal(Errno.None, rig.Device.DmaRead(Page - 50, back));
        Assert.Equal(bytes, back);

        // What was copied before a hole stays copied.
        Assert.Equal(Errno.EINVAL, rig.Device.DmaWrite((2 * Page) - 1, [9, 9]));
        Assert.Equal(9, rig.User.Span(Type1Rig.Base + Page - 1, 1)[0]);
        rig.Device.UnpinPages(0, 2);
    }

    [Fact]
    public void Pin_RecordsOfPartlyMissingMemory_OnlyWhatIsThere()
    {
        using var rig = new Type1Rig(emulated: true);
        rig.User.Hole = Type1Rig.Base + (4 * Page);
        Assert.Equal(Errno.None, rig.Map(0, 8 * Page));
        Assert.Equal(Errno.None, rig.Device.Pin(0, 4));
        Assert.Equal(Errno.EFAULT, rig.Device.Pin(4 * Page, 1));
        Assert.Equal(Errno.None, rig.Device.DmaWrite(0, [1, 2, 3]));
        rig.User.IsGone = true;
        Assert.Equal(Errno.ENODEV, rig.Device.Pin(0, 1));
        Assert.Equal(Errno.EPERM, rig.Device.DmaRead(0, new byte[1]));
        rig.User.IsGone = false;
        rig.Device.UnpinPages(0, 4);
    }

    [Fact]
    public void PinAndUnmap_InsideAScope_EDEADLK()
    {
        using var rig = new Type1Rig();
        Assert.Equal(Errno.None, rig.Map(0, Page));
        using DmaScope scope = ((SoftwareDomain)rig.IommuGroup.Domain!).Enter();
        Assert.Equal(Errno.EDEADLK, rig.Device.Pin(0, 1));
        Assert.Equal(Errno.EDEADLK, rig.Device.DmaRead(0, new byte[1]));
        Assert.Equal(Errno.EDEADLK, rig.Unmap(0, Page).Errno);
    }

    [Theory]
    [MemberData(nameof(ClosingOrders))]
    [Trait("Row", "E13")]
    public void Dispose_AnyOrderWithPins_ZeroPinsZeroCharge(string order)
    {
        foreach (bool emulated in new[] { false, true })
        {
            // The rig itself asserts the balance when it is disposed.
            using var rig = new Type1Rig(emulated: emulated);
            Assert.Equal(Errno.None, rig.Map(0, 64 * Page));
            Assert.Equal(Errno.None, rig.Map(Mega, 64 * Page));
            Assert.Equal(Errno.None, rig.Device.Pin(0, 8));
            Assert.Equal(Errno.None, rig.Device.Pin(4 * Page, 8));
            Assert.NotEqual("nothing", rig.Host.MemoryBalance);
            foreach (char file in order)
            {
                IDisposable closing = file switch { 'c' => rig.Container, 'g' => rig.Group, _ => rig.File };
                closing.Dispose();
            }

            Assert.Equal("nothing", rig.Host.MemoryBalance);
        }
    }

    [Fact]
    [Trait("Row", "E13")]
    public void Unregister_WithPins_ZeroPinsZeroCharge()
    {
        using var rig = new Type1Rig();
        Assert.Equal(Errno.None, rig.Map(0, 8 * Page));
        Assert.Equal(Errno.None, rig.Device.Pin(0, 8));
        rig.File.Dispose();
        rig.Host.Unregister(rig.Device);
        Assert.Equal("nothing", rig.Host.MemoryBalance);
        Assert.Equal(Errno.EINVAL, rig.Device.Pin(0, 1));
    }
}
