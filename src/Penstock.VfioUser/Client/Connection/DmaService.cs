using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.VfioUser;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <summary>
/// Serves the server's commands DMA_READ and DMA_WRITE from what is mapped. A server asks for what it likes: it gets nothing but bytes of mappings
/// that grant the access, and an error for everything else.
/// </summary>
internal sealed class DmaService(ClientConnection connection, Func<SoftwareDomain?> memory)
{
    /// <summary>Bytes that may be on their way to memory that is itself reached by messages to somebody else.</summary>
    private const long MostPending = 16 << 20;

    /// <summary>What one of them takes besides its bytes, with a good deal to spare.</summary>
    private const int PendingCost = 4096;

    private const int Overhead = VfioUserHeader.Length + VfioUserDmaAccess.Length;

    private long _pending;

    /// <summary>Serves one command, and answers it. For whoever leads on the channel. Allocates nothing but for memory that needs messages.</summary>
    /// <param name="channel">Where it came from.</param>
    /// <param name="header">Its header.</param>
    /// <param name="body">What follows.</param>
    public void Serve(ClientChannel channel, in VfioUserHeader header, ReadOnlySpan<byte> body)
    {
        if (header.Command is not (VfioUserCommand.DmaRead or VfioUserCommand.DmaWrite) || body.Length < VfioUserDmaAccess.Length)
        {
            Refuse(channel, header, Errno.EINVAL);
            return;
        }

        VfioUserDmaAccess access = MemoryMarshal.Read<VfioUserDmaAccess>(body);
        ReadOnlySpan<byte> data = body[VfioUserDmaAccess.Length..];
        bool isWrite = header.Command == VfioUserCommand.DmaWrite;
        if (access.Count > VfioUserLimits.DefaultMaximumTransfer || (ulong)data.Length != (isWrite ? access.Count : 0))
        {
            Refuse(channel, header, Errno.EINVAL);
            return;
        }

        int count = (int)access.Count;
        Span<byte> answer = channel.Answer(Overhead + (isWrite ? 0 : count));

        // A write only reads its data; one loop serves both directions.
        Span<byte> bytes = isWrite ? MemoryMarshal.CreateSpan(ref MemoryMarshal.GetReference(data), count) : answer[Overhead..];
        Errno errno = Copy(access.Iova, bytes, isWrite ? DmaAccess.Write : DmaAccess.Read, out int done, out SoftwareDomain? domain);
        if (errno == Errno.EAGAIN)
        {
            Start(channel, header, access, isWrite, bytes, done, domain!);
        }
        else if (errno != Errno.None)
        {
            Refuse(channel, header, errno);
        }
        else
        {
            Answer(channel, header, access, answer);
        }
    }

    private static Errno CopyHeld(in HeldMemory held, Span<byte> bytes, bool isWrite)
    {
        try
        {
            return isWrite ? held.Memory.Write(held.Offset, bytes) : held.Memory.Read(held.Offset, bytes);
        }
        catch (Exception)
        {
            // The memory is of its owner's making.
            return Errno.EIO;
        }
    }

    /// <returns>EAGAIN: what begins at <paramref name="done"/> is reached by messages.</returns>
    private unsafe Errno Copy(ulong iova, Span<byte> bytes, DmaAccess access, out int done, out SoftwareDomain? domain)
    {
        done = 0;
        domain = memory();
        if (!bytes.IsEmpty && (ulong)bytes.Length - 1 > ulong.MaxValue - iova)
        {
            return Errno.EFAULT;
        }

        while (done < bytes.Length)
        {
            if (domain is null)
            {
                return Errno.EFAULT;
            }

            Span<byte> rest = bytes[done..];
            using DmaScope scope = domain.Enter();
            if (scope.TryBorrow(iova + (ulong)done, (ulong)rest.Length, access, out DmaRun run))
            {
                // SAFETY: the run is valid inside the scope; both spans have its length.
                var lent = new Span<byte>(run.Pointer, (int)run.Length);
                if (access == DmaAccess.Write)
                {
                    rest[..lent.Length].CopyTo(lent);
                }
                else
                {
                    lent.CopyTo(rest);
                }

                done += lent.Length;
                continue;
            }

            Errno errno = scope.TryHold(iova + (ulong)done, (ulong)rest.Length, access, out HeldMemory held);
            if (errno != Errno.None)
            {
                return errno;
            }

            using (held)
            {
                if (held.Memory.NeedsMessages)
                {
                    return Errno.EAGAIN;
                }

                errno = CopyHeld(held, rest[..(int)held.Length], access == DmaAccess.Write);
                if (errno != Errno.None)
                {
                    return errno;
                }

                done += (int)held.Length;
            }
        }

        return Errno.None;
    }

