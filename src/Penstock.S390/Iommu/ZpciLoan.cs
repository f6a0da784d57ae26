using Penstock.Interop;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.S390;

/// <summary>
/// The tables of a domain while somebody else than its users keeps them: who shadows a guest's tables sets and clears page entries one by one. Entries
/// may be set from any thread and on many at once, also while the tables are returned; what was in them may be in use until <see cref="Wait"/> has
/// returned.
/// </summary>
public sealed class ZpciLoan : IDisposable
{
    private readonly ZpciDomain _domain;
    private int _returned;

    internal ZpciLoan(ZpciDomain domain, object to)
    {
        _domain = domain;
        To = to;
    }

    /// <summary>To whom the tables are lent.</summary>
    public object To { get; }

    /// <summary>Whether they are returned.</summary>
    public bool IsReturned => Volatile.Read(ref _returned) != 0;

    /// <summary>Gives memory real addresses, for entries to name; takes a reference on it.</summary>
    /// <param name="memory">The memory.</param>
    /// <param name="offset">Offset of the first byte in it, in whole pages.</param>
    /// <param name="length">Length in bytes, in whole pages, at most 2^40.</param>
    /// <returns>Real address of the first byte, never 0.</returns>
    /// <exception cref="VfioException">EINVAL: not in whole pages, or too long; EFAULT: not in the memory; ENOSPC; EOPNOTSUPP: the tables are returned.</exception>
    public ulong AddMemory(UserMemory memory, ulong offset, ulong length)
    {
        ArgumentNullException.ThrowIfNull(memory);
        const string What = "adding memory to lent tables";
        if (IsReturned)
        {
            throw new VfioException(Errno.EOPNOTSUPP, What, "the tables are returned");
        }

        if (length == 0 || ((offset | length) & (ZpciIoTable.PageSize - 1)) != 0 || length > RealAddresses.BankSize)
        {
            throw new VfioException(Errno.EINVAL, What, $"0x{length:x} bytes at 0x{offset:x} are not whole pages, or more than 0x{RealAddresses.BankSize:x} bytes");
        }

        if (offset > memory.Length || length > memory.Length - offset)
        {
            throw new VfioException(Errno.EFAULT, What, $"0x{length:x} bytes at 0x{offset:x} are not in its 0x{memory.Length:x} bytes");
        }

        var bank = new RealBank(memory, offset, 0, length, memory.Allowed);
        return _domain.TryAddMemory(bank) ? bank.Base : throw new VfioException(Errno.ENOSPC, What, "no real address is left");
    }

    /// <summary>Takes the addresses of memory back. No entry has one of them, and <see cref="Wait"/> has returned since.</summary>
    /// <param name="real">What <see cref="AddMemory"/> gave.</param>
    public void RemoveMemory(ulong real)
    {
        if (!IsReturned)
        {
            _domain.RemoveMemory(real);
        }
    }

    /// <summary>Puts an entry in, whatever was there. Takes no lock; allocates native memory when a table is missing.</summary>
    /// <param name="iova">Its I/O address, of which the page counts.</param>
    /// <param name="real">Real address of the page, in memory that was added.</param>
    /// <param name="writable">Whether devices may write.</param>
    /// <param name="previous">Real address that was there; 0 when none was.</param>
    /// <returns>
    /// None; EINVAL: outside of the aperture, no such memory, or memory that cannot be written; ENOMEM: no memory for a table; EOPNOTSUPP: the tables are returned.
    /// </returns>
    public Errno SetEntry(ulong iova, ulong real, bool writable, out ulong previous)
    {
        previous = 0;

        // Tables are not returned, and not freed, while somebody is inside.
        using DmaScope scope = _domain.Enter();
        if (IsReturned)
        {
            return Errno.EOPNOTSUPP;
        }

        if (!_domain.HasMemory(real, writable))
        {
            return Errno.EINVAL;
        }

        Errno errno = _domain.Exchange(iova, (real & ZpciIoTable.PageFrame) | (writable ? 0 : ZpciIoTable.Protected), out ulong old);
        previous = RealAddress(old);
        return errno;
    }

    /// <summary>Makes an entry invalid; as <see cref="SetEntry"/>, but needs no memory.</summary>
    /// <param name="iova">Its I/O address.</param>
    /// <returns>Real address that was there; 0 when none was.</returns>
    public ulong ClearEntry(ulong iova)
    {
        using DmaScope scope = _domain.Enter();
        return IsReturned ? 0 : RealAddress(_domain.Clear(iova));
    }

    /// <summary>What an entry has now.</summary>
    /// <param name="iova">Its I/O address.</param>
    /// <param name="writable">Whether devices may write.</param>
    /// <returns>Real address; 0 when there is none.</returns>
    public ulong GetEntry(ulong iova, out bool writable)
    {
        using DmaScope scope = _domain.Enter();
        ulong entry = IsReturned ? ZpciIoTable.PageInvalid : _domain.Entry(iova);
        writable = (entry & (ZpciIoTable.PageInvalid | ZpciIoTable.Protected)) == 0;
        return RealAddress(entry);
    }

    /// <summary>Returns when nothing uses what was replaced or cleared before. Once for each refresh, not for each entry.</summary>
    public void Wait() => _domain.WaitForAccesses();

    /// <summary>Tells the attached functions that entries in a range have changed.</summary>
    /// <param name="range">The range.</param>
    /// <returns>None; ENOMEM or EIO: what the first function that failed answered; EOPNOTSUPP: the tables are returned.</returns>
    public Errno Refresh(IovaRange range) => IsReturned ? Errno.EOPNOTSUPP : _domain.Refresh(range);

    /// <summary>Returns the tables: everything is cleared, functions are told, accesses have ended, memory is released; then they are their users' again.</summary>
    /// <exception cref="VfioException">EDEADLK: the calling thread is inside a scope of the domain.</exception>
    public void Dispose()
    {
        if (_domain.IsEnteredByCaller)
        {
            throw new VfioException(Errno.EDEADLK, "returning lent tables", "the calling thread is inside a scope of the same address space; leave it first");
        }

        if (Interlocked.Exchange(ref _returned, 1) == 0)
        {
            _domain.TakeBack();
        }
    }

    private static ulong RealAddress(ulong entry) => (entry & ZpciIoTable.PageInvalid) != 0 ? 0 : entry & ZpciIoTable.PageFrame;
}
