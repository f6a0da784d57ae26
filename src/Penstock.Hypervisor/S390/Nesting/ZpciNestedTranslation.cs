using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// Nested zPCI translations through an iommufd (HWPT_ALLOC with <see cref="ZpciNestedTable"/>, HWPT_INVALIDATE with <see cref="ZpciNestedInvalidation"/>). The page
/// table below maps the guest's memory: its I/O addresses are the guest's absolute addresses, and it has pinned and charged what it maps. Install it in a
/// unit's options.
/// </summary>
public sealed class ZpciNestedTranslation : NestedTranslation
{
    private readonly Func<PagingHwPagetable, GuestMemory?>? _memoryOf;

    /// <summary>Creates the kind.</summary>
    /// <param name="memoryOf">
    /// The guest's memory behind a page table, for shadows, which pin page by page; null, or an answer of null, when shadows are not to be had.
    /// </param>
    public ZpciNestedTranslation(Func<PagingHwPagetable, GuestMemory?>? memoryOf = null) => _memoryOf = memoryOf;

    /// <inheritdoc/>
    public override uint DataType => ZpciNesting.HwptDataType;

    /// <inheritdoc/>
    public override int MinimumDataLength => ZpciNestedTable.Length;

    /// <inheritdoc/>
    /// <exception cref="VfioException">
    /// EINVAL: not a registration: reserved bits, an empty stretch of addresses; EOPNOTSUPP: no such mode, or tables that it cannot follow: the VMM does it by
    /// itself; ENOMEM: over the limit of locked memory; EFAULT: the tables are not in the guest's memory.
    /// </exception>
    public override NestedDomain Create(PagingHwPagetable parent, ReadOnlySpan<byte> data)
    {
        ArgumentNullException.ThrowIfNull(parent);
        const string What = "nesting zPCI tables";
        ZpciNestedTable table = MemoryMarshal.Read<ZpciNestedTable>(data);
        var aperture = new DmaAperture(table.FirstAddress, table.LastAddress);
        const ulong InPage = ZpciIoTable.PageSize - 1;
        if (table.Reserved != 0 || aperture.IsEmpty || (aperture.First & InPage) != 0 || (aperture.Last & InPage) != InPage)
        {
            throw new VfioException(Errno.EINVAL, What, $"[0x{aperture.First:x}, 0x{aperture.Last:x}] are not whole pages, or the reserved field is not 0");
        }

        INestedTranslation mode = MakeMode(What, parent, (NestingMode)table.Mode, out ZpciDomain? tables);
        try
        {
            Errno errno = mode.Register(new IoatRegistration(new Iota(table.Iota), aperture));
            return errno == Errno.None
                ? new Stage(mode, tables)
                : throw new VfioException(errno, What, $"the anchor 0x{table.Iota:x} cannot be followed in mode {mode.Name}");
        }
        catch
        {
            mode.Dispose();
            tables?.Dispose();
            throw;
        }
    }

    private INestedTranslation MakeMode(string what, PagingHwPagetable parent, NestingMode mode, out ZpciDomain? tables)
    {
        tables = null;
        VfioHost host = parent.Unit.Host;
        switch (mode)
        {
            case NestingMode.Walked when parent.Domain is TranslatingDomain below:
                return new WalkedRefresh(below, host.Ledger);
            case NestingMode.Shadow when _memoryOf?.Invoke(parent) is { } memory:
                tables = new ZpciDomain(new ZpciDomainSetup { Ledger = host.Ledger });
                try
                {
                    return new ShadowRefresh(memory, new LockedPages(host, parent.Context.Caller), tables);
                }
                catch
                {
                    tables.Dispose();
                    throw;
                }

            default:
                throw new VfioException(Errno.EOPNOTSUPP, what, $"mode {(uint)mode} cannot be had here; map page by page instead");
        }
    }

    private sealed class Stage(INestedTranslation mode, ZpciDomain? tables) : NestedDomain
    {
        public override IommuDomain Domain => mode.Domain;

        public override Errno CheckInvalidation(uint dataType, uint entryLength, uint count) =>
            dataType != ZpciNesting.InvalidateDataType || (count != 0 && entryLength < ZpciNestedInvalidation.Size) ? Errno.EINVAL : Errno.None;

        /// <summary>RPCIT. ENOMEM is status 16; EINVAL is an error event, which the VMM names by a walk of its own.</summary>
        public override Errno Invalidate(ReadOnlySpan<byte> entry)
        {
            ZpciNestedInvalidation range = MemoryMarshal.Read<ZpciNestedInvalidation>(entry);
            RpcitAnswer answer = mode.Refresh(range.Start, range.Length);
            return answer.Event != ZpciErrorEvent.None ? Errno.EINVAL
                : answer.ConditionCode != ZpciConditionCode.Done ? Errno.ENOMEM
                : Errno.None;
        }

        protected override void Dispose(bool disposing)
        {
            mode.Dispose();
            tables?.Dispose();
        }
    }
}
