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
    public Errno Read(ulong iova, Span<byte> destination) => Copy(iova, destination, DmaAccess.Read, null);

    /// <summary>Copies into the address space; as <see cref="Read"/>.</summary>
    /// <param name="iova">First address.</param>
    /// <param name="source">What to copy.</param>
    /// <returns>As <see cref="Read"/>.</returns>
    public Errno Write(ulong iova, ReadOnlySpan<byte> source) => Copy(iova, SoftwareDomain.Writeable(source), DmaAccess.Write, null);

    /// <summary>The DMA of an emulated device: as reading and writing, with the errors of a <see cref="DmaPort"/>.</summary>
    internal Errno CopyDma(ulong iova, Span<byte> data, DmaAccess access, Strand strand) =>
        data.IsEmpty ? Errno.None : DmaError(Copy(iova, data, access, strand));

    internal async ValueTask<Errno> CopyDmaAsync(ulong iova, Memory<byte> data, DmaAccess access, CancellationToken cancellation)
    {
        if (!data.IsEmpty && (ulong)data.Length - 1 > ulong.MaxValue - iova)
        {
            return Errno.EFAULT;
        }

        while (!data.IsEmpty)
        {
            Errno errno = CopyDirect(iova, data.Span, access, out HeldMemory held);
            if (errno == Errno.None && held.Memory.NeedsMessages)
            {
                using (held)
                {
                    Memory<byte> piece = data[..(int)held.Length];
                    errno = access == DmaAccess.Read
                        ? await held.Memory.ReadAsync(held.Offset, piece, cancellation).ConfigureAwait(false)
                        : await held.Memory.WriteAsync(held.Offset, piece, cancellation).ConfigureAwait(false);
                }
            }

            if (errno != Errno.None)
            {
                return DmaError(errno);
            }

            data = data[(int)held.Length..];
            iova += held.Length;
        }

        return Errno.None;
    }

    private static Errno DmaError(Errno errno) => errno is Errno.ENOENT or Errno.EINVAL or Errno.EOVERFLOW ? Errno.EFAULT : errno;

    private Errno Copy(ulong iova, Span<byte> data, DmaAccess access, Strand? strand)
    {
        if (data.IsEmpty)
        {
            return Errno.EINVAL;
        }

        if ((ulong)data.Length - 1 > ulong.MaxValue - iova)
        {
            return Errno.EOVERFLOW;
        }

        while (!data.IsEmpty)
        {
            Errno errno = CopyDirect(iova, data, access, out HeldMemory held);
            if (errno == Errno.None && held.Memory.NeedsMessages)
            {
                errno = CopyByMessages(held, data[..(int)held.Length], access, strand);
            }

            if (errno != Errno.None)
            {
                return errno;
            }

            data = data[(int)held.Length..];
            iova += held.Length;
        }

        return Errno.None;
    }

    /// <summary>Copies the first piece. One that needs messages is only held: they block, so they go out without the gate.</summary>
    private Errno CopyDirect(ulong iova, Span<byte> data, DmaAccess access, out HeldMemory held)
    {
        lock (Context.Gate)
        {
            Errno errno = Find(iova, data.Length, access, out held);
            return errno != Errno.None || held.Memory.NeedsMessages ? errno : held.Copy(data[..(int)held.Length], access);
        }
    }

    private static Errno CopyByMessages(HeldMemory held, Span<byte> data, DmaAccess access, Strand? strand)
    {
        if (strand is { InRegisterCall: true })
        {
            held.Dispose();
            return Errno.EDEADLK;
        }

        // The peer may need a register access answered before it answers this message.
        bool pause = strand is not null && strand.TryPause();
        try
        {
            return held.Copy(data, access);
        }
        finally
        {
            if (pause)
            {
                strand!.Resume();
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
