using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// Memory of a user that is only ever copied through its descriptor: a page that the user takes away is an error, not the end of this process.
/// </summary>
public sealed class CopiedMemory : UserMemory
{
    private const string What = "copying a user's memory";

    private readonly MappingCache _cache;
    private readonly SharedDescriptor _file;
    private readonly ulong _start;

    private CopiedMemory(MappingCache cache, SharedDescriptor file, ulong start, ulong length)
        : base(length)
    {
        _cache = cache;
        _file = file;
        _start = start;
    }

    /// <inheritdoc/>
    public override DmaAccess Allowed =>
        (_file.Key.Protection & MemoryProtection.Write) != 0 ? DmaAccess.ReadWrite : DmaAccess.Read;

    /// <summary>Takes part of a file.</summary>
    /// <param name="cache">Who keeps the descriptor, one for each file.</param>
    /// <param name="descriptor">The file; it may be closed afterwards.</param>
    /// <param name="offset">First byte in the file.</param>
    /// <param name="length">Length in bytes, at least 1.</param>
    /// <returns>The memory, with one reference.</returns>
    /// <exception cref="VfioException">
    /// EINVAL: the file is shorter, or not a memory file; EACCES: its descriptor cannot be read; EOPNOTSUPP: it lives in huge pages, which cannot be copied;
    /// ENOSPC: too many other files are in use.
    /// </exception>
    public static CopiedMemory Create(MappingCache cache, OwnedDescriptor descriptor, ulong offset, ulong length)
    {
        ArgumentNullException.ThrowIfNull(descriptor);
        return Create(cache, descriptor.Value, FactsOf(What, descriptor), offset, length);
    }

    /// <summary>Takes part of a file that the caller has asked about already.</summary>
    /// <param name="cache">Who keeps the descriptor, one for each file.</param>
    /// <param name="descriptor">The file; it may be closed afterwards.</param>
    /// <param name="facts">What the kernel says of the descriptor now.</param>
    /// <param name="offset">First byte in the file.</param>
    /// <param name="length">Length in bytes, at least 1.</param>
    /// <returns>The memory, with one reference.</returns>
    /// <exception cref="VfioException">As without the facts.</exception>
    public static CopiedMemory Create(MappingCache cache, int descriptor, in FileFacts facts, ulong offset, ulong length)
    {
        ArgumentNullException.ThrowIfNull(cache);
        FileRange.Check(facts, What, offset, length);
        if (facts.IsHugePages)
        {
            throw new VfioException(Errno.EOPNOTSUPP, What, "files in huge pages cannot be written by copies; use ordinary shared memory");
        }

        try
        {
            return new CopiedMemory(cache, cache.AcquireDescriptor(descriptor, facts), offset, length);
        }
        catch (SystemCallException e)
        {
            throw new VfioException(e.Errno, What, e.Message);
        }
    }

    /// <inheritdoc/>
    public override Errno Read(ulong offset, Span<byte> destination)
    {
        if (offset > Length || (ulong)destination.Length > Length - offset)
        {
            return Errno.EFAULT;
        }

        Errno errno = DescriptorIO.ReadAt(_file.Descriptor.Value, _start + offset, destination, out int done);
        return errno == Errno.None && done == destination.Length ? Errno.None : Errno.EFAULT;
    }

    /// <inheritdoc/>
    public override Errno Write(ulong offset, ReadOnlySpan<byte> source)
    {
        if (offset > Length || (ulong)source.Length > Length - offset || (Allowed & DmaAccess.Write) == 0)
        {
            return Errno.EFAULT;
        }

        // A write past a shrunken file's end would make it grow again; whoever shrank it has only his own file to lose.
        Errno errno = DescriptorIO.WriteAt(_file.Descriptor.Value, _start + offset, source, out int done);
        return errno == Errno.None && done == source.Length ? Errno.None : Errno.EFAULT;
    }

    /// <inheritdoc/>
    public override OwnedDescriptor? Share(out ulong offset)
    {
        offset = _start;
        return _file.Descriptor;
    }

    /// <inheritdoc/>
    protected override void Free() => _cache.Return(_file);
}
