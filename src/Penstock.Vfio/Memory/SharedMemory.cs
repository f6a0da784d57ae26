using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// Memory of this process with a descriptor (memfd), which a device puts behind a BAR (<c>PciBar.Memory</c>) so that users in other
/// processes can map it too: a doorbell page that is polled, a frame buffer, a mailbox. It is sealed, so a client that has the descriptor can write
/// the memory, but not take it away. With the end of a client that had the descriptor another file takes the place of the one
/// that it may still map; content and addresses stay. Members may be called from any thread.
/// </summary>
public sealed unsafe class SharedMemory : UserMemory
{
    private const MemorySeals Seals = MemorySeals.Shrink | MemorySeals.Grow | MemorySeals.Seal;
    private const int CopyStep = 64 * 1024;

    private readonly Lock _gate = new();
    private readonly string _name;
    private readonly ResourceLedger? _ledger;
    private readonly MemoryMapping _mapping;
    private MemoryFile _file;

    // There while the file is given out: whoever can share can also withdraw.
    private MemoryFile? _next;

    private SharedMemory(string name, MemoryFile file, MemoryMapping mapping, ulong length, ResourceLedger? ledger)
        : base(length)
    {
        _name = name;
        _file = file;
        _mapping = mapping;
        _ledger = ledger;
    }

    /// <inheritdoc/>
    public override nint DirectAddress => (nint)_mapping.Pointer;

    /// <summary>Creates memory of zeroes.</summary>
    /// <param name="name">A name for people, as /proc shows it; not a path.</param>
    /// <param name="length">Length in bytes, at least 1; the file behind it has whole pages.</param>
    /// <param name="ledger">Where its descriptors and its mapping are counted, if anywhere.</param>
    /// <returns>The memory, with one reference, the creator's.</returns>
    /// <exception cref="SystemCallException">The process has no descriptor or no address space left.</exception>
    public static SharedMemory Create(string name, ulong length, ResourceLedger? ledger = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentOutOfRangeException.ThrowIfZero(length);
        MemoryFile file = NewFile(name, length, ledger);
        try
        {
            var mapping = MemoryMapping.Map(file.Descriptor.Value, 0, (nuint)file.Size, MemoryProtection.Read | MemoryProtection.Write, ledger);
            return new SharedMemory(name, file, mapping, length, ledger);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>
    /// A part of the memory, for its owner; valid while a reference is held. Others may write it at any moment: copy what is looked at
    /// more than once, and take words that say something by <see cref="Volatile"/>.
    /// </summary>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Length in bytes.</param>
    /// <returns>The bytes.</returns>
    public Span<byte> Span(ulong offset, int length)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset, Length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan((ulong)length, Length - offset);

        // SAFETY: checked above; the mapping stays until the last reference goes.
        return new Span<byte>(_mapping.Pointer + offset, length);
    }

    /// <inheritdoc/>
    public override Errno Read(ulong offset, Span<byte> destination)
    {
        if (offset > Length || (ulong)destination.Length > Length - offset)
        {
            return Errno.EFAULT;
        }

        Span(offset, destination.Length).CopyTo(destination);
        return Errno.None;
    }

    /// <inheritdoc/>
    public override Errno Write(ulong offset, ReadOnlySpan<byte> source)
    {
        if (offset > Length || (ulong)source.Length > Length - offset)
        {
            return Errno.EFAULT;
        }

        source.CopyTo(Span(offset, source.Length));
        return Errno.None;
    }

    /// <inheritdoc/>
    public override OwnedDescriptor? Share(out ulong offset)
    {
        offset = 0;
        lock (_gate)
        {
            _next ??= NewFile(_name, Length, _ledger);
            return _file.Descriptor;
        }
    }

    /// <inheritdoc/>
    public override void Withdraw()
    {
        lock (_gate)
        {
            if (_next is not { } next)
            {
                return;
            }

            Errno copied = Copy(_file, next);
            _mapping.Replace(next.Descriptor.Value);
            _file.Dispose();
            _file = next;
            _next = null;
            if (copied != Errno.None)
            {
                throw new SystemCallException("pwrite", $"memory '{_name}' of 0x{Length:x} bytes, withdrawn from a client", copied);
            }
        }
    }

    /// <inheritdoc/>
    protected override void Free()
    {
        _mapping.Dispose();
        _file.Dispose();
        _next?.Dispose();
    }

    private static MemoryFile NewFile(string name, ulong length, ResourceLedger? ledger)
    {
        ulong page = (ulong)Environment.SystemPageSize;
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, (ulong)long.MaxValue - page);
        return MemoryFile.Create(name, (length + page - 1) / page * page, Seals, ledger);
    }

    /// <summary>Copies what is not zero, so that a large file with little in it stays one.</summary>
    private static Errno Copy(MemoryFile from, MemoryFile to)
    {
        byte[] step = new byte[(int)Math.Min(CopyStep, from.Size)];
        Errno result = Errno.None;
        for (ulong at = 0; at < from.Size; at += (ulong)step.Length)
        {
            Errno errno = DescriptorIO.ReadAt(from.Descriptor.Value, at, step, out int read);
            Span<byte> bytes = step.AsSpan(0, read);
            if (errno == Errno.None && bytes.ContainsAnyExcept((byte)0))
            {
                errno = DescriptorIO.WriteAt(to.Descriptor.Value, at, bytes, out _);
            }

            result = result == Errno.None ? errno : result;
        }

        return result;
    }
}
