using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// Memory of a user that is mapped into this process through a descriptor. Fast, and as trustworthy as the file's owner: see
/// <see cref="MemoryTrust"/>.
/// </summary>
public sealed unsafe class MappedMemory : UserMemory
{
    private const string What = "mapping a user's memory";

    private readonly MappingCache _cache;
    private readonly MappedWindow _window;
    private readonly byte* _pointer;
    private readonly ulong _fileOffset;

    private MappedMemory(MappingCache cache, MappedWindow window, ulong offset, ulong length)
        : base(length)
    {
        _cache = cache;
        _window = window;
        _fileOffset = offset;

        // SAFETY: the window covers the range and stays mapped until it is returned.
        _pointer = window.Mapping.Pointer + (offset - window.Start);
    }

    /// <inheritdoc/>
    public override nint DirectAddress => (nint)_pointer;

    /// <inheritdoc/>
    public override DmaAccess Allowed =>
        (_window.Key.Protection & MemoryProtection.Write) != 0 ? DmaAccess.ReadWrite : DmaAccess.Read;

    /// <summary>Maps part of a file.</summary>
    /// <param name="cache">Who keeps the mapping.</param>
    /// <param name="descriptor">The file; it may be closed afterwards.</param>
    /// <param name="offset">First byte in the file.</param>
    /// <param name="length">Length in bytes, at least 1.</param>
    /// <returns>The memory, with one reference.</returns>
    /// <exception cref="VfioException">
    /// EINVAL: the file is shorter, or not a memory file; ENOSPC: too many mappings are in use; EACCES: its descriptor cannot be read; the error of mmap(2).
    /// </exception>
    public static MappedMemory Create(MappingCache cache, OwnedDescriptor descriptor, ulong offset, ulong length)
    {
        ArgumentNullException.ThrowIfNull(descriptor);
        return Create(cache, descriptor.Value, FactsOf(What, descriptor), offset, length);
    }

    /// <summary>Maps part of a file that the caller has asked about already.</summary>
    /// <param name="cache">Who keeps the mapping.</param>
    /// <param name="descriptor">The file; it may be closed afterwards.</param>
    /// <param name="facts">What the kernel says of the descriptor now.</param>
    /// <param name="offset">First byte in the file.</param>
    /// <param name="length">Length in bytes, at least 1.</param>
    /// <returns>The memory, with one reference.</returns>
    /// <exception cref="VfioException">As without the facts.</exception>
    public static MappedMemory Create(MappingCache cache, int descriptor, in FileFacts facts, ulong offset, ulong length)
    {
        ArgumentNullException.ThrowIfNull(cache);
        FileRange.Check(facts, What, offset, length);
        try
        {
            return new MappedMemory(cache, cache.Acquire(descriptor, facts, offset, length), offset, length);
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

        // SAFETY: inside the window, which the caller's reference keeps.
        new ReadOnlySpan<byte>(_pointer + offset, destination.Length).CopyTo(destination);
        return Errno.None;
    }

    /// <inheritdoc/>
    public override Errno Write(ulong offset, ReadOnlySpan<byte> source)
    {
        if (offset > Length || (ulong)source.Length > Length - offset || (Allowed & DmaAccess.Write) == 0)
        {
            return Errno.EFAULT;
        }

        // SAFETY: as in Read; the window is writable.
        source.CopyTo(new Span<byte>(_pointer + offset, source.Length));
        return Errno.None;
    }

    /// <inheritdoc/>
    /// <remarks>There is a file to give once a unit of the cache's host has a mirror (<see cref="IommuUnitOptions.CreateMirror"/>).</remarks>
    public override OwnedDescriptor? Share(out ulong offset)
    {
        offset = _fileOffset;
        return _window.File?.Descriptor;
    }

    /// <inheritdoc/>
    protected override void Free() => _cache.Return(_window);
}
