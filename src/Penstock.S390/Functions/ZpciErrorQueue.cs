using Penstock.Interop;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.S390;

/// <summary>
/// Error events of a function whose recovery is its user's (VFIO_DEVICE_FEATURE_ZPCI_ERROR): kept from the open to the close of the device,
/// a few of them. All members may be called from any thread.
/// </summary>
internal sealed class ZpciErrorQueue
{
    private const int Most = 4;

    private readonly Lock _gate = new();
    private readonly Queue<byte[]> _pending = new(Most);
    private bool _isOpen;
    private bool _warned;

    /// <summary>The device is being opened: errors are its user's from now on.</summary>
    public void Start()
    {
        lock (_gate)
        {
            _isOpen = true;
            _warned = false;
        }
    }

    /// <summary>The device is closed: what was not taken is dropped.</summary>
    public void Stop()
    {
        lock (_gate)
        {
            _isOpen = false;
            _pending.Clear();
        }
    }

    /// <summary>Keeps an event.</summary>
    /// <param name="errorEvent">The event.</param>
    /// <param name="warns">Whether it is the first that is dropped, of which somebody should know.</param>
    /// <returns>False when nobody has the device open, so that recovery is the host's.</returns>
    public bool TryStore(ReadOnlySpan<byte> errorEvent, out bool warns)
    {
        lock (_gate)
        {
            warns = _isOpen && _pending.Count == Most && !_warned;
            _warned |= warns;
            if (_isOpen && _pending.Count < Most)
            {
                _pending.Enqueue(errorEvent.ToArray());
            }

            return _isOpen;
        }
    }

    /// <summary>Gives the oldest event to the user; it stays when it cannot be written.</summary>
    /// <param name="what">The call, for errors.</param>
    /// <param name="memory">The user's memory.</param>
    /// <param name="address">Where the event goes.</param>
    /// <exception cref="VfioException">ENOMSG: there is none; EFAULT: it cannot be written.</exception>
    public void Take(string what, IUserAddressSpace memory, ulong address)
    {
        lock (_gate)
        {
            if (!_pending.TryPeek(out byte[]? oldest))
            {
                throw new VfioException(Errno.ENOMSG, what, "no error is pending");
            }

            Errno errno = memory.Write(address, oldest);
            if (errno != Errno.None)
            {
                throw new VfioException(errno, what, $"{ZpciErrorEventBlock.Length} bytes at 0x{address:x} cannot be written");
            }

            _pending.Dequeue();
        }
    }
}
