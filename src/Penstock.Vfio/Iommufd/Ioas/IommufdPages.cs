using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// Memory that one or more areas map. A page that several of them, or accesses, need is pinned and charged once. All members are called
/// under the gate of the context.
/// </summary>
internal sealed partial class IommufdPages
{
    private static readonly ulong PageSize = LockedMemoryAccounts.PageSize;

    private readonly IommufdContext _context;
    private readonly IUserAddressSpace? _space;
    private readonly List<IoasArea> _areas = [];
    private readonly Dictionary<ulong, int> _pins = [];
    private readonly LockedMemoryAccount _account;
    private readonly ulong _memoryOffset;
    private UserMemory? _memory;

    /// <summary>Pages of memory that the caller gave; takes a reference of its own.</summary>
    internal IommufdPages(IommufdContext context, UserMemory memory, ulong memoryOffset, ulong length, bool writeable)
        : this(context, memoryOffset, length, writeable)
    {
        memory.Hold();
        _memory = memory;
        _memoryOffset = memoryOffset;
    }

    /// <summary>Pages at an address of the caller, found when they are needed.</summary>
    internal IommufdPages(IommufdContext context, IUserAddressSpace space, ulong address, ulong length, bool writeable)
        : this(context, address, length, writeable) => _space = space;

    private IommufdPages(IommufdContext context, ulong address, ulong length, bool writeable)
    {
        _context = context;
        Address = address;
        Length = length;
        Writeable = writeable;
        _account = context.Account;
    }

    /// <summary>Where the first byte is, as far as alignment goes: user address, or offset in a file or memory.</summary>
    internal ulong Address { get; }

    internal ulong Length { get; }

    /// <summary>Whether they were mapped for writing at first; copies cannot have more.</summary>
    internal bool Writeable { get; }

    /// <summary>Number of pages that are pinned now.</summary>
    internal ulong Pinned { get; private set; }

    /// <summary>The memory behind an offset.</summary>
    /// <exception cref="VfioException">EFAULT: it is not there.</exception>
    internal UserMemory Resolve(ulong offset, out ulong memoryOffset)
    {
        _memory ??= _space!.Resolve(Address, Length, Writeable ? DmaAccess.ReadWrite : DmaAccess.Read);
        memoryOffset = _memoryOffset + offset;
        return _memory.IsReserved && !IsDmaBuf
            ? throw new VfioException(Errno.EFAULT, "pinning memory", "it is memory of a device, which has no pages; map a file of the region")
            : _memory;
    }

    internal void Add(IoasArea area) => _areas.Add(area);

    /// <summary>An area goes; with the last one the memory.</summary>
    internal void Remove(IoasArea area)
    {
        _areas.Remove(area);
        Recount();
        Discard();
    }

    /// <summary>Lets the memory go unless an area uses it.</summary>
    internal void Discard()
    {
        if (_areas.Count == 0)
        {
            _buffer?.Remove(this);
            _memory?.Release();
            _memory = null;
        }
    }

    /// <summary>Pins all pages of an area for its domains.</summary>
    /// <exception cref="VfioException">ENOMEM: over the limit; nothing has changed.</exception>
    internal void Fill(IoasArea area)
    {
        _context.Host.Allocations.Ask("pinning pages for a table");
        area.Filled = true;
        try
        {
            Recount();
        }
        catch
        {
            area.Filled = false;
            throw;
        }
    }

    internal void Unfill(IoasArea area)
    {
        area.Filled = false;
        Recount();
    }

    /// <summary>Pins the pages of a range for an access.</summary>
    /// <exception cref="VfioException">ENOMEM: over the limit; nothing has changed.</exception>
    internal void Pin(ulong offset, ulong length)
    {
        (ulong first, ulong last) = PagesOf(offset, length);
        ulong fresh = 0;
        for (ulong page = first; page <= last; page++)
        {
            fresh += !_pins.ContainsKey(page) && !IsFilled(page) ? 1ul : 0;
        }

        _context.Host.Allocations.Ask("pinning pages for an access");
        Charge(Pinned + fresh);
        for (ulong page = first; page <= last; page++)
        {
            _pins[page] = _pins.GetValueOrDefault(page) + 1;
            _context.Host.Ledger.Acquired(ResourceKind.Pin);
        }
    }

    internal void Unpin(ulong offset, ulong length)
    {
        (ulong first, ulong last) = PagesOf(offset, length);
        ulong gone = 0;
        for (ulong page = first; page <= last; page++)
        {
            int left = _pins[page] - 1;
            _pins[page] = left;
            if (left == 0)
            {
                _pins.Remove(page);
                gone += IsFilled(page) ? 0ul : 1;
            }

            _context.Host.Ledger.Released(ResourceKind.Pin);
        }

        Charge(Pinned - gone);
    }

    /// <summary>Whether the pages of a range are pinned by an access.</summary>
    internal bool HasPins(ulong offset, ulong length)
    {
        (ulong first, ulong last) = PagesOf(offset, length);
        for (ulong page = first; page <= last; page++)
        {
            if (!_pins.ContainsKey(page))
            {
                return false;
            }
        }

        return true;
    }

    private (ulong First, ulong Last) PagesOf(ulong offset, ulong length)
    {
        ulong start = (Address % PageSize) + offset;
        return (start / PageSize, (start + (length - 1)) / PageSize);
    }

    private bool IsFilled(ulong page)
    {
        foreach (IoasArea area in _areas)
        {
            (ulong first, ulong last) = PagesOf(area.Offset, area.Length);
            if (area.Filled && page >= first && page <= last)
            {
                return true;
            }
        }

        return false;
    }

    private void Recount()
    {
        ulong pages = 0;
        ulong next = 0;
        foreach ((ulong first, ulong last) in _areas.Where(a => a.Filled).Select(a => PagesOf(a.Offset, a.Length)).Order())
        {
            ulong from = Math.Max(first, next);
            if (from <= last)
            {
                pages += last - from + 1;
                next = last + 1;
            }
        }

        foreach (ulong page in _pins.Keys)
        {
            pages += IsFilled(page) ? 0ul : 1;
        }

        Charge(pages);
    }

    private void Charge(ulong pages)
    {
        if (IsDmaBuf)
        {
            return;
        }

        Caller caller = _context.Caller;
        if (!caller.LockMemory && pages > Pinned)
        {
            _context.Host.LockedMemory.Charge(_account, pages - Pinned, caller.MemlockLimit);
        }
        else if (!caller.LockMemory && pages < Pinned)
        {
            _context.Host.LockedMemory.Uncharge(_account, Pinned - pages);
        }

        _context.PinnedPages += pages - Pinned;
        Pinned = pages;
    }
}
