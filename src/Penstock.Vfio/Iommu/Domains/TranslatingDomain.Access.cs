using System.Runtime.InteropServices;
using Penstock.Interop;

namespace Penstock.Vfio;

/// <content>Copies to and from the mapped memory, across mappings.</content>
public abstract partial class TranslatingDomain
{
    // A scope ends after this much, so that a large copy does not hold up an unmap.
    private const int CopyPerScope = 1 << 20;

    /// <summary>
    /// Copies out of mapped memory; allocates nothing. What was copied before an error stays copied. Blocks when the memory is reached
    /// by messages.
    /// </summary>
    /// <param name="iova">First I/O address.</param>
    /// <param name="destination">Where to copy, and how much.</param>
    /// <returns>None; EFAULT: a hole; EPERM: a mapping does not let devices read; the error of copied or message memory.</returns>
    public Errno Read(ulong iova, Span<byte> destination) => Copy(iova, destination, DmaAccess.Read, default, out _);

    /// <summary>Copies into mapped memory; as <see cref="Read"/>.</summary>
    /// <param name="iova">First I/O address.</param>
    /// <param name="source">What to copy.</param>
    /// <returns>None; EFAULT: a hole; EPERM: a mapping does not let devices write; the error of copied or message memory.</returns>
    public Errno Write(ulong iova, ReadOnlySpan<byte> source) => Copy(iova, Writeable(source), DmaAccess.Write, default, out _);

    /// <summary>As <see cref="Read"/>, without blocking a thread on messages.</summary>
    /// <param name="iova">First I/O address.</param>
    /// <param name="destination">Where to copy; must not be touched until done.</param>
    /// <param name="cancellation">Gives up waiting for the peer.</param>
    /// <returns>As <see cref="Read"/>; ECANCELED.</returns>
    public ValueTask<Errno> ReadAsync(ulong iova, Memory<byte> destination, CancellationToken cancellation = default) =>
        Whole(CopyAsync(iova, destination, DmaAccess.Read, default, cancellation));

    /// <summary>As <see cref="Write"/>, without blocking a thread on messages.</summary>
    /// <param name="iova">First I/O address.</param>
    /// <param name="source">What to copy; must not change until done.</param>
    /// <param name="cancellation">Gives up waiting for the peer.</param>
    /// <returns>As <see cref="Write"/>; ECANCELED.</returns>
    public ValueTask<Errno> WriteAsync(ulong iova, ReadOnlyMemory<byte> source, CancellationToken cancellation = default) =>
        Whole(CopyAsync(iova, MemoryMarshal.AsMemory(source), DmaAccess.Write, default, cancellation));

    // The copy only reads such a span; one loop serves both directions.
    internal static Span<byte> Writeable(ReadOnlySpan<byte> source) =>
        MemoryMarshal.CreateSpan(ref MemoryMarshal.GetReference(source), source.Length);

    /// <summary>
    /// Copies piece by piece. A port that copies is looked at inside each piece's scope: once it is blocked, was reset or leads elsewhere nothing
    /// more is touched through this domain, and the answer is EFAULT after what was done.
    /// </summary>
    internal Errno Copy(ulong iova, Span<byte> data, DmaAccess access, DmaTransfer transfer, out int copied)
    {
        copied = 0;
        if (!data.IsEmpty && (ulong)data.Length - 1 > ulong.MaxValue - iova)
        {
            return Errno.EFAULT;
        }

        while (copied < data.Length)
        {
            Span<byte> rest = data[copied..];
            ulong at = iova + (ulong)copied;
            int done = CopyDirect(at, rest, access, transfer);
            if (done == 0)
            {
                Errno errno = CopyThrough(at, rest, access, transfer, out done);
                if (errno == Errno.None && done == 0)
                {
                    errno = CopyHeld(at, rest, access, transfer, out done);
                }

                if (errno != Errno.None)
                {
                    return errno;
                }
            }

            copied += done;
        }

        return Errno.None;
    }

