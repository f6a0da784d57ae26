using Penstock.Interop;

namespace Penstock.Devices;

/// <summary>Blocks in memory of this process, zeroes at first; memory is used for what has been written. Gone with the object.</summary>
public sealed unsafe class MemoryNvmeBacking : INvmeBacking
{
    /// <summary>From this length on zeroing gives pages back to the system, which is faster than writing them.</summary>
    private const ulong HoleFrom = 64 << 10;

    private readonly MemoryFile _file;
    private readonly MemoryMapping _mapping;
    private IReadOnlyList<Memory<byte>>? _parts;
    private long _flushes;

    /// <summary>Reserves the memory.</summary>
    /// <param name="length">Size in bytes, at least 1.</param>
    /// <param name="ledger">Where descriptor and mapping are counted, if anywhere.</param>
    /// <exception cref="SystemCallException">The system has no address space or descriptor left.</exception>
    public MemoryNvmeBacking(ulong length, ResourceLedger? ledger = null)
    {
        ArgumentOutOfRangeException.ThrowIfZero(length);
        _file = MemoryFile.Create("nvme", length, MemorySeals.Grow | MemorySeals.Shrink, ledger);
        try
        {
            _mapping = MemoryMapping.Map(_file.Descriptor.Value, 0, checked((nuint)length), MemoryProtection.ReadWrite, ledger);
        }
        catch
        {
            _file.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public ulong Length => _file.Size;

    /// <inheritdoc/>
    public bool IsReadOnly => false;

    /// <inheritdoc/>
    public bool MayBlock => false;

    /// <inheritdoc/>
    public bool CanDeallocate => true;

    /// <inheritdoc/>
    public long FlushCount => Interlocked.Read(ref _flushes);

    /// <inheritdoc/>
    public string Description => $"memory of {Length} bytes";

    /// <summary>All of it, in pieces that spans can be made of; the same each time. Valid until <see cref="Dispose"/>.</summary>
    internal IReadOnlyList<Memory<byte>> Parts => _parts ??= MappedPart.Cut(_mapping);

    /// <inheritdoc/>
    public Errno Read(ulong offset, Span<byte> destination)
    {
        if (!Contains(offset, (ulong)destination.Length))
        {
            return Errno.EFAULT;
        }

        // SAFETY: the range is inside the mapping, whose file is sealed against shrinking.
        new ReadOnlySpan<byte>(_mapping.Pointer + offset, destination.Length).CopyTo(destination);
        return Errno.None;
    }

    /// <inheritdoc/>
    public Errno Write(ulong offset, ReadOnlySpan<byte> source)
    {
        if (!Contains(offset, (ulong)source.Length))
        {
            return Errno.EFAULT;
        }

        // SAFETY: as in Read.
        source.CopyTo(new Span<byte>(_mapping.Pointer + offset, source.Length));
        return Errno.None;
    }

    /// <inheritdoc/>
    public Errno Zero(ulong offset, ulong length, bool deallocate)
    {
        if (!Contains(offset, length))
        {
            return Errno.EFAULT;
        }

        if (length >= HoleFrom && DescriptorStorage.PunchHole(_file.Descriptor.Value, offset, length) == Errno.None)
        {
            return Errno.None;
        }

        for (ulong done = 0; done < length;)
        {
            int part = (int)Math.Min(length - done, HoleFrom);

            // SAFETY: as in Read.
            new Span<byte>(_mapping.Pointer + offset + done, part).Clear();
            done += (ulong)part;
        }

        return Errno.None;
    }

    /// <inheritdoc/>
    public Errno Flush()
    {
        Interlocked.Increment(ref _flushes);
        return Errno.None;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _mapping.Dispose();
        _file.Dispose();
    }

    private bool Contains(ulong offset, ulong length) => offset <= Length && length <= Length - offset && _mapping.Pointer is not null;
}
