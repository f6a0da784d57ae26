using System.Runtime.CompilerServices;
using Penstock.Interop;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.S390;

/// <summary>
/// A translation of an s390 host (zPCI, I/O address translation): DMA goes through real region, segment and page tables. Pages of 4 KiB only; a
/// mapping that does not let devices write has the protect bit, and there is none that only lets them write. Maps and unmaps run beside each other
/// without a lock around the tables. When <see cref="Unmap"/> returns nothing uses what was removed; who would rather wait less often has a
/// <see cref="ZpciDmaSpace"/> of his own, which users of VFIO never see.
/// </summary>
public sealed unsafe partial class ZpciDomain : TranslatingDomain
{
    // How many pages one translation looks ahead: neighbours are usually neighbours in memory, too.
    private const int MostAhead = 16;

    private readonly HostIoTables _tables;
    private readonly RealAddresses _real = new();
    private readonly ZpciDomainSetup _setup;
    private readonly DmaAperture _aperture;

    /// <summary>Makes an empty domain.</summary>
    /// <param name="setup">How.</param>
    /// <exception cref="VfioException">ENOMEM: no memory for the first table.</exception>
    public ZpciDomain(ZpciDomainSetup setup)
    {
        ArgumentNullException.ThrowIfNull(setup);
        _setup = setup;
        _tables = new HostIoTables(setup.Type, setup.TableMemory, setup.Ledger);
        _aperture = new DmaAperture(_tables.Aperture.First, _tables.Aperture.Last);
    }

    /// <inheritdoc/>
    public override IovaRange Aperture => _tables.Aperture;

    /// <inheritdoc/>
    public override ulong PageSizes => ZpciIoTable.PageSize;

    /// <inheritdoc/>
    public override int Count => _real.Count;

    /// <summary>What functions are given to find the tables.</summary>
    public ulong Iota => _tables.Iota;

    /// <summary>Bytes of tables.</summary>
    public ulong TableBytes => _tables.TableBytes;

    /// <summary>What was done so far.</summary>
    public ZpciDomainCounters Counters => new(
        Interlocked.Read(ref _mappedPages),
        Interlocked.Read(ref _unmappedPages),
        Interlocked.Read(ref _globalRefreshes),
        Interlocked.Read(ref _syncMapRefreshes),
        Interlocked.Read(ref _syncRefreshes));

    /// <summary>The page entry of an address, as a function finds it, in this machine's byte order.</summary>
    /// <param name="iova">The address.</param>
    /// <returns>The entry; an invalid one where there is no table.</returns>
    public ulong Entry(ulong iova) => _tables.Entry(iova);

    /// <summary>The memory behind a real address that an entry has; for tests and tools, while nobody unmaps.</summary>
    /// <param name="real">The address.</param>
    /// <param name="offset">Offset in the memory.</param>
    /// <returns>The memory, without a reference; null: there is none.</returns>
    public UserMemory? MemoryAt(ulong real, out ulong offset)
    {
        RealBank? bank = _real.Find(real);
        offset = bank is null ? 0 : bank.MemoryOffset + (real - bank.Base);
        return bank?.Memory;
    }

    /// <inheritdoc/>
    protected override Errno Translate(ulong iova, DmaAccess access, out DmaTarget target)
    {
        // SAFETY: tables stay until the domain is disposed, which waits for scopes; the look-ahead ends with the page table.
        ulong* at = _tables.Find(iova);
        ulong entry = at != null ? HostIoTables.FromTable(Volatile.Read(ref *at)) : ZpciIoTable.PageInvalid;
        if ((entry & (ZpciIoTable.PageInvalid | ZpciIoTable.Protected)) != 0
            && ((entry & ZpciIoTable.PageInvalid) != 0 || (access & DmaAccess.Write) != 0))
        {
            target = default;
            return (entry & ZpciIoTable.PageInvalid) != 0 ? Errno.EFAULT : Errno.EPERM;
        }

        RealBank bank = _real.At(entry);
        ulong inPage = iova & (ZpciIoTable.PageSize - 1);
        int ahead = Math.Min(MostAhead, ZpciIoTable.PageEntries - (int)HostIoTables.PageIndex(iova));
        int pages = 1;
        while (pages < ahead && HostIoTables.FromTable(Volatile.Read(ref at[pages])) == entry + ((ulong)pages * ZpciIoTable.PageSize))
        {
            pages++;
        }

        ulong offset = (entry & ZpciIoTable.PageFrame) - bank.Base + inPage;
        target = new DmaTarget(bank.Memory, bank.MemoryOffset + offset, ((ulong)pages * ZpciIoTable.PageSize) - inPage);
        return Errno.None;
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        // Whoever keeps the tables finds that they are his no more; then users' calls in progress end.
        Volatile.Read(ref _loan)?.Dispose();
        if (!TryLeaveUsers(Gone))
        {
            return;
        }

        _tables.Close();
        WaitForScopes();
        _tables.Dispose();
        _real.Clear();
    }
}