    /// <summary>As <see cref="Copy"/>; gives the error and how much was copied before it.</summary>
    internal async ValueTask<(Errno Errno, int Copied)> CopyAsync(
        ulong iova, Memory<byte> data, DmaAccess access, DmaTransfer transfer, CancellationToken cancellation)
    {
        int copied = 0;
        if (!data.IsEmpty && (ulong)data.Length - 1 > ulong.MaxValue - iova)
        {
            return (Errno.EFAULT, 0);
        }

        while (copied < data.Length)
        {
            Memory<byte> rest = data[copied..];
            ulong at = iova + (ulong)copied;
            int done = CopyDirect(at, rest.Span, access, transfer);
            if (done == 0)
            {
                Errno through = CopyThrough(at, rest.Span, access, transfer, out done);
                if (through != Errno.None)
                {
                    return (through, copied);
                }
            }

            if (done == 0)
            {
                Errno errno = TryHold(at, (ulong)rest.Length, access, transfer, out HeldMemory held);
                if (errno != Errno.None)
                {
                    return (errno, copied);
                }

                using (held)
                {
                    done = (int)held.Length;
                    try
                    {
                        errno = await held.Memory.CopyAsync(held.Offset, rest[..done], access, transfer, cancellation).ConfigureAwait(false);
                    }
                    finally
                    {
                        // Also after an error: part of it may be written.
                        transfer.Copied(at, done, access);
                    }
                }

                if (errno != Errno.None)
                {
                    return (errno, copied);
                }
            }

            copied += done;
        }

        return (Errno.None, copied);
    }

    private static async ValueTask<Errno> Whole(ValueTask<(Errno Errno, int Copied)> copy) => (await copy.ConfigureAwait(false)).Errno;

    /// <summary>Enters a scope for a piece of a copy; an empty one, in which there is nothing, when the port does not lead here any more.</summary>
    private DmaScope Enter(DmaTransfer transfer)
    {
        DmaScope scope = Enter();
        if (transfer.MayUse(this))
        {
            return scope;
        }

        scope.Dispose();
        return default;
    }

    private unsafe int CopyDirect(ulong iova, Span<byte> data, DmaAccess access, DmaTransfer transfer)
    {
        using DmaScope scope = Enter(transfer);
        if (!scope.TryBorrow(iova, (ulong)Math.Min(data.Length, CopyPerScope), access, out DmaRun run))
        {
            return 0;
        }

        int length = (int)run.Length;

        // SAFETY: the run is valid inside the scope; both spans have this length.
        var lent = new Span<byte>(run.Pointer, length);
        if (access == DmaAccess.Read)
        {
            lent.CopyTo(data);
        }
        else
        {
            data[..length].CopyTo(lent);
            transfer.Copied(iova, length, access);
        }

        return length;
    }

    /// <summary>
    /// Memory that is copied through its descriptor: a bounded call on a file, made inside the scope, so that an unmap that has returned
    /// has no copy behind it. Nothing is done for memory that needs messages.
    /// </summary>
    private Errno CopyThrough(ulong iova, Span<byte> data, DmaAccess access, DmaTransfer transfer, out int done)
    {
        done = 0;
        using DmaScope scope = Enter(transfer);
        Errno errno = scope.TryHold(iova, (ulong)Math.Min(data.Length, CopyPerScope), access, out HeldMemory held);
        if (errno != Errno.None)
        {
            return errno;
        }

        using (held)
        {
            if (held.Memory.NeedsMessages)
            {
                return Errno.None;
            }

            done = (int)held.Length;
            if (access == DmaAccess.Read)
            {
                return held.Memory.Read(held.Offset, data[..done]);
            }

            errno = held.Memory.Write(held.Offset, data[..done]);
            transfer.Copied(iova, done, access);
            return errno;
        }
    }

    private Errno TryHold(ulong iova, ulong length, DmaAccess access, DmaTransfer transfer, out HeldMemory held)
    {
        using DmaScope scope = Enter(transfer);
        return scope.TryHold(iova, length, access, out held);
    }

    private Errno CopyHeld(ulong iova, Span<byte> data, DmaAccess access, DmaTransfer transfer, out int done)
    {
        done = 0;
        Errno errno = TryHold(iova, (ulong)data.Length, access, transfer, out HeldMemory held);
        if (errno != Errno.None)
        {
            return errno;
        }

        Strand? strand = transfer.Strand;
        using (held)
        {
            bool pause = false;
            if (held.Memory.NeedsMessages && strand is not null)
            {
                if (strand.InRegisterCall)
                {
                    return Errno.EDEADLK;
                }

                // The peer may need a register access answered before it answers this message.
                pause = strand.TryPause();
            }

            done = (int)held.Length;
            try
            {
                return held.Memory.Copy(held.Offset, data[..done], access, transfer);
            }
            finally
            {
                transfer.Copied(iova, done, access);
                if (pause)
                {
                    strand!.Resume();
                }
            }
        }
    }
}
