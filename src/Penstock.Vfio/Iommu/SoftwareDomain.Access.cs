using System.Runtime.InteropServices;
using Penstock.Interop;

namespace Penstock.Vfio;

/// <content>Copies to and from the mapped memory, across mappings.</content>
public sealed partial class SoftwareDomain
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
    public Errno Read(ulong iova, Span<byte> destination) => Copy(iova, destination, DmaAccess.Read, null);

    /// <summary>Copies into mapped memory; as <see cref="Read"/>.</summary>
    /// <param name="iova">First I/O address.</param>
    /// <param name="source">What to copy.</param>
    /// <returns>None; EFAULT: a hole; EPERM: a mapping does not let devices write; the error of copied or message memory.</returns>
    public Errno Write(ulong iova, ReadOnlySpan<byte> source) => Copy(iova, Writeable(source), DmaAccess.Write, null);

    /// <summary>As <see cref="Read"/>, without blocking a thread on messages.</summary>
    /// <param name="iova">First I/O address.</param>
    /// <param name="destination">Where to copy; must not be touched until done.</param>
    /// <param name="cancellation">Gives up waiting for the peer.</param>
    /// <returns>As <see cref="Read"/>; ECANCELED.</returns>
    public ValueTask<Errno> ReadAsync(ulong iova, Memory<byte> destination, CancellationToken cancellation = default) =>
        CopyAsync(iova, destination, DmaAccess.Read, cancellation);

    /// <summary>As <see cref="Write"/>, without blocking a thread on messages.</summary>
    /// <param name="iova">First I/O address.</param>
    /// <param name="source">What to copy; must not change until done.</param>
    /// <param name="cancellation">Gives up waiting for the peer.</param>
    /// <returns>As <see cref="Write"/>; ECANCELED.</returns>
    public ValueTask<Errno> WriteAsync(ulong iova, ReadOnlyMemory<byte> source, CancellationToken cancellation = default) =>
        CopyAsync(iova, MemoryMarshal.AsMemory(source), DmaAccess.Write, cancellation);

    // The copy only reads such a span; one loop serves both directions.
    internal static Span<byte> Writeable(ReadOnlySpan<byte> source) =>
        MemoryMarshal.CreateSpan(ref MemoryMarshal.GetReference(source), source.Length);

    internal Errno Copy(ulong iova, Span<byte> data, DmaAccess access, Strand? strand)
    {
        if (data.IsEmpty)
        {
            return Errno.None;
        }

        if ((ulong)data.Length - 1 > ulong.MaxValue - iova)
        {
            return Errno.EFAULT;
        }

        while (true)
        {
            int done = CopyDirect(iova, data, access);
            if (done == 0)
            {
                Errno errno = CopyThrough(iova, data, access, out done);
                if (errno == Errno.None && done == 0)
                {
                    errno = CopyHeld(iova, data, access, strand, out done);
                }

                if (errno != Errno.None)
                {
                    return errno;
                }
            }

            if (done == data.Length)
            {
                return Errno.None;
            }

            data = data[done..];
            iova += (ulong)done;
        }
    }

    internal async ValueTask<Errno> CopyAsync(ulong iova, Memory<byte> data, DmaAccess access, CancellationToken cancellation)
    {
        if (!data.IsEmpty && (ulong)data.Length - 1 > ulong.MaxValue - iova)
        {
            return Errno.EFAULT;
        }

        while (!data.IsEmpty)
        {
            int done = CopyDirect(iova, data.Span, access);
            if (done == 0)
            {
                Errno through = CopyThrough(iova, data.Span, access, out done);
                if (through != Errno.None)
                {
                    return through;
                }
            }

            if (done == 0)
            {
                Errno errno = TryHold(iova, (ulong)data.Length, access, out HeldMemory held);
                if (errno != Errno.None)
                {
                    return errno;
                }

                using (held)
                {
                    done = (int)held.Length;
                    errno = access == DmaAccess.Read
                        ? await held.Memory.ReadAsync(held.Offset, data[..done], cancellation).ConfigureAwait(false)
                        : await held.Memory.WriteAsync(held.Offset, data[..done], cancellation).ConfigureAwait(false);
                }

                if (errno != Errno.None)
                {
                    return errno;
                }
            }

            data = data[done..];
            iova += (ulong)done;
        }

        return Errno.None;
    }

    private unsafe int CopyDirect(ulong iova, Span<byte> data, DmaAccess access)
    {
        using DmaScope scope = Enter();
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
        }

        return length;
    }

    /// <summary>
    /// Memory that is copied through its descriptor: a bounded call on a file, made inside the scope, so that an unmap that has returned
    /// has no copy behind it. Nothing is done for memory that needs messages.
    /// </summary>
    private Errno CopyThrough(ulong iova, Span<byte> data, DmaAccess access, out int done)
    {
        done = 0;
        using DmaScope scope = Enter();
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
            return access == DmaAccess.Read
                ? held.Memory.Read(held.Offset, data[..done])
                : held.Memory.Write(held.Offset, data[..done]);
        }
    }

    private Errno TryHold(ulong iova, ulong length, DmaAccess access, out HeldMemory held)
    {
        using DmaScope scope = Enter();
        return scope.TryHold(iova, length, access, out held);
    }

    private Errno CopyHeld(ulong iova, Span<byte> data, DmaAccess access, Strand? strand, out int done)
    {
        done = 0;
        Errno errno = TryHold(iova, (ulong)data.Length, access, out HeldMemory held);
        if (errno != Errno.None)
        {
            return errno;
        }

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
                return access == DmaAccess.Read
                    ? held.Memory.Read(held.Offset, data[..done])
                    : held.Memory.Write(held.Offset, data[..done]);
            }
            finally
            {
                if (pause)
                {
                    strand!.Resume();
                }
            }
        }
    }
}
