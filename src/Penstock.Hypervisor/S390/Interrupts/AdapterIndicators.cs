using Penstock.Interop;
using Penstock.S390;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// The indicators of one function in a guest's memory, for whoever delivers interruptions past the VMM: the vector's bit is set at once, and only
/// when the summary bit was clear somebody has to be told, since the guest looks at everything until it has cleared its summary. The memory is
/// pinned until disposed. Delivering takes no lock, waits for nobody, allocates nothing, and may happen on any thread.
/// </summary>
public sealed class AdapterIndicators : IDisposable
{
    private const int BitsOfByte = 8;
    private const ulong Alignment = 8;

    private readonly DeliveryGate _gate = new();
    private readonly PinnedGuestMemory _vector;
    private readonly PinnedGuestMemory? _summary;
    private readonly Action _prod;
    private readonly nint _bits;
    private readonly nint _summaryBits;
    private readonly uint _first;
    private readonly uint _summaryBit;
    private long _set;
    private long _prods;
    private int _disposed;

    /// <summary>Pins the memory.</summary>
    /// <param name="memory">The guest's memory.</param>
    /// <param name="place">Where the indicators are.</param>
    /// <param name="prod">Tells the guest, such as by an adapter interruption. Called on the delivering thread; must not dispose this.</param>
    /// <exception cref="VfioException">
    /// EINVAL: no vectors, an offset below 0, or addresses that are not a multiple of 8; EFAULT: the guest has no such memory, or its memory cannot be
    /// touched directly, since its owner may take it away.
    /// </exception>
    public AdapterIndicators(GuestMemory memory, in AdapterIndicatorPlace place, Action prod)
    {
        ArgumentNullException.ThrowIfNull(memory);
        ArgumentNullException.ThrowIfNull(prod);
        const string What = "delivering to a guest's indicators";
        ulong summary = place.Summary ?? 0;
        if (place.Count < 1 || place.VectorOffset < 0 || place.SummaryOffset < 0 || ((place.Vector | summary) & (Alignment - 1)) != 0)
        {
            throw new VfioException(
                Errno.EINVAL, What, $"{place.Count} vectors from bit {place.VectorOffset} at 0x{place.Vector:x}, summary at 0x{summary:x}; addresses are multiples of {Alignment}");
        }

        Count = place.Count;
        _prod = prod;
        _first = (uint)place.VectorOffset;
        _summaryBit = (uint)place.SummaryOffset;
        _vector = Pin(What, memory, place.Vector, (uint)place.VectorOffset + (ulong)(uint)place.Count, out _bits);
        try
        {
            _summary = place.Summary is { } address ? Pin(What, memory, address, (ulong)place.SummaryOffset + 1, out _summaryBits) : null;
        }
        catch
        {
            _vector.Dispose();
            throw;
        }
    }

    /// <summary>Number of vectors.</summary>
    public int Count { get; }

    /// <summary>How often a vector's bit was set.</summary>
    public long Indicated => Interlocked.Read(ref _set);

    /// <summary>How often the guest was told, since its summary bit had been clear.</summary>
    public long Prods => Interlocked.Read(ref _prods);

    /// <summary>Whether the guest has not cleared its summary bit yet; never without one, or when disposed.</summary>
    public bool IsSummarySet
    {
        get
        {
            if (_summary is null || !_gate.TryEnter())
            {
                return false;
            }

            bool set = IndicatorBits.Test(_summaryBits, _summaryBit);
            _gate.Leave();
            return set;
        }
    }

    /// <summary>Delivers a vector.</summary>
    /// <param name="vector">Its number.</param>
    /// <returns>None; EINVAL: the guest has no such vector; ENODEV: disposed.</returns>
    public Errno Deliver(int vector)
    {
        if ((uint)vector >= (uint)Count)
        {
            return Errno.EINVAL;
        }

        if (!_gate.TryEnter())
        {
            return Errno.ENODEV;
        }

        try
        {
            IndicatorBits.TestAndSet(_bits, _first + (uint)vector);
            Interlocked.Increment(ref _set);
            if (_summary is null || !IndicatorBits.TestAndSet(_summaryBits, _summaryBit))
            {
                Interlocked.Increment(ref _prods);
                _prod();
            }

            return Errno.None;
        }
        finally
        {
            _gate.Leave();
        }
    }

    /// <summary>
    /// Sets a vector's bit and leaves the summary bit alone, for a caller who has somebody else set it and tell the guest, such as a VMM that does both when its
    /// eventfd is signalled.
    /// </summary>
    /// <param name="vector">Its number.</param>
    /// <param name="isTold">Whether the summary bit is set, so that the guest will look by itself.</param>
    /// <returns>As <see cref="Deliver"/>.</returns>
    public Errno Indicate(int vector, out bool isTold)
    {
        isTold = false;
        if ((uint)vector >= (uint)Count)
        {
            return Errno.EINVAL;
        }

        if (!_gate.TryEnter())
        {
            return Errno.ENODEV;
        }

        TrySet(vector, out isTold);
        _gate.Leave();
        return Errno.None;
    }

    /// <summary>Keeps the indicators for a moment, for who has to look at something else before <see cref="TrySet"/>.</summary>
    /// <returns>False: disposed. True: <see cref="Leave"/> again, soon.</returns>
    internal bool TryEnter() => _gate.TryEnter();

    /// <summary>Ends what <see cref="TryEnter"/> began.</summary>
    internal void Leave() => _gate.Leave();

    /// <summary>As <see cref="Indicate"/>, for who has entered.</summary>
    /// <returns>False: there is no such vector.</returns>
    internal bool TrySet(int vector, out bool isTold)
    {
        isTold = false;
        if ((uint)vector >= (uint)Count)
        {
            return false;
        }

        // The first is a full fence: a guest that has cleared its summary before this looks at it finds the vector's bit afterwards.
        IndicatorBits.TestAndSet(_bits, _first + (uint)vector);
        isTold = _summary is not null && IndicatorBits.Test(_summaryBits, _summaryBit);
        Interlocked.Increment(ref _set);
        return true;
    }

    /// <summary>Unpins the memory. When this returns nothing is written and nobody is told any more.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            _gate.Close();
            _vector.Dispose();
            _summary?.Dispose();
        }
    }

    private static PinnedGuestMemory Pin(string what, GuestMemory memory, ulong address, ulong bits, out nint host)
    {
        ulong bytes = (bits + BitsOfByte - 1) / BitsOfByte;
        PinnedGuestMemory pinned = memory.Pin(address, (bytes + Alignment - 1) / Alignment * Alignment, write: true);
        host = pinned.HostAddress;
        if (host == 0)
        {
            pinned.Dispose();
            throw new VfioException(
                Errno.EFAULT, what, $"the memory at guest address 0x{address:x} can only be copied, not touched; share it in sealed memory or with the same user");
        }

        return pinned;
    }
}
