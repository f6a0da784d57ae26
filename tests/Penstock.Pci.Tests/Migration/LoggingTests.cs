using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;
using Penstock.Vfio.Tests;

namespace Penstock.Pci.Tests;

public sealed class LoggingTests
{
    private const ulong Page = 4096;

    [Fact]
    [Trait("Row", "F6")]
    public void Start_RangesThatCannotBe_AreRefusedInOrder()
    {
        using var rig = new MigrationRig(new FakeFunction { Description = new CounterFunction().Description });
        Assert.Equal(Errno.EINVAL, Start(rig, Page));
        Assert.Equal(Errno.E2BIG, Start(rig, Page, [.. Enumerable.Range(0, 257).Select(static i => LoggingFeature.Range((ulong)i * Page, Page))]));
        Assert.Equal(Errno.EINVAL, Start(rig, Page, LoggingFeature.Range(0x800, Page)));
        Assert.Equal(Errno.EINVAL, Start(rig, Page, LoggingFeature.Range(0, Page + 1)));
        Assert.Equal(Errno.EINVAL, Start(rig, Page, LoggingFeature.Range(0, 0)));
        Assert.Equal(Errno.EOVERFLOW, Start(rig, Page, LoggingFeature.Range(ulong.MaxValue - Page + 1, Page)));
        Assert.Equal(Errno.EOVERFLOW, Start(rig, Page, LoggingFeature.Range(Page, ulong.MaxValue - Page + 1)));
        Assert.Equal(Errno.EINVAL, Start(rig, Page, LoggingFeature.Range(0, 2 * Page), LoggingFeature.Range(Page, Page)));
        Assert.Equal(Errno.EINVAL, Start(rig, Page, LoggingFeature.Range(0, Page), LoggingFeature.Range(0, Page)));
        var nowhere = new VfioFeatureDmaLoggingControl { PageSize = Page, RangeCount = 1, Ranges = 16 };
        Assert.Equal(Errno.EFAULT, rig.File.Call(VfioFeature.DmaLoggingStart, VfioFeatureFlags.Set, ref nowhere));

        // None of these has started it.
        Assert.Equal(Errno.EINVAL, rig.File.Report(0, Page, Page, new ulong[1]));
        Assert.Equal(Errno.None, Start(rig, Page, [.. Enumerable.Range(0, 256).Select(static i => LoggingFeature.Range((ulong)(255 - i) * 2 * Page, Page))]));
    }

    [Fact]
    [Trait("Row", "F7")]
    public void Start_Twice_ErrorStop_NoneReport_Error()
    {
        using var rig = new MigrationRig();
        Assert.Equal(Errno.None, Start(rig, Page, LoggingFeature.Range(0, Page)));
        Assert.Equal(Errno.EINVAL, Start(rig, Page, LoggingFeature.Range(0, Page)));
        Assert.Equal(Errno.None, rig.File.StopLogging());
        Assert.Equal(Errno.EINVAL, rig.File.Report(0, Page, Page, new ulong[1]));
        Assert.Equal(Errno.None, rig.File.StopLogging());
        Assert.Equal(Errno.None, Start(rig, Page, LoggingFeature.Range(0, Page)));
    }

    [Theory]
    [Trait("Row", "F8")]
    [InlineData(512ul, 4096ul)]
    [InlineData(4096ul, 4096ul)]
    [InlineData(65536ul, 65536ul)]
    [InlineData(1ul << 30, 2ul << 20)]
    public void Start_PageHint_AnsweredWithTheDevicesOwn(ulong hint, ulong answer)
    {
        using var rig = new MigrationRig();
        ulong page = hint;
        Assert.Equal(Errno.None, rig.File.StartLogging(ref page, LoggingFeature.Range(0, 1ul << 31)));
        Assert.Equal(answer, page);
    }

    [Fact]
    public void Start_WholeAddressSpace_TakesLargerPages()
    {
        using var rig = new MigrationRig();
        ulong page = Page;
        Assert.Equal(Errno.None, rig.File.StartLogging(ref page, LoggingFeature.Range(0, ulong.MaxValue - 0xfff)));
        Assert.True(page > 1ul << 32, $"{page}");
        Put(rig, 0x3000, 64);
        ulong[] bitmap = new ulong[1];
        Assert.Equal(Errno.None, rig.File.Report(0, 16 * Page, Page, bitmap));
        Assert.Equal(0xfffful, bitmap[0]);
    }

    [Fact]
    [Trait("Row", "F9")]
    public void Report_PageSizeOrRangeThatCannotBe_Refused()
    {
        using var rig = new MigrationRig();
        Assert.Equal(Errno.None, Start(rig, Page, LoggingFeature.Range(0, 16 * Page)));
        ulong[] bitmap = new ulong[1];
        Assert.Equal(Errno.EINVAL, rig.File.Report(0, Page, 2048, bitmap));
        Assert.Equal(Errno.EINVAL, rig.File.Report(0, Page, 6000, bitmap));
        Assert.Equal(Errno.EINVAL, rig.File.Report(0, Page, 0, bitmap));
        Assert.Equal(Errno.EOVERFLOW, rig.File.Report(ulong.MaxValue - Page + 1, Page, Page, bitmap));
        Assert.Equal(Errno.EOVERFLOW, rig.File.Report(Page, ulong.MaxValue, Page, bitmap));
    }

