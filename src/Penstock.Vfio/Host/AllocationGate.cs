using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// Where memory for the books of I/O address spaces is asked for. Normally it lets everything pass; tests let one request fail to see that
/// the call it belongs to leaves nothing behind.
/// </summary>
internal sealed class AllocationGate
{
    private int _passing = int.MaxValue;

    /// <summary>How many requests pass before one fails, after which all pass again.</summary>
    internal int FailAfter
    {
        set => Volatile.Write(ref _passing, value);
    }

    /// <summary>Whether the request that was to fail has failed.</summary>
    internal bool HasFailed { get; private set; }

    /// <summary>Something is about to be allocated.</summary>
    /// <exception cref="VfioException">ENOMEM.</exception>
    internal void Ask(RangeCall what)
    {
        if (Volatile.Read(ref _passing) == int.MaxValue)
        {
            return;
        }

        if (_passing-- == 0)
        {
            _passing = int.MaxValue;
            HasFailed = true;
            throw new VfioException(Errno.ENOMEM, what, "there is no memory for the books");
        }
    }

    internal void Forget()
    {
        _passing = int.MaxValue;
        HasFailed = false;
    }
}
