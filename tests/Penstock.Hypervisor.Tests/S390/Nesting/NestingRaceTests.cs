using Penstock.Interop;
using Penstock.S390;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390.Nesting;

/// <summary>Devices, guests and users at once.</summary>
public sealed class NestingRaceTests : IDisposable
{
    private const ulong Page = NestingRig.Page;
    private const ulong Iova = NestingRig.Iova;
    private const ulong Data = 8ul << 20;
    private const byte Poison = 0xdd;
    private const int Rounds = 250;

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);

    private readonly NestingRig _rig = new();

    private NestingTables Tables => _rig.Tables;

    public void Dispose() => _rig.Dispose();

    [Theory]
    [InlineData(NestingMode.Shadow)]
    [InlineData(NestingMode.Walked)]
    [Trait("Row", "S3-8")]
    public void Refresh_AfterAChange_LeavesNoAccessThroughTheOldPage(NestingMode kind)
    {
        INestedTranslation mode = _rig.Mode(kind);
        Assert.Equal(Errno.None, mode.Register(Tables.Registration()));

        // Four pages that share two places: each is the guest's again, and poisoned, when it was refreshed away.
        Span<byte> fill = new byte[Page];
        for (ulong i = 0; i < 4; i++)
        {
            fill.Fill((byte)(i + 1));
            Assert.Equal(Errno.None, _rig.Memory.Write(Data + (i * Page), fill));
        }

        Tables.Map(Iova, Data);
        Tables.Map(Iova + (4096 * Page), Data + Page);
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(Iova, 4097 * Page));
        bool stop = false;
        bool poisoned = false;
        bool wrong = false;
        long[] succeeded = new long[2];
        Thread[] devices = [.. Enumerable.Range(0, 2).Select(n => new Thread(() =>
        {
            byte[] data = new byte[256];
            for (int turn = 0; !Volatile.Read(ref stop); turn++)
            {
                // Two addresses with one place in the cache of walks.
                Errno errno = mode.Domain.Read(Iova + ((turn & 1) == 0 ? 0 : 4096 * Page), data);
                poisoned |= errno == Errno.None && data.AsSpan().Contains(Poison);
                wrong |= errno != Errno.None && errno != Errno.EFAULT;
                if (errno == Errno.None)
                {
                    Interlocked.Increment(ref succeeded[n]);
                }
            }
        })
        { IsBackground = true })];
        Array.ForEach(devices, static d => d.Start());
        byte[] poison = new byte[256];
        Array.Fill(poison, Poison);
        byte[] good = new byte[256];
        Array.Fill(good, (byte)1);
        for (ulong i = 0; i < Rounds; i++)
        {
            ulong iova = Iova + ((i & 1) * 4096 * Page);
            ulong old = Data + ((((i >> 1) & 1) * 2) * Page) + ((i & 1) * Page);
            ulong next = Data + (((((i >> 1) + 1) & 1) * 2) * Page) + ((i & 1) * Page);
            if (i % 5 == 0)
            {
                Tables.Unmap(iova);
                mode.Refresh(iova, Page);
            }

            Tables.Map(iova, next);
            Assert.Equal(RpcitAnswer.Done, mode.Refresh(iova, Page));
            _rig.Memory.Write(old, poison);
            if (i % 10 == 0)
            {
                // Somebody reads while the old page is poisoned. Each device's second read from now began after now.
                long[] seen = [.. succeeded];
                Assert.True(
                    SpinWait.SpinUntil(() => Interlocked.Read(ref succeeded[0]) >= seen[0] + 2 && Interlocked.Read(ref succeeded[1]) >= seen[1] + 2, Patience),
                    "the devices cannot read");
            }

            Thread.Yield();
            _rig.Memory.Write(old, good);
        }

        Volatile.Write(ref stop, true);
        Array.ForEach(devices, static d => d.Join());
        Assert.False(poisoned);
        Assert.False(wrong);
    }

    [Fact]
    [Trait("Row", "S3-8")]
    public void Users_WhoMapWhileTablesAreLentAndReturned_NeverMeetTheGuest()
    {
        using var domain = new ZpciDomain(new ZpciDomainSetup { Ledger = _rig.Rig.Host.Ledger });
        var memory = ProcessMemory.Allocate(Page, _rig.Rig.Host.Ledger);
        for (ulong i = 0; i < 8; i++)
        {
            Tables.Map(Iova + (i * Page), Data + (i * Page));
        }

        bool stop = false;
        var odd = new List<Errno>();
        int mapped = 0;
        int busy = 0;
        var user = new Thread(() =>
        {
            while (!Volatile.Read(ref stop))
            {
                Errno errno = ErrnoOf(() => domain.Map(Iova, Page, DmaAccess.Read, memory, 0));
                if (errno == Errno.None)
                {
                    mapped++;
                    do
                    {
                        // Somebody may be finding out that the tables cannot be lent now.
                        errno = ErrnoOf(() => domain.Unmap(new IovaRange(Iova, Iova + Page - 1)));
                    }
                    while (errno == Errno.EBUSY);
                }
                else if (errno == Errno.EBUSY)
                {
                    busy++;
                    errno = Errno.None;
                }

                if (errno != Errno.None)
                {
                    lock (odd)
                    {
                        odd.Add(errno);
                    }
                }
            }
        })
        { IsBackground = true };
        user.Start();
        int lent = 0;
        long started = Environment.TickCount64;
        while ((lent < 20 || Volatile.Read(ref mapped) < 5 || Volatile.Read(ref busy) < 5) && Environment.TickCount64 - started < 120_000)
        {
            ShadowRefresh? shadow = null;
            Errno errno = ErrnoOf(() => shadow = new ShadowRefresh(_rig.Memory, _rig.Payer(1000), domain));
            if (errno == Errno.EBUSY)
            {
                // The user has something mapped at this moment.
                continue;
            }

            Assert.Equal(Errno.None, errno);
            using (shadow)
            {
                lent++;
                Assert.Equal(Errno.None, shadow!.Register(Tables.Registration()));
                for (int i = 0; i < 10; i++)
                {
                    Assert.Equal(RpcitAnswer.Done, shadow.Refresh(Iova, 8 * Page));
                    Assert.Equal(8, shadow.Entries);
                }
            }
        }

        Volatile.Write(ref stop, true);
        user.Join();
        memory.Release();
        Assert.Empty(odd);
        Assert.True(lent >= 20 && mapped >= 5 && busy >= 5, $"{lent} loans, {mapped} maps, {busy} refusals");
        Assert.Equal(0, domain.Count);
    }

    [Fact]
    [Trait("Row", "S3-8")]
    public void Refreshes_OfManyProcessors_AreOneAfterTheOther()
    {
        ShadowRefresh shadow = _rig.Shadow(out ZpciDomain domain);
        WalkedRefresh walked = _rig.Walked();
        Assert.Equal(Errno.None, shadow.Register(Tables.Registration()));
        Assert.Equal(Errno.None, walked.Register(Tables.Registration()));
        Tables.PageEntry(Iova);
        Tables.PageEntry(Iova + ZpciSegment);
        bool failed = false;
        Thread[] processors = [.. Enumerable.Range(0, 3).Select(n => new Thread(() =>
        {
            var random = new Random(n);
            for (int i = 0; i < 600; i++)
            {
                ulong iova = Iova + ((ulong)random.Next(2) * ZpciSegment) + ((ulong)random.Next(32) * Page);
                if (random.Next(3) == 0)
                {
                    Tables.Unmap(iova);
                }
                else
                {
                    Tables.Map(iova, Data + ((ulong)random.Next(32) * Page), random.Next(2) == 0);
                }

                failed |= shadow.Refresh(iova, Page) != RpcitAnswer.Done || walked.Refresh(iova, Page) != RpcitAnswer.Done;
                NestingRig.Seen(walked.Domain, iova);
                NestingRig.Seen(domain, iova);
            }
        })
        { IsBackground = true })];
        Array.ForEach(processors, static p => p.Start());
        Array.ForEach(processors, static p => p.Join());
        Assert.False(failed);
        shadow.Refresh(Iova, 2 * ZpciSegment);
        walked.Refresh(Iova, 2 * ZpciSegment);
        for (ulong i = 0; i < 64; i++)
        {
            ulong iova = Iova + ((i / 32) * ZpciSegment) + ((i % 32) * Page);
            Assert.Equal(NestingRig.Seen(walked.Domain, iova), NestingRig.Seen(domain, iova));
        }
    }

    private const ulong ZpciSegment = 1 << 20;
}
