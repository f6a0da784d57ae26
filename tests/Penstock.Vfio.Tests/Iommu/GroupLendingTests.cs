using System.Runtime.InteropServices;
using Penstock.Interop;

namespace Penstock.Vfio.Tests.Iommu;

public sealed class GroupLendingTests : IDisposable
{
    private const ulong Page = 4096;

    private readonly VfioHost _host = new();
    private readonly IommuUnit _unit;
    private readonly IommuGroup _group;
    private readonly Strand _strand;
    private readonly DmaPort _port;

    public GroupLendingTests()
    {
        _unit = _host.AddIommuUnit("unit");
        _group = _unit.CreateGroup();
        _strand = new Strand("lending", _host.Ledger);
        _port = new DmaPort(_group, _strand) { BusMasterEnabled = true };
    }

    public void Dispose()
    {
        _group.Detach();
        _strand.Dispose();
        Assert.Equal("nothing", _host.Ledger.ToString());
        _host.Dispose();
    }

    [Fact]
    [Trait("Row", "S3-9")]
    public void Lend_OwnersMapsGoOnUnseenUntilItIsTakenBack()
    {
        using TranslatingDomain book = Filled(1);
        using TranslatingDomain other = Filled(2);
        _group.Attach(book);

        using GroupLending lending = _group.Lend(other);

        Assert.Equal(2, Seen(0));
        Map(book, Page, 3);
        Assert.Equal(-1, Seen(Page));
        Assert.True(lending.TakeBack());
        Assert.Equal((1, 3), (Seen(0), Seen(Page)));
        Assert.False(lending.TakeBack());
        Assert.False(_group.IsLent);
    }

    [Fact]
    public void Lend_OfABlockedOrLentGroup_IsRefused()
    {
        using TranslatingDomain book = Filled(1);
        using TranslatingDomain other = Filled(2);
        Assert.Equal(Errno.ENODEV, ErrnoOf(() => _group.Lend(other)));

        _group.Attach(book);
        using GroupLending lending = _group.Lend(other);

        Assert.Equal(Errno.EBUSY, ErrnoOf(() => _group.Lend(other)));
        Assert.True(lending.IsInForce);
    }

    [Fact]
    public void Detach_OfALentGroup_BlocksItAndEndsTheLending()
    {
        using TranslatingDomain book = Filled(1);
        using TranslatingDomain other = Filled(2);
        _group.Attach(book);
        using GroupLending lending = _group.Lend(other);

        _group.Detach();

        Assert.Equal(-1, Seen(0));
        Assert.False(lending.IsInForce);
        Assert.False(lending.TakeBack());
        _group.Attach(book);
        Assert.Equal(1, Seen(0));
    }

    [Fact]
    public void Attach_WhileLent_IsWhereItComesBackTo()
    {
        using TranslatingDomain first = Filled(1);
        using TranslatingDomain second = Filled(3);
        using TranslatingDomain other = Filled(2);
        _group.Attach(first);
        using GroupLending lending = _group.Lend(other);

        _group.Attach(second);

        Assert.Equal(2, Seen(0));
        lending.Dispose();
        Assert.Equal(3, Seen(0));
    }

    [Fact]
    [Trait("Row", "S3-8")]
    public void LendAndTakeBack_UnderLoad_EachReadIsOfOneDomainAndNoneOfTheOldOneAfterwards()
    {
        using TranslatingDomain book = Filled(1);
        using TranslatingDomain other = Filled(2);
        _group.Attach(book);
        bool stop = false;
        bool mixed = false;
        long reads = 0;
        var reader = new Thread(() =>
        {
            byte[] data = new byte[64];
            while (!Volatile.Read(ref stop))
            {
                // Refused is impossible: one of the two domains is always in force.
                if (_port.Read(0, data) != Errno.None || data.AsSpan().ContainsAnyExcept(data[0]) || data[0] is not (1 or 2))
                {
                    mixed = true;
                }

                Interlocked.Increment(ref reads);
            }
        });
        reader.Start();

        // On a busy machine all rounds could be over before the reader has begun.
        for (int i = 0; i < 500 || Interlocked.Read(ref reads) == 0; i++)
        {
            using (_group.Lend(other))
            {
                Assert.Equal(2, Seen(0));
            }

            Assert.Equal(1, Seen(0));
        }

        Volatile.Write(ref stop, true);
        reader.Join();
        Assert.False(mixed);
    }

    private TranslatingDomain Filled(byte value)
    {
        TranslatingDomain domain = _unit.CreateDomain();
        Map(domain, 0, value);
        return domain;
    }

    private void Map(TranslatingDomain domain, ulong iova, byte value)
    {
        var memory = ProcessMemory.Allocate(Page, _host.Ledger);
        Assert.Equal(Errno.None, memory.Write(0, Enumerable.Repeat(value, (int)Page).ToArray()));
        domain.Map(iova, Page, DmaAccess.ReadWrite, memory, 0);
        memory.Release();
    }

    private int Seen(ulong iova)
    {
        byte value = 0;
        return _port.Read(iova, MemoryMarshal.CreateSpan(ref value, 1)) == Errno.None ? value : -1;
    }
}
