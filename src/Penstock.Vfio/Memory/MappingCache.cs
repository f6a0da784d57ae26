using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// Mappings and descriptors of users' files, shared by file identity. Small pieces share windows; larger ones get a mapping of exactly
/// their range. An unused mapping stays for a while, because guests remap the same memory again and again. Whoever serves a user owns
/// one and disposes it afterwards; what is still in use then goes with its last user. All members may be called from any thread.
/// </summary>
public sealed class MappingCache : IDisposable
{
    private const ulong Page = 4096;

    private readonly Lock _gate = new();
    private readonly MappingCacheOptions _options;
    private readonly TimeProvider _time;
    private readonly ResourceLedger? _ledger;
    private readonly Dictionary<(FileKey Key, ulong Start, ulong Length), MappedWindow> _windows = [];
    private readonly Dictionary<FileKey, SharedDescriptor> _descriptors = [];
    private readonly LinkedList<MappedWindow> _idle = new();
    private readonly Func<ulong, ulong, MemorySeals?> _finalSeals;

    // The window that was asked for last: a guest's memory is a few files, and often one.
    private volatile MappedWindow? _last;

    // The file of the newest window, and that window: they go together.
    private KnownFile? _known;
    private MappedWindow? _knownBy;

    // Which run of the timer comes next. What was idle before it was started goes with it, the rest stays for one more.
    private long _round;
    private ITimer? _timer;
    private ulong _idleBytes;
    private bool _disposed;

    /// <summary>Creates an empty cache.</summary>
    /// <param name="options">Limits; null for the defaults.</param>
    /// <param name="time">Clock and timers; null for the system's.</param>
    /// <param name="ledger">Where mappings and descriptors are counted, if anywhere.</param>
    public MappingCache(MappingCacheOptions? options = null, TimeProvider? time = null, ResourceLedger? ledger = null)
    {
        _options = options ?? new MappingCacheOptions();
        _time = time ?? TimeProvider.System;
        _ledger = ledger;
        _finalSeals = FinalSeals;
    }

    /// <summary>Number of mappings, unused ones included.</summary>
    public int Count
    {
        get
        {
            lock (_gate)
            {
                return _windows.Count;
            }
        }
    }

    /// <summary>Drops what is unused now, as when a user has gone: nobody's memory outlives its owner here.</summary>
    public void Trim()
    {
        lock (_gate)
        {
            while (_idle.First is { } first)
            {
                Drop(first.Value);
            }

            _timer?.Dispose();
            _timer = null;
        }
    }