    [Fact]
    [Trait("Row", "F10")]
    public void Report_DirtyPage_AddsBitsAndForgets()
    {
        using var rig = new MigrationRig();
        Assert.Equal(Errno.None, Start(rig, Page, LoggingFeature.Range(0, 16 * Page)));
        Put(rig, 3 * Page + 100, 64);
        Put(rig, 5 * Page - 1, 64);
        ulong[] bitmap = [0x8000_0000_0000_0001];
        Assert.Equal(Errno.None, rig.File.Report(0, 16 * Page, Page, bitmap));
        Assert.Equal(0x8000_0000_0000_0039, bitmap[0]);
        bitmap[0] = 0x8000_0000_0000_0001;
        Assert.Equal(Errno.None, rig.File.Report(0, 16 * Page, Page, bitmap));
        Assert.Equal(0x8000_0000_0000_0001, bitmap[0]);
    }

    [Fact]
    public unsafe void Report_BitmapThatIsNotThere_EFAULTAndNothingForgotten()
    {
        using var rig = new MigrationRig();
        Assert.Equal(Errno.None, Start(rig, Page, LoggingFeature.Range(0, 16 * Page)));
        Put(rig, 3 * Page, 64);
        var report = new VfioFeatureDmaLoggingReport { Size = 16 * Page, PageSize = Page, Bitmap = 8 };
        Assert.Equal(Errno.EFAULT, rig.File.Call(VfioFeature.DmaLoggingReport, VfioFeatureFlags.Get, ref report));
        ulong[] bitmap = new ulong[1];
        Assert.Equal(Errno.None, rig.File.Report(0, 16 * Page, Page, bitmap));
        Assert.Equal(8ul, bitmap[0]);
    }

    [Fact]
    public void Written_EveryWay_IsLogged()
    {
        using var rig = new MigrationRig();
        DmaPort port = rig.Counter.Port.Dma;

        // Taken before the log starts, given back after.
        HeldMemory early;
        using (DmaScope scope = port.Enter())
        {
            Assert.Equal(Errno.None, scope.TryHold(0, 64, DmaAccess.Write, out early));
        }

        Assert.Equal(Errno.None, Start(rig, Page, LoggingFeature.Range(0, 16 * Page)));
        using (DmaScope scope = port.Enter())
        {
            Assert.False(scope.TryBorrow(Page, 64, DmaAccess.Write, out _));
            Assert.Equal(Errno.None, scope.TryHold(2 * Page, 64, DmaAccess.Read, out HeldMemory reads));
            reads.Dispose();
            Assert.Equal(Errno.None, scope.TryHold(3 * Page, 64, DmaAccess.ReadWrite, out HeldMemory writes));
            writes.Dispose();
        }

        Assert.Equal(Errno.None, port.Read(4 * Page, new byte[64]));
        Assert.Equal(Errno.None, port.Write(5 * Page, new byte[64]));
        ValueTask<Errno> writing = port.WriteAsync(6 * Page, new byte[64]);
        Assert.True(writing.IsCompletedSuccessfully);
        ulong[] bitmap = new ulong[1];
        Assert.Equal(Errno.None, rig.File.Report(0, 16 * Page, Page, bitmap));
        Assert.Equal(0b110_1000ul, bitmap[0]);
        early.Dispose();
        bitmap[0] = 0;
        Assert.Equal(Errno.None, rig.File.Report(0, 16 * Page, Page, bitmap));
        Assert.Equal(1ul, bitmap[0]);

        Assert.Equal(Errno.None, rig.File.StopLogging());
        using (DmaScope scope = port.Enter())
        {
            Assert.True(scope.TryBorrow(Page, 64, DmaAccess.Write, out _));
        }
    }

