using Penstock.Interop;

namespace Penstock.Vfio;

/// <content>What drivers of open devices do with the memory.</content>
public sealed partial class VfioContainer : IDevicePinner
{
    // The lock is let go after this much, so that a large copy holds up nobody.
    private const int CopyPerTurn = 1 << 20;

    Errno IDevicePinner.Pin(VfioDevice device, ulong iova, int count, DmaAccess access, Span<PinnedPage> pages)
    {
        lock (_gate)
        {
            return _backend?.Pin(device, iova, count, access, pages) ?? Errno.EINVAL;
        }
    }

    bool IDevicePinner.Unpin(VfioDevice device, ulong iova, int count)
    {
        lock (_gate)
        {
            return _backend?.Unpin(device, iova, count) ?? false;
        }
    }

    Errno IDevicePinner.Copy(ulong iova, Span<byte> data, DmaAccess access)
    {
        while (!data.IsEmpty)
        {
            Errno errno = CopyPiece(iova, data, access, out int done);
            if (errno != Errno.None)
            {
                return errno;
            }

            data = data[done..];
            iova += (ulong)done;
        }

        return Errno.None;
    }

    private Errno CopyPiece(ulong iova, Span<byte> data, DmaAccess access, out int done)
    {
        HeldMemory held;
        lock (_gate)
        {
            done = 0;
            Errno errno = _backend?.Find(iova, (ulong)Math.Min(data.Length, CopyPerTurn), access, out held) ?? Missing(out held);
            if (errno != Errno.None)
            {
                return errno;
            }

            done = (int)held.Length;
            if (!held.Memory.NeedsMessages)
            {
                errno = held.Copy(data[..done], access);
                Written(iova, done, access);
                return errno;
            }
        }

        // Messages block, so they go out without the lock.
        Errno answer = held.Copy(data[..done], access);
        lock (_gate)
        {
            Written(iova, done, access);
        }

        return answer;
    }

    private static Errno Missing(out HeldMemory held)
    {
        held = default;
        return Errno.EINVAL;
    }

    private void Written(ulong iova, int length, DmaAccess access)
    {
        if (access == DmaAccess.Write)
        {
            _backend?.Written(iova, (ulong)length);
        }
    }
}
