using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.VfioUser;

namespace Penstock.VfioUser;

/// <content>REGION_READ, REGION_WRITE and REGION_WRITE_MULTI, the hot path.</content>
internal sealed unsafe partial class VfioUserSession
{
    private void RegionRead(in VfioUserHeader header, ReadOnlySpan<byte> body)
    {
        if (body.Length < VfioUserRegionAccess.Length)
        {
            ReplyError(header, Errno.EINVAL);
            return;
        }

        VfioUserRegionAccess access = Unsafe.ReadUnaligned<VfioUserRegionAccess>(ref MemoryMarshal.GetReference(body));
        if (!IsInRegion(access))
        {
            ReplyError(header, Errno.EINVAL);
            return;
        }

        // SAFETY: the buffer holds header, structure and the longest data.
        var data = new Span<byte>(_reply + VfioUserHeader.Length + VfioUserRegionAccess.Length, (int)access.Count);
        EnterAccess(header);
        Errno errno = _file!.Read(access.Region, access.Offset, data, out int done);
        if (errno == Errno.None && done == data.Length)
        {
            Unsafe.WriteUnaligned(_reply + VfioUserHeader.Length, access);
            ExitAccess(header, VfioUserRegionAccess.Length + done, Errno.None);
        }
        else
        {
            ExitAccess(header, 0, errno == Errno.None ? Errno.EINVAL : errno);
        }
    }

    private void RegionWrite(in VfioUserHeader header, ReadOnlySpan<byte> body)
    {
        VfioUserRegionAccess access = default;
        bool sound = body.Length >= VfioUserRegionAccess.Length;
        if (sound)
        {
            access = Unsafe.ReadUnaligned<VfioUserRegionAccess>(ref MemoryMarshal.GetReference(body));
            body = body[VfioUserRegionAccess.Length..];
            sound = IsInRegion(access) && access.Count == body.Length;
        }

        if (!sound)
        {
            ReplyError(header, Errno.EINVAL);
            return;
        }

        EnterAccess(header);
        Errno errno = _file!.Write(access.Region, access.Offset, body, out int done);
        if (errno == Errno.None && done == body.Length)
        {
            Unsafe.WriteUnaligned(_reply + VfioUserHeader.Length, access);
            ExitAccess(header, VfioUserRegionAccess.Length, Errno.None);
        }
        else
        {
            ExitAccess(header, 0, errno == Errno.None ? Errno.EINVAL : errno);
        }
    }

    /// <summary>
    /// Writes one after the other, up to the first that fails. The reply says how many were done, which also names the one that failed; when that was
    /// the first, its error is the reply.
    /// </summary>
    private void RegionWriteMulti(in VfioUserHeader header, ReadOnlySpan<byte> body)
    {
        ulong count = body.Length < VfioUserRegionWriteMulti.Length ? ulong.MaxValue : Unsafe.ReadUnaligned<ulong>(ref MemoryMarshal.GetReference(body));
        ulong room = (ulong)(body.Length - VfioUserRegionWriteMulti.Length) / VfioUserMultiWrite.Length;
        if (!_limits.WriteMultiple || count != room || (body.Length - VfioUserRegionWriteMulti.Length) % VfioUserMultiWrite.Length != 0)
        {
            ReplyError(header, Errno.EINVAL);
            return;
        }

        ReadOnlySpan<byte> writes = body[VfioUserRegionWriteMulti.Length..];
        EnterAccess(header);
        ulong done = 0;
        Errno errno = Errno.None;
        while (done < count && errno == Errno.None)
        {
            errno = WriteOne(writes.Slice((int)done * VfioUserMultiWrite.Length, VfioUserMultiWrite.Length));
            done += errno == Errno.None ? 1u : 0u;
        }

        Unsafe.WriteUnaligned(_reply + VfioUserHeader.Length, new VfioUserRegionWriteMulti { Count = done });
        bool failed = done == 0 && errno != Errno.None;
        ExitAccess(header, failed ? 0 : VfioUserRegionWriteMulti.Length, failed ? errno : Errno.None);
    }

    private Errno WriteOne(ReadOnlySpan<byte> write)
    {
        VfioUserRegionAccess access = Unsafe.ReadUnaligned<VfioUserRegionAccess>(ref MemoryMarshal.GetReference(write));
        if (access.Count > VfioUserMultiWrite.MaximumData || !IsInRegion(access))
        {
            return Errno.EINVAL;
        }

        ReadOnlySpan<byte> data = write.Slice(VfioUserMultiWrite.DataOffset, (int)access.Count);
        Errno errno = _file!.Write(access.Region, access.Offset, data, out int done);
        return errno == Errno.None && done != data.Length ? Errno.EINVAL : errno;
    }

    /// <summary>An access is done as a whole or not at all, so its end is checked before the device sees it.</summary>
    private bool IsInRegion(in VfioUserRegionAccess access)
    {
        ulong[] sizes = _regionSizes;
        if (access.Region >= (uint)sizes.Length || access.Count > VfioUserLimits.DefaultMaximumTransfer)
        {
            return false;
        }

        ulong size = sizes[access.Region];
        return access.Count <= size && access.Offset <= size - access.Count;
    }

    /// <summary>
    /// While a vCPU waits for the reply to an access a real QEMU answers no DMA, so until the reply is out nobody else may send and
    /// work that the access posted may not start. Nobody waits for a posted write.
    /// </summary>
    private void EnterAccess(in VfioUserHeader header)
    {
        if ((header.Flags & VfioUserMessageFlags.NoReply) == 0)
        {
            _sender.Gate.Enter();
        }

        _file!.BeginAccess();
    }

    private void ExitAccess(in VfioUserHeader header, int payload, Errno errno)
    {
        if ((header.Flags & VfioUserMessageFlags.NoReply) == 0)
        {
            VfioUserMessageFlags flags = errno == Errno.None
                ? VfioUserMessageFlags.Reply
                : VfioUserMessageFlags.Reply | VfioUserMessageFlags.Error;
            SettleTwin();
            SendReply(header, payload, flags, errno);
            _sender.Gate.Exit();
        }

        _file!.EndAccess();
        if (_twin is null)
        {
            _dmaChannel.AccessEnded();
        }
    }
}