    [Theory]
    [InlineData(4096ul, 4096ul)]
    [InlineData(4096ul, 65536ul)]
    [InlineData(65536ul, 4096ul)]
    [InlineData(2ul << 20, 4096ul)]
    [InlineData(8192ul, 1ul << 40)]
    public void Report_AnyPageSizes_AgreesWithNaiveModel(ulong logged, ulong reported)
    {
        const int Pages = 1200;
        using var rig = new MigrationRig(pages: Pages);
        var random = new Random(3);
        ulong page = logged;
        Assert.Equal(Errno.None, rig.File.StartLogging(ref page, LoggingFeature.Range(0, 2ul << 20), LoggingFeature.Range(4ul << 20, 2ul << 20)));
        Assert.Equal(logged, page);
        for (int round = 0; round < 30; round++)
        {
            var dirty = new HashSet<ulong>();
            for (int i = 0; i < 20; i++)
            {
                ulong at = (ulong)random.Next((Pages * 4096) - 9000);
                int length = random.Next(1, 9000);
                Put(rig, at, length);
                for (ulong b = at / logged; b <= (at + (ulong)length - 1) / logged; b++)
                {
                    dirty.Add(b);
                }
            }

            ulong start = (ulong)random.Next(3) * (2ul << 20);
            ulong size = (6ul << 20) - start;
            ulong[] bitmap = new ulong[(size / Math.Min(reported, size) / 64) + 1];
            Assert.Equal(Errno.None, rig.File.Report(start, size, reported, bitmap));
            for (ulong bit = 0; bit < (ulong)bitmap.Length * 64; bit++)
            {
                bool expected = false;
                for (ulong at = start + (bit * reported); at < start + ((bit + 1) * reported) && at < 6ul << 20; at += 4096)
                {
                    expected |= dirty.Contains(at / logged) && (at < 2ul << 20 || at >= 4ul << 20);
                }

                Assert.Equal(expected, (bitmap[bit / 64] & (1ul << (int)(bit % 64))) != 0);
            }

            Assert.Equal(Errno.None, rig.File.Report(0, 6ul << 20, 1ul << 40, new ulong[1]));
        }
    }

    [Fact]
    public void Report_PartOfALogPage_DoesNotForgetTheRest()
    {
        using var rig = new MigrationRig();
        ulong page = 65536;
        Assert.Equal(Errno.None, rig.File.StartLogging(ref page, LoggingFeature.Range(0, 65536)));
        Put(rig, 0x5000, 64);
        ulong[] bitmap = new ulong[1];
        Assert.Equal(Errno.None, rig.File.Report(0, Page, Page, bitmap));
        Assert.Equal(1ul, bitmap[0]);
        bitmap[0] = 0;
        Assert.Equal(Errno.None, rig.File.Report(0x5000, Page, Page, bitmap));
        Assert.Equal(1ul, bitmap[0]);
        Assert.Equal(Errno.None, rig.File.Report(0, 16 * Page, Page, bitmap));
        Assert.Equal(0xfffful, bitmap[0]);
        bitmap[0] = 0;
        Assert.Equal(Errno.None, rig.File.Report(0, 16 * Page, Page, bitmap));
        Assert.Equal(0ul, bitmap[0]);
    }

    [Fact]
    public void Log_OfOneDevice_DoesNotSeeAnother()
    {
        using var rig = new MigrationRig();
        var other = new CounterFunction();
        using var second = new VfioPciCoreDevice("0000:01:00.1", other, rig.Device.Group!);
        rig.Host.Register(second, rig.Device.Group!);
        using (VfioDeviceFile file = rig.GroupFile.OpenDevice(second.Name))
        {
            Assert.Equal(Errno.None, Start(rig, Page, LoggingFeature.Range(0, 16 * Page)));
            Assert.Equal(Errno.None, other.Port.Dma.Write(0, new byte[64]));
            ulong[] bitmap = new ulong[1];
            Assert.Equal(Errno.None, rig.File.Report(0, 16 * Page, Page, bitmap));
            Assert.Equal(0ul, bitmap[0]);
        }

        rig.Host.Unregister(second);
    }

    [Fact]
    public void Log_LastClose_Ends()
    {
        using var rig = new MigrationRig();
        Assert.Equal(Errno.None, Start(rig, Page, LoggingFeature.Range(0, 16 * Page)));
        rig.File.Dispose();
        using VfioDeviceFile again = rig.GroupFile.OpenDevice(rig.Device.Name);
        ulong page = Page;
        Assert.Equal(Errno.EINVAL, again.Report(0, Page, Page, new ulong[1]));
        Assert.Equal(Errno.None, again.StartLogging(ref page, LoggingFeature.Range(0, Page)));
    }

    [Fact]
    public void Write_LoggingOnOrOff_AllocatesNothing()
    {
        using var rig = new MigrationRig();
        byte[] data = new byte[64];
        DmaPort port = rig.Counter.Port.Dma;
        foreach (bool on in (bool[])[false, true])
        {
            if (on)
            {
                Assert.Equal(Errno.None, Start(rig, Page, LoggingFeature.Range(0, 16 * Page)));
            }

            Errno errno = Errno.None;
            Assert.Equal(0, AllocatedBytes.In(1000, i => errno |= port.Write((ulong)(i % 900) * 64, data)));
            Assert.Equal(Errno.None, errno);
        }
    }

    private static Errno Start(MigrationRig rig, ulong page, params VfioFeatureDmaLoggingRange[] ranges) => rig.File.StartLogging(ref page, ranges);

    private static void Put(MigrationRig rig, ulong iova, int length) => Assert.Equal(Errno.None, rig.Counter.Port.Dma.Write(iova, new byte[length]));
}
