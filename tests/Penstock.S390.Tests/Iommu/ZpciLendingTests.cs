using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.S390.Tests.Iommu;

public sealed class ZpciLendingTests
{
    private const ulong Page = DomainRig.Page;
    private const ulong Start = DomainRig.Start;

    [Fact]
    [Trait("Row", "S3-6")]
    [Trait("Row", "S3-8")]
    public void Lend_UsersMapAndUnmap_EBUSYUntilReturned()
    {
        using var rig = new DomainRig();
        var machine = new object();
        ZpciLoan loan = rig.Domain.Lend(machine);
        Assert.Same(machine, rig.Domain.LentTo);
        Assert.Equal(Errno.EBUSY, rig.TryMap(Start, 1));
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => rig.Unmap(Start, 1)));
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => rig.Domain.Replace(Start, rig.Memory, 0)));
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => rig.Domain.Lend(this)));
        loan.Dispose();
        Assert.Null(rig.Domain.LentTo);
        Assert.Equal(Errno.None, rig.TryMap(Start, 1));
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => rig.Domain.Lend(this)));
        Assert.Equal(Page, rig.Unmap(Start, 1));
        rig.Domain.Lend(this).Dispose();
    }

    [Fact]
    [Trait("Row", "S3-6")]
    public void Return_ClearsFlushesAndReleases()
    {
        using var rig = new DomainRig();
        ZpciLoan loan = rig.Domain.Lend(this);
        ulong real = loan.AddMemory(rig.Memory, 0, rig.Memory.Length);
        Assert.Equal(Errno.None, loan.SetEntry(Start, real + Page, writable: true, out _));
        Assert.Equal(Errno.None, rig.Domain.Write(Start, [1]));
        loan.Dispose();
        Assert.Equal(Errno.EFAULT, rig.Domain.Write(Start, [1]));
        Assert.Equal((Start, 0x1ff_ffff_ffff - Start + 1), Assert.Single(rig.Function.Refreshes));
        Assert.Equal(0, rig.Domain.Count);
        Assert.Equal(Errno.EOPNOTSUPP, loan.SetEntry(Start, real, true, out _));
        Assert.Equal(Errno.EOPNOTSUPP, loan.Refresh(new IovaRange(Start, Start + Page - 1)));
        Assert.Equal(0ul, loan.ClearEntry(Start));
        Assert.Equal(Errno.EOPNOTSUPP, ErrnoOf(() => loan.AddMemory(rig.Memory, 0, Page)));
        loan.Dispose();
    }

    [Fact]
    public void Entries_SetReplacedCleared_SayWhatWasThere()
    {
        using var rig = new DomainRig();
        using ZpciLoan loan = rig.Domain.Lend(this);
        ulong real = loan.AddMemory(rig.Memory, 2 * Page, 8 * Page);
        Assert.NotEqual(0ul, real);
        Assert.Equal((Errno.None, 0ul), (loan.SetEntry(Start + 5, real + Page + 9, writable: false, out ulong previous), previous));
        Assert.Equal((real + Page, false), (loan.GetEntry(Start, out bool writable), writable));
        Assert.Equal(Errno.EPERM, rig.Domain.Write(Start, [1]));
        Assert.Equal((Errno.None, real + Page), (loan.SetEntry(Start, real + (7 * Page), writable: true, out previous), previous));
        Assert.Equal(Errno.None, rig.Domain.Write(Start, [4]));
        Assert.Equal(4, rig.Memory.Span(9 * Page, 1)[0]);
        Assert.Equal(real + (7 * Page), loan.ClearEntry(Start));
        Assert.Equal(0ul, loan.ClearEntry(Start));
        Assert.Equal(0ul, loan.ClearEntry(Start + (1ul << 41)));
        Assert.Equal(Errno.EINVAL, loan.SetEntry(Start, real + (8 * Page), writable: true, out _));
        Assert.Equal(Errno.EINVAL, loan.SetEntry(Start, 0, writable: true, out _));
        Assert.Equal(Errno.EINVAL, loan.SetEntry(1ul << 42, real, writable: true, out _));
        loan.Wait();
        loan.RemoveMemory(real);
        Assert.Equal(Errno.EINVAL, loan.SetEntry(Start, real, writable: true, out _));
    }

    [Fact]
    public void SetEntry_NoMemoryForATable_ENOMEM()
    {
        using var rig = new DomainRig(options: new ZpciIommuOptions { TableMemory = 40 * 1024, ApertureFactor = 0 });
        using ZpciLoan loan = rig.Domain.Lend(this);
        ulong real = loan.AddMemory(rig.Memory, 0, Page);
        Assert.Equal(Errno.None, loan.SetEntry(Start, real, writable: true, out _));
        Assert.Equal(Errno.ENOMEM, loan.SetEntry(Start + (1ul << 31), real, writable: true, out ulong previous));
        Assert.Equal(0ul, previous);
    }

    [Fact]
    public void Dispose_DomainIsLent_BorrowerFindsItReturned()
    {
        using var host = new VfioHost();
        ProcessMemory memory = ProcessMemory.Allocate(Page, host.Ledger);
        var domain = new ZpciDomain(new ZpciDomainSetup { Ledger = host.Ledger });
        ZpciLoan loan = domain.Lend(this);
        ulong real = loan.AddMemory(memory, 0, Page);
        Assert.Equal(Errno.None, loan.SetEntry(0, real, true, out _));
        domain.Dispose();
        Assert.True(loan.IsReturned);
        Assert.Equal(Errno.EOPNOTSUPP, loan.SetEntry(0, real, true, out _));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => domain.Map(0, Page, DmaAccess.Read, memory, 0)));
        domain.Dispose();
        memory.Release();
        Assert.Equal("nothing", host.Ledger.ToString());
    }

    [Fact]
    [Trait("Row", "S3-8")]
    public void LendAndReturn_WhileUsersMapAndTheBorrowerSets_NobodySeesTheOthersPages()
    {
        using var rig = new DomainRig();
        int stop = 0;
        int wrong = 0;
        int mapped = 0;
        var user = new Thread(() =>
        {
            // Users have pages 0 to 7 of the memory, the borrower the others.
            byte[] data = [1];
            while (Volatile.Read(ref stop) == 0)
            {
                Errno errno = rig.TryMap(Start, 4);
                if (errno == Errno.None)
                {
                    Interlocked.Increment(ref mapped);
                    Interlocked.Add(ref wrong, rig.Domain.Write(Start, data) == Errno.None ? 0 : 1);
                    Interlocked.Add(ref wrong, rig.Unmap(Start, 4) == 4 * Page ? 0 : 1);
                }
                else
                {
                    Interlocked.Add(ref wrong, errno == Errno.EBUSY ? 0 : 1);
                }
            }
        }) { IsBackground = true };
        user.Start();
        byte[] data = [2];
        int lent = 0;
        long end = Environment.TickCount64 + 120_000;
        while ((lent < 200 || Volatile.Read(ref mapped) < 200) && Environment.TickCount64 < end)
        {
            if (ErrnoOf(() =>
            {
                using ZpciLoan loan = rig.Domain.Lend(this);
                lent++;
                ulong real = loan.AddMemory(rig.Memory, 8 * Page, Page);
                loan.SetEntry(Start + Page, real, true, out ulong previous);
                Interlocked.Add(ref wrong, previous == 0 && rig.Domain.Write(Start + Page, data) == Errno.None ? 0 : 1);
                Interlocked.Add(ref wrong, rig.Domain.Write(Start, data) == Errno.EFAULT ? 0 : 1);
            }) is not (Errno.None or Errno.EBUSY))
            {
                Interlocked.Increment(ref wrong);
            }
        }

        Volatile.Write(ref stop, 1);
        user.Join();
        Assert.Equal(0, wrong);
        Assert.True(lent > 0 && mapped > 0, $"lent {lent} times, mapped {mapped} times");
        Assert.Equal((1, 0, 2), (rig.Memory.Span(0, 1)[0], rig.Memory.Span(Page, 1)[0], rig.Memory.Span(8 * Page, 1)[0]));
    }

    [Fact]
    public void SetEntry_AllocatesNothing()
    {
        using var rig = new DomainRig();
        using ZpciLoan loan = rig.Domain.Lend(this);
        ulong real = loan.AddMemory(rig.Memory, 0, Page);
        Assert.Equal(0, AllocatedBytes.In(512, i =>
        {
            loan.SetEntry(Start + ((ulong)i * Page), real, true, out _);
            loan.ClearEntry(Start + ((ulong)i * Page));
        }));
    }
}
