using Penstock.Interop;

namespace Penstock.Vfio;

/// <content>Copying.</content>
public sealed partial class IommufdAccess
{
    /// <summary>Copies out of the address space.</summary>
    /// <param name="iova">First address.</param>
    /// <param name="destination">Where to copy, and how much.</param>
    /// <returns>
    /// None; EINVAL: nothing to copy, or the mapping is being removed; EOVERFLOW: it wraps; ENOENT: not attached, or a hole; EPERM: the
    /// mapping does not allow it; EFAULT: the memory is not there. What was copied before an error stays copied.
    /// </returns>
    public Errno Read(ulong iova, Span<byte> destination) => Copy(iova, destination, DmaAccess.Read, default, out _);

    /// <summary>Copies into the address space; as <see cref="Read"/>.</summary>
    /// <param name="iova">First address.</param>
    /// <param name="source">What to copy.</param>
    /// <returns>As <see cref="Read"/>.</returns>
    public Errno Write(ulong iova, ReadOnlySpan<byte> source) => Copy(iova, TranslatingDomain.Writeable(source), DmaAccess.Write, default, out _);

    /// <summary>
    /// The DMA of an emulated device: as reading and writing, with the errors of a <see cref="DmaPort"/>. Its port is looked at with the gate
    /// held, before each piece: once it is blocked, was reset or leads elsewhere nothing more is touched, and the answer is EFAULT.
    /// </summary>
    internal Errno CopyDma(ulong iova, Span<byte> data, DmaAccess access, DmaTransfer transfer, out int copied)
    {
        copied = 0;
        return data.IsEmpty ? Errno.None : DmaError(Copy(iova, data, access, transfer, out copied));
    }

    /// <summary>As <see cref="CopyDma"/>; gives the error and how much was copied before it.</summary>
    internal async ValueTask<(Errno Errno, int Copied)> CopyDmaAsync(
        ulong iova, Memory<byte> data, DmaAccess access, DmaTransfer transfer, CancellationToken cancellation)
    {
        int copied = 0;
        if (!data.IsEmpty && (ulong)data.Length - 1 > ulong.MaxValue - iova)
        {
            return (Errno.EFAULT, 0);
        }

        while (copied < data.Length)
        {
            Errno errno = CopyDirect(iova + (ulong)copied, data.Span[copied..], access, transfer, out HeldMemory held);
            if (errno == Errno.None && held.Memory.NeedsMessages)
            {
                using (held)
                {
                    Memory<byte> piece = data.Slice(copied, (int)held.Length);
                    try
                    {
                        errno = await held.Memory.CopyAsync(held.Offset, piece, access, transfer, cancellation).ConfigureAwait(false);
                    }
                    finally
                    {
                        transfer.Copied(iova + (ulong)copied, piece.Length, access);
                    }
                }
            }

            if (errno != Errno.None)
            {
                return (DmaError(errno), copied);
            }

            copied += (int)held.Length;
        }

        return (Errno.None, copied);
    }

    private static Errno DmaError(Errno errno) => errno is Errno.ENOENT or Errno.EINVAL or Errno.EOVERFLOW ? Errno.EFAULT : errno;

    private Errno Copy(ulong iova, Span<byte> data, DmaAccess access, DmaTransfer transfer, out int copied)
    {
        copied = 0;
        if (data.IsEmpty)
        {
            return Errno.EINVAL;
        }

        if ((ulong)data.Length - 1 > ulong.MaxValue - iova)
        {
            return Errno.EOVERFLOW;
        }

        while (copied < data.Length)
        {
            Errno errno = CopyDirect(iova + (ulong)copied, data[copied..], access, transfer, out HeldMemory held);
            if (errno == Errno.None && held.Memory.NeedsMessages)
            {
                errno = CopyByMessages(held, iova + (ulong)copied, data.Slice(copied, (int)held.Length), access, transfer);
            }

            if (errno != Errno.None)
            {
                return errno;
            }

            copied += (int)held.Length;
        }

        return Errno.None;
    }

    /// <summary>Copies the first piece. One that needs messages is only held: they block, so they go out without the gate.</summary>
    private Errno CopyDirect(ulong iova, Span<byte> data, DmaAccess access, DmaTransfer transfer, out HeldMemory held)
    {
        lock (Context.Gate)
        {
            if (!transfer.MayUse(this))
            {
                held = default;
                return Errno.EFAULT;
            }

            Errno errno = Find(iova, data.Length, access, out held);
            if (errno != Errno.None || held.Memory.NeedsMessages)
            {
                return errno;
            }

            errno = held.Copy(data[..(int)held.Length], access);
            transfer.Copied(iova, (int)held.Length, access);
            return errno;
        }
    }

    private static Errno CopyByMessages(HeldMemory held, ulong iova, Span<byte> data, DmaAccess access, DmaTransfer transfer)
    {
        if (transfer.Strand is { InRegisterCall: true })
        {
            held.Dispose();
            return Errno.EDEADLK;
        }

        // The peer may need a register access answered before it answers this message.
        bool pause = transfer.Strand is { } strand && strand.TryPause();
        try
        {
            return held.Copy(data, access, transfer);
        }
        finally
        {
            transfer.Copied(iova, data.Length, access);
            if (pause)
            {
                transfer.Strand!.Resume();
            }
        }
    }

    private Errno Find(ulong iova, int length, DmaAccess access, out HeldMemory held)
    {
        held = default;
        if (_ioas is null)
        {
            return Errno.ENOENT;
        }

        foreach ((IoasArea area, ulong start, ulong piece) in _ioas.Pieces(new IovaRange(iova, iova + (ulong)(length - 1))))
        {
            if (area.PreventAccess || area.Pages.IsDmaBuf)
            {
                return Errno.EINVAL;
            }

            if ((area.Access & access) != access)
            {
                return Errno.EPERM;
            }

            try
            {
                UserMemory memory = area.Pages.Resolve(area.Offset + (start - area.Iova), out ulong offset);
                memory.Hold();
                held = new HeldMemory(memory, offset, piece);
                return Errno.None;
            }
            catch (VfioException e)
            {
                return e.Errno;
            }
        }

        return Errno.ENOENT;
    }
}
