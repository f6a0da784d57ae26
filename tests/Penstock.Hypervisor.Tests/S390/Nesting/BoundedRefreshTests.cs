using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390.Nesting;

/// <summary>Guests whose tables are small and say a great deal: one refresh must have an end, and leave nothing in reach.</summary>
public sealed class BoundedRefreshTests : IDisposable
{
    private const ulong Page = NestingRig.Page;
    private const ulong Iova = NestingRig.Iova;
    private const ulong Data = 8ul << 20;

    // No memory is there.
    private const ulong Hole = 1ul << 40;
    private const int Frames = 300;

    private readonly NestingRig _rig = new();

    private NestingTables Tables => _rig.Tables;

    public void Dispose() => _rig.Dispose();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Refresh_OfManyPagesThatAreNoMemory_GivesUpAndWhatFollowsIsOutOfReach(bool shadows)
    {
        IRefreshMode fallback = _rig.Fallback(out TranslatingDomain domain);
        IRefreshMode mode = shadows ? _rig.Shadow(out ZpciDomain _) : fallback;
        domain = (mode as INestedTranslation)?.Domain ?? domain;
        Assert.Equal(Errno.None, mode.Register(Tables.Registration()));
        ulong far = Iova + (Frames * ZpciIoTable.SegmentSize);
        Tables.Map(far, Data);
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(far, Page));
        Assert.NotNull(NestingRig.Seen(domain, far));
        SetFrames(Hole | ZpciIoTable.LargeFrame);

        Assert.Equal(RpcitAnswer.Insufficient, mode.Refresh(Iova, 4ul << 30));

        Assert.Null(NestingRig.Seen(domain, far));
        SetFrames(ZpciIoTable.TableInvalid);
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(Iova, 4ul << 30));
        Assert.NotNull(NestingRig.Seen(domain, far));
    }

    [Theory]
    [InlineData(false, ~(Page - 1))]
    [InlineData(true, ~(Page - 1))]
    [InlineData(true, ulong.MaxValue)]
    public void Refresh_OfAllAddressesThereAre_HasAnEndWhateverTheTablesAre(bool circular, ulong length)
    {
        // Each table of a level leads to one below 2048 times, and the last one is empty; or there is nothing at all.
        ulong table = Tables.NewTable();
        for (ZpciDesignationType level = ZpciDesignationType.RegionThird; level <= ZpciDesignationType.RegionFirst; level++)
        {
            ulong above = Tables.NewTable();
            for (ulong i = 0; circular && i < ZpciIoTable.TableEntries; i++)
            {
                Tables.Write(above + (i * ZpciIoTable.EntrySize), table | ((ulong)level * ZpciIoTable.TypeStep) | ZpciIoTable.LengthMask);
            }

            table = above;
        }

        WalkedRefresh walked = _rig.Walked();
        var registration = new IoatRegistration(Iota.Of(table, ZpciDesignationType.RegionFirst), new DmaAperture(0, ulong.MaxValue));
        Assert.Equal(Errno.None, walked.Register(registration));
        RpcitAnswer answer = default;
        var processor = new Thread(() => answer = walked.Refresh(0, length)) { IsBackground = true };
        processor.Start();
        Assert.True(processor.Join(TimeSpan.FromMinutes(2)), "the refresh has no end");
        Assert.Equal(circular ? RpcitAnswer.Insufficient : RpcitAnswer.Done, answer);
    }

    private void SetFrames(ulong entry)
    {
        for (ulong i = 0; i < Frames; i++)
        {
            ulong iova = Iova + (i * ZpciIoTable.SegmentSize);
            ulong segments = Tables.Read(Tables.RegionEntry(iova)) & ZpciIoTable.RegionOrigin;
            Tables.Write(NestingTables.EntryIn(segments, iova, ZpciTableLevel.Segment), entry);
        }
    }
}
