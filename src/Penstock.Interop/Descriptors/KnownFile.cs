namespace Penstock.Interop;

/// <summary>
/// An open file whose facts were asked for once, for those who are given descriptors of the same one again and again: the kernel compares two
/// descriptors in a third of the time that it takes to tell their facts. Kept are only files of which nothing but the size can change. Members are for
/// one thread at a time.
/// </summary>
public sealed class KnownFile : IDisposable
{
    private const int Same = 1;
    private const MemorySeals FixedSize = MemorySeals.Shrink | MemorySeals.Grow;

    private readonly OwnedDescriptor _file;

    // The same file opened anew, so that its position is nobody else's: asking for the end moves it. Null when the size is sealed.
    private readonly OwnedDescriptor? _size;
    private readonly FileFacts _facts;

    private KnownFile(OwnedDescriptor file, OwnedDescriptor? size, in FileFacts facts)
    {
        _file = file;
        _size = size;
        _facts = facts;
    }

    /// <summary>Keeps an open file, by descriptors of its own.</summary>
    /// <param name="descriptor">A descriptor of it; stays the caller's.</param>
    /// <param name="ledger">Where the new descriptors are counted, if anywhere.</param>
    /// <returns>
    /// The file; null where asking each time is the only way: its seals can still change, it cannot be read, the process has no descriptor left, there is
    /// no /proc, or the kernel (before Linux 6.10) does not compare descriptors.
    /// </returns>
    public static KnownFile? TryKeep(int descriptor, ResourceLedger? ledger = null)
    {
        OwnedDescriptor? file = null;
        OwnedDescriptor? size = null;
        try
        {
            FileFacts facts = FileFacts.Of(descriptor);
            if (!facts.IsRegular || (facts.Seals & MemorySeals.Seal) == 0 || (facts.Access & MemoryProtection.Read) == 0)
            {
                return null;
            }

            file = OwnedDescriptor.DuplicateOf(descriptor, ledger);
            if ((facts.Seals & FixedSize) != FixedSize)
            {
                size = OwnedDescriptor.OpenAgain(descriptor, ledger);
            }

            var known = new KnownFile(file, size, facts);
            if (known.TryGetFacts(descriptor, out _))
            {
                (file, size) = (null, null);
                return known;
            }
        }
        catch (SystemCallException)
        {
            // It works without, too.
        }
        finally
        {
            file?.Dispose();
            size?.Dispose();
        }

        return null;
    }

    /// <summary>Tells the facts of a descriptor if it is one of this open file, which may have been opened by anybody in any process.</summary>
    /// <param name="descriptor">The descriptor.</param>
    /// <param name="facts">The same as <see cref="FileFacts.Of"/> would tell now.</param>
    /// <returns>Whether it is.</returns>
    public bool TryGetFacts(int descriptor, out FileFacts facts)
    {
        facts = _facts;
        if (Native.fcntl_query(descriptor, Native.F_DUPFD_QUERY, _file.Value) != Same)
        {
            return false;
        }

        if (_size is not null)
        {
            long end = Native.lseek_end(_size.Value, 0, Native.SEEK_END);
            if (end < 0)
            {
                return false;
            }

            facts = facts.WithSize((ulong)end);
        }

        return true;
    }

    /// <summary>Forgets the file.</summary>
    public void Dispose()
    {
        _file.Dispose();
        _size?.Dispose();
    }
}