    /// <summary>The rest is somebody else's to answer: this thread has to go on reading meanwhile.</summary>
    private void Start(ClientChannel channel, VfioUserHeader header, VfioUserDmaAccess access, bool isWrite, Span<byte> bytes, int done, SoftwareDomain domain)
    {
        if (Interlocked.Add(ref _pending, bytes.Length + PendingCost) > MostPending || !connection.TryEnter())
        {
            Interlocked.Add(ref _pending, -(bytes.Length + PendingCost));
            Refuse(channel, header, Errno.EBUSY);
            return;
        }

        byte[] message = new byte[Overhead + bytes.Length];
        bytes.CopyTo(message.AsSpan(Overhead));
        _ = FinishAsync(channel, header, access, isWrite, message, done, domain);
    }

    private async Task FinishAsync(
        ClientChannel channel, VfioUserHeader header, VfioUserDmaAccess access, bool isWrite, byte[] message, int done, SoftwareDomain domain)
    {
        try
        {
            ulong iova = access.Iova + (ulong)done;
            Memory<byte> rest = message.AsMemory(Overhead + done);
            Errno errno;
            try
            {
                errno = isWrite
                    ? await domain.WriteAsync(iova, rest).ConfigureAwait(false)
                    : await domain.ReadAsync(iova, rest).ConfigureAwait(false);
            }
            catch (Exception)
            {
                errno = Errno.EIO;
            }

            if (errno != Errno.None)
            {
                Refuse(channel, header, errno);
            }
            else
            {
                Answer(channel, header, access, message.AsSpan(0, isWrite ? Overhead : message.Length));
            }

            connection.DrainTwin();
        }
        finally
        {
            Interlocked.Add(ref _pending, Overhead - message.Length - PendingCost);
            connection.Leave();
        }
    }

    private void Answer(ClientChannel channel, in VfioUserHeader request, in VfioUserDmaAccess access, Span<byte> answer)
    {
        Unsafe.WriteUnaligned(ref answer[VfioUserHeader.Length], access);
        Send(channel, request, answer, VfioUserMessageFlags.Reply, Errno.None);
    }

    private void Refuse(ClientChannel channel, in VfioUserHeader request, Errno errno)
    {
        Span<byte> answer = stackalloc byte[VfioUserHeader.Length];
        Send(channel, request, answer, VfioUserMessageFlags.Reply | VfioUserMessageFlags.Error, errno);
    }

    private void Send(ClientChannel channel, in VfioUserHeader request, Span<byte> answer, VfioUserMessageFlags flags, Errno errno)
    {
        if ((request.Flags & VfioUserMessageFlags.NoReply) != 0)
        {
            return;
        }

        Unsafe.WriteUnaligned(ref answer[0], new VfioUserHeader
        {
            Id = request.Id,
            Command = request.Command,
            Size = (uint)answer.Length,
            Flags = flags,
            Error = (uint)errno,
        });
        channel.Sender.Gate.Enter();
        Errno sending = channel.Sender.Send(answer);
        bool left = channel.Sender.HasBacklog;
        channel.Sender.Gate.Exit();
        if (sending != Errno.None)
        {
            connection.Fail(Errno.ENOTCONN, $"the server ended the connection ({sending})");
        }
        else if (left)
        {
            connection.Nudge();
        }
    }
}