    /// <summary>Drops what is unused, now and from now on.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            _disposed = true;
            Trim();
        }
    }

    /// <summary>
    /// Whether new mappings keep a descriptor of their file, so that it can be passed on. Set once somebody is there to pass it on to; costs one
    /// descriptor for each file.
    /// </summary>
    internal bool KeepsDescriptors { get; set; }

    /// <summary>Asks the kernel about a user's file. Of a file that is mapped here it is not asked what cannot have changed since.</summary>
    /// <param name="descriptor">The descriptor, open.</param>
    /// <returns>The facts at this moment.</returns>
    public FileFacts FactsOf(int descriptor)
    {
        // The gate is held while the kernel compares: were the known file closed meanwhile, its number could be another's.
        lock (_gate)
        {
            if (_known is { } known && known.TryGetFacts(descriptor, out FileFacts facts))
            {
                return facts;
            }
        }

        return FileFacts.Of(descriptor, _finalSeals);
    }

    /// <summary>Finds or makes a mapping that covers a range, which lies within the file.</summary>
    internal MappedWindow Acquire(int descriptor, in FileFacts facts, ulong offset, ulong length)
    {
        FileKey key = FileKey.Of(facts);
        (ulong start, ulong size) = Window(facts, offset, length);
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            MappedWindow? window = _last;
            if ((window is not null && window.Start == start && window.Length == size && window.Key == key)
                || _windows.TryGetValue((key, start, size), out window))
            {
                _last = window;
                KeepFile(window, descriptor);
                if (window.Users++ == 0)
                {
                    _idle.Remove(window.IdlePlace);
                    _idleBytes -= window.Length;
                }

                return window;
            }

            if (_windows.Count - _idle.Count >= _options.LiveMappings)
            {
                throw new VfioException(Errno.ENOSPC, "mapping a user's memory", $"{_options.LiveMappings} mappings are in use; unmap some, or have the memory copied");
            }

            window = new MappedWindow
            {
                Key = key,
                Start = start,
                Length = size,
                Mapping = MemoryMapping.Map(descriptor, start, (nuint)size, key.Protection, _ledger),
                Seals = facts.Seals,
                Users = 1,
            };
            _windows.Add((key, start, size), window);
            _last = window;
            KeepFile(window, descriptor);
            // Others are not kept, and those of a slow file system would be asked for with the gate held.
            if ((facts.Seals & MemorySeals.Seal) != 0 && KnownFile.TryKeep(descriptor, _ledger) is { } known)
            {
                _known?.Dispose();
                _known = known;
                _knownBy = window;
            }

            return window;
        }
    }

    internal void Return(MappedWindow window)
    {
        lock (_gate)
        {
            if (--window.Users != 0)
            {
                return;
            }

            window.IdleRound = _round;
            _idle.AddLast(window.IdlePlace);
            _idleBytes += window.Length;
            while (_idle.First is { } first && (_disposed || _idle.Count > _options.IdleMappings || _idleBytes > _options.IdleBytes))
            {
                Drop(first.Value);
            }

            if (_idle.Count != 0 && _timer is null)
            {
                _round++;
                _timer = _time.CreateTimer(static cache => ((MappingCache)cache!).DropExpired(), this, _options.IdleTime, Timeout.InfiniteTimeSpan);
            }
        }
    }

    internal SharedDescriptor AcquireDescriptor(int descriptor, in FileFacts facts) =>
        AcquireDescriptor(descriptor, FileKey.Of(facts));

    private SharedDescriptor AcquireDescriptor(int descriptor, FileKey key)
    {
        lock (_gate)
        {
            if (!_descriptors.TryGetValue(key, out SharedDescriptor? shared))
            {
                if (_descriptors.Count >= _options.LiveDescriptors)
                {
                    throw new VfioException(Errno.ENOSPC, "copying a user's memory", $"{_options.LiveDescriptors} files are in use; unmap those of some, or take memory from fewer files");
                }

                shared = new SharedDescriptor { Key = key, Descriptor = OwnedDescriptor.DuplicateOf(descriptor, _ledger) };
                _descriptors.Add(key, shared);
            }

            shared.Users++;
            return shared;
        }
    }

    internal void Return(SharedDescriptor shared)
    {
        lock (_gate)
        {
            if (--shared.Users == 0)
            {
                _descriptors.Remove(shared.Key);
                shared.Descriptor.Dispose();
            }
        }
    }

    /// <summary>
    /// Seals of the file that was mapped last, if they are final. Its mapping goes after it is forgotten here, and whoever asks has the file open: the
    /// number cannot be another file's.
    /// </summary>
    private MemorySeals? FinalSeals(ulong device, ulong inode) =>
        _last is { } last && last.Key.Device == device && last.Key.Inode == inode && (last.Seals & MemorySeals.Seal) != 0 ? last.Seals : null;

    /// <summary>A mapping that cannot have a descriptor works without.</summary>
    private void KeepFile(MappedWindow window, int descriptor)
    {
        if (!KeepsDescriptors || window.File is not null)
        {
            return;
        }

        try
        {
            window.File = AcquireDescriptor(descriptor, window.Key);
        }
        catch (Exception e) when (e is VfioException or SystemCallException)
        {
            // Whoever wants to pass the memory on does so by messages.
        }
    }

    private (ulong Start, ulong Length) Window(in FileFacts facts, ulong offset, ulong length)
    {
        ulong unit = facts.IsHugePages ? Math.Max(facts.BlockSize, Page) : Page;
        ulong window = Math.Max(_options.WindowBytes, unit);
        ulong start = offset & ~(window - 1);
        if (offset - start <= window - length && length <= window)
        {
            return (start, Math.Min(window, facts.Size - start));
        }

        start = offset & ~(unit - 1);
        ulong end = offset + length;
        return (start, facts.IsHugePages ? ((end + unit - 1) & ~(unit - 1)) - start : end - start);
    }

    private void Drop(MappedWindow window)
    {
        _idle.Remove(window.IdlePlace);
        _idleBytes -= window.Length;
        _last = _last == window ? null : _last;
        _windows.Remove((window.Key, window.Start, window.Length));
        window.Mapping.Dispose();
        if (window.File is { } file)
        {
            Return(file);
        }

        if (_knownBy == window)
        {
            _known!.Dispose();
            _known = null;
            _knownBy = null;
        }
    }

    private void DropExpired()
    {
        lock (_gate)
        {
            while (_idle.First is { } first && first.Value.IdleRound != _round)
            {
                Drop(first.Value);
            }

            if (_disposed || _idle.Count == 0)
            {
                _timer?.Dispose();
                _timer = null;
                return;
            }

            _round++;
            _timer?.Change(_options.IdleTime, Timeout.InfiniteTimeSpan);
        }
    }
}
