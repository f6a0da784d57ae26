namespace Penstock.Interop;

/// <summary>
/// A shared mapping of a file into this process. The size of the file is checked when the mapping is made; a file that is not sealed
/// against shrinking can still lose pages later, and touching those ends the process, so whoever maps decides whom to trust.
/// No finalizer unmaps: a forgotten mapping shows in the ledger.
/// </summary>
public sealed unsafe class MemoryMapping : IDisposable
{
    private readonly ResourceLedger? _ledger;
    private readonly nuint _mapped;
    private readonly MemoryProtection _protection;
    private nint _address;

    private MemoryMapping(nint address, nuint length, nuint mapped, MemoryProtection protection, ResourceLedger? ledger)
    {
        _address = address;
        Length = length;
        _mapped = mapped;
        _protection = protection;
        _ledger = ledger;
        ledger?.Acquired(ResourceKind.Mapping);
    }

    /// <summary>First byte. Valid until <see cref="Dispose"/>.</summary>
    // SAFETY: nothing is read here; whoever does keeps the object alive and inside Length.
    public byte* Pointer => (byte*)_address;

    /// <summary>Length in bytes.</summary>
    public nuint Length { get; }

    /// <summary>Maps part of a file.</summary>
    /// <param name="descriptor">The file's descriptor; it may be closed afterwards.</param>
    /// <param name="offset">Start within the file in bytes, a multiple of the page size.</param>
    /// <param name="length">Length in bytes, at least 1.</param>
    /// <param name="protection">What the mapping may be used for.</param>
    /// <param name="ledger">Where it is counted, if anywhere.</param>
    /// <returns>The mapping.</returns>
    /// <exception cref="SystemCallException">
    /// The file is shorter than offset + length (EINVAL), the descriptor does not allow the access (EACCES), or the system refused.
    /// </exception>
    public static MemoryMapping Map(int descriptor, ulong offset, nuint length, MemoryProtection protection, ResourceLedger? ledger = null)
    {
        FileFacts facts = FileFacts.Of(descriptor);
        if (facts.IsRegular && (offset > facts.Size || length > facts.Size - offset))
        {
            throw new SystemCallException($"mmap(offset 0x{offset:x}, length 0x{length:x})", $"a file of 0x{facts.Size:x} bytes", Errno.EINVAL);
        }

        if (offset > long.MaxValue)
        {
            throw new SystemCallException($"mmap(offset 0x{offset:x})", $"descriptor {descriptor}", Errno.EOVERFLOW);
        }

        nint address = Native.mmap(0, length, (int)protection, Native.MAP_SHARED, descriptor, (long)offset);
        if (address == -1)
        {
            throw Native.Failure($"mmap(offset 0x{offset:x}, length 0x{length:x}, {protection})", $"descriptor {descriptor}");
        }

        // mmap rounds lengths of huge page files up by itself, munmap refuses those that are not whole pages.
        nuint unit = facts.IsHugePages ? facts.BlockSize : 1;
        return new MemoryMapping(address, length, (length + unit - 1) / unit * unit, protection, ledger);
    }

    /// <summary>
    /// Puts another file behind the same addresses, in one step: whoever touches them meanwhile reaches the one or the other.
    /// </summary>
    /// <param name="descriptor">The file, from its start; at least as long as the mapping. It may be closed afterwards.</param>
    /// <exception cref="SystemCallException">The file is shorter (EINVAL), or the system refused; what was mapped may be gone then.</exception>
    public void Replace(int descriptor)
    {
        FileFacts facts = FileFacts.Of(descriptor);
        if (facts.Size < Length)
        {
            throw new SystemCallException($"mmap(length 0x{Length:x})", $"a file of 0x{facts.Size:x} bytes", Errno.EINVAL);
        }

        // SAFETY: the addresses are this mapping's own, so nothing else is replaced.
        if (Native.mmap(_address, Length, (int)_protection, Native.MAP_SHARED | Native.MAP_FIXED, descriptor, 0) == -1)
        {
            throw Native.Failure($"mmap(length 0x{Length:x}, {_protection}, in place of another)", $"descriptor {descriptor}");
        }
    }

    /// <summary>Unmaps, once. Nobody may hold a pointer into the mapping any more.</summary>
    public void Dispose()
    {
        nint address = Interlocked.Exchange(ref _address, 0);
        if (address != 0)
        {
            if (Native.munmap(address, _mapped) != 0)
            {
                throw Native.Failure("munmap", $"0x{Length:x} bytes");
            }

            _ledger?.Released(ResourceKind.Mapping);
        }
    }
}
