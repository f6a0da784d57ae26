using Penstock.Interop;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.S390;

/// <content>The functions that use the tables, and what they are told.</content>
public sealed unsafe partial class ZpciDomain
{
    private const ulong UpperHalf = 1ul << 63;

    private readonly Lock _attaching = new();
    private IZpciHostFunction[] _functions = [];
    private long _globalRefreshes;
    private long _syncMapRefreshes;
    private long _syncRefreshes;

    /// <summary>The attached functions as of now.</summary>
    public IReadOnlyList<IZpciHostFunction> Functions => Volatile.Read(ref _functions);

    /// <inheritdoc/>
    protected override bool BlocksFirst(IommuGroup group) => FunctionsOf(group).Count != 0;

    /// <summary>Tells every function that anything may have changed.</summary>
    public void RefreshAll()
    {
        foreach (IZpciHostFunction function in Volatile.Read(ref _functions))
        {
            RefreshAll(function);
        }
    }

    /// <summary>
    /// Registers the tables with a function anew, after its firmware has forgotten them: it was disabled and enabled again.
    /// </summary>
    /// <param name="function">A function that is attached.</param>
    /// <exception cref="VfioException">EIO: firmware refuses; the function's DMA is blocked.</exception>
    public void Reregister(IZpciHostFunction function)
    {
        ArgumentNullException.ThrowIfNull(function);
        Register(function);
    }

    /// <inheritdoc/>
    protected override void Attaching(IommuGroup group)
    {
        foreach (IZpciHostFunction function in FunctionsOf(group))
        {
            if (!function.DmaWindow.Overlaps(Aperture))
            {
                throw new VfioException(
                    Errno.EINVAL, $"attaching {function.Name}", $"its DMA addresses {function.DmaWindow} and the tables' {Aperture} have nothing in common");
            }
        }
    }

    /// <inheritdoc/>
    protected override void Register(IommuGroup group)
    {
        IReadOnlyList<IZpciHostFunction> functions = FunctionsOf(group);
        int done = 0;
        try
        {
            for (; done < functions.Count; done++)
            {
                Register(functions[done]);
            }
        }
        catch
        {
            while (done-- > 0)
            {
                functions[done].DeregisterIoat();
            }

            throw;
        }

        lock (_attaching)
        {
            Volatile.Write(ref _functions, [.. _functions, .. functions]);
        }
    }

    /// <inheritdoc/>
    protected override void Detached(IommuGroup group)
    {
        IReadOnlyList<IZpciHostFunction> functions = FunctionsOf(group);
        lock (_attaching)
        {
            Volatile.Write(ref _functions, [.. _functions.Where(f => !functions.Contains(f))]);
        }

        foreach (IZpciHostFunction function in functions)
        {
            function.DeregisterIoat();
        }
    }

    private IReadOnlyList<IZpciHostFunction> FunctionsOf(IommuGroup group) => _setup.FunctionsOf?.Invoke(group) ?? [];

    private void Register(IZpciHostFunction function)
    {
        IovaRange window = function.DmaWindow;
        ulong longer = function.IsInternalSharedMemory ? ZpciIoTable.PageSize : 0;
        ulong last = window.Last + Math.Min(longer, ulong.MaxValue - window.Last);
        ZpciAnswer answer = function.RegisterIoat(window.First, last, Iota);
        if (!answer.IsRegistered)
        {
            throw new VfioException(Errno.EIO, $"attaching {function.Name}", $"its firmware does not take the tables: {answer}; its DMA is blocked");
        }
    }

    /// <summary>
    /// Tells functions of new entries, where they have to be. A hypervisor below that is short of memory may get some back from entries that
    /// have gone without its knowing: it is told to look at everything before the map is given up.
    /// </summary>
    private Errno SyncMap(ulong iova, ulong size)
    {
        Errno errno = Errno.None;
        foreach (IZpciHostFunction function in Volatile.Read(ref _functions))
        {
            if (!function.RefreshesOnMap)
            {
                continue;
            }

            Interlocked.Increment(ref _syncMapRefreshes);
            errno = function.Refresh(iova, size).RefreshError;
            if (errno == Errno.ENOMEM)
            {
                errno = RefreshAll(function);
                if (errno != Errno.None)
                {
                    break;
                }
            }
        }

        return errno;
    }

    /// <summary>Tells functions of removed entries, whatever they answer.</summary>
    private void Sync(IovaRange range)
    {
        foreach (IZpciHostFunction function in Volatile.Read(ref _functions))
        {
            Refresh(function, range, ref _syncRefreshes);
        }
    }

    private Errno RefreshAll(IZpciHostFunction function) => Refresh(function, function.DmaWindow, ref _globalRefreshes);

    /// <summary>One instruction; two for all 2^64 bytes, a length that the instruction has no room for.</summary>
    /// <returns>The first error.</returns>
    private static Errno Refresh(IZpciHostFunction function, IovaRange range, ref long count)
    {
        Interlocked.Increment(ref count);
        ulong length = range.Last - range.First + 1;
        if (length != 0)
        {
            return function.Refresh(range.First, length).RefreshError;
        }

        Interlocked.Increment(ref count);
        Errno errno = function.Refresh(0, UpperHalf).RefreshError;
        Errno upper = function.Refresh(UpperHalf, UpperHalf).RefreshError;
        return errno == Errno.None ? upper : errno;
    }
}
