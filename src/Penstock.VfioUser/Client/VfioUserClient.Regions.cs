using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.VfioUser;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <content>DEVICE_GET_REGION_INFO, DEVICE_GET_REGION_IO_FDS and REGION_WRITE_MULTI.</content>
public sealed partial class VfioUserClient
{
    /// <summary>As many writes a QEMU puts into one message.</summary>
    private const int MostWrites = 200;

    /// <summary>What is asked for at first; hardly any region needs more.</summary>
    private const int UsualReply = 4096;

    /// <summary>More than this no client takes.</summary>
    private const int LargestReply = 256 * 1024;

    /// <summary>DEVICE_GET_REGION_INFO.</summary>
    /// <param name="index">Region index.</param>
    /// <returns>The region. That it can be mapped is only said when a descriptor came.</returns>
    /// <exception cref="VfioException">EINVAL: no such region.</exception>
    public VfioRegionInfo GetRegionInfo(uint index)
    {
        using RemoteRegion region = GetRegion(index);
        return region.Info;
    }

    /// <summary>DEVICE_GET_REGION_IO_FDS. Both forms of entries are understood: the text's, and the longer one of the C library.</summary>
    /// <param name="index">Region index.</param>
    /// <returns>Entries and descriptors, which the caller disposes.</returns>
    /// <exception cref="VfioException">EINVAL: no such region.</exception>
    public RegionIoFds GetRegionIoFds(uint index)
    {
        byte[] answer = AskAll(VfioUserCommand.DeviceGetRegionIoFds, VfioUserRegionIoFds.Length, index, out int length, out OwnedDescriptor[] descriptors);
        try
        {
            return new RegionIoFds(IoFdsReply.Read(index, answer.AsSpan(0, length), descriptors), descriptors);
        }
        catch
        {
            Array.ForEach(descriptors, static d => d.Dispose());
            throw;
        }
    }

    /// <summary>
    /// Several short writes, in as few messages as the server takes: one for up to 200 if it said that it does (<see cref="PeerLimits.WriteMultiple"/>),
    /// else one for each.
    /// </summary>
    /// <param name="writes">The writes, done in their order.</param>
    /// <param name="posted">Do not wait for the server; its errors stay unseen.</param>
    /// <exception cref="VfioException">EINVAL: one has no or more than 8 bytes; the server's error, after what came before it is done.</exception>
    public void WriteMultiple(ReadOnlySpan<RegionWrite> writes, bool posted = false)
    {
        foreach (RegionWrite write in writes)
        {
            if (write.Length is < 1 or > VfioUserMultiWrite.MaximumData)
            {
                throw new VfioException(Errno.EINVAL, nameof(VfioUserCommand.RegionWriteMulti), $"a write of {write.Length} bytes; 1 to {VfioUserMultiWrite.MaximumData} are possible");
            }
        }

        if (ServerLimits.WriteMultiple)
        {
            for (; !writes.IsEmpty; writes = writes[Math.Min(MostWrites, writes.Length)..])
            {
                SendWrites(writes[..Math.Min(MostWrites, writes.Length)], posted);
            }

            return;
        }

        Span<byte> data = stackalloc byte[sizeof(ulong)];
        foreach (RegionWrite write in writes)
        {
            MemoryMarshal.Write(data, write.Value);
            Write(write.Region, write.Offset, data[..write.Length], posted);
        }
    }

    /// <summary>A region with its descriptors, which the caller disposes.</summary>
    internal RemoteRegion GetRegion(uint index)
    {
        byte[] answer = AskAll(VfioUserCommand.DeviceGetRegionInfo, VfioUserRegionInfo.Length, index, out int length, out OwnedDescriptor[] descriptors);
        try
        {
            return RegionInfoReply.Read(index, answer.AsSpan(0, length), descriptors);
        }
        catch
        {
            Array.ForEach(descriptors, static d => d.Dispose());
            throw;
        }
    }

    /// <summary>A command whose request and reply begin with a size, flags and an index, asked again when the reply needs more room.</summary>
    private byte[] AskAll(VfioUserCommand command, int structure, uint index, out int length, out OwnedDescriptor[] descriptors)
    {
        Span<byte> request = stackalloc byte[structure];
        byte[] answer = new byte[UsualReply];
        while (true)
        {
            request.Clear();
            MemoryMarshal.Write(request, (uint)answer.Length);
            MemoryMarshal.Write(request[(2 * sizeof(uint))..], index);
            ClientReply reply = Run(new ClientCall
            {
                Command = command,
                Head = request,
                ReplyData = answer,
                LeastReply = structure,
                WantedDescriptors = UnixSocket.MaximumDescriptors,
            });
            length = reply.Length;
            descriptors = reply.Descriptors ?? [];
            uint needed = MemoryMarshal.Read<uint>(answer);
            if (needed <= (uint)answer.Length)
            {
                return answer;
            }

            Array.ForEach(descriptors, static d => d.Dispose());
            Require(
                answer.Length == UsualReply && needed <= LargestReply,
                command,
                $"the reply for index {index} would have {needed} bytes; {answer.Length} were asked for, at most {LargestReply} are taken");
            answer = new byte[needed];
        }
    }

    private void SendWrites(ReadOnlySpan<RegionWrite> writes, bool posted)
    {
        Span<byte> payload = stackalloc byte[VfioUserRegionWriteMulti.Length + (writes.Length * VfioUserMultiWrite.Length)];
        MemoryMarshal.Write(payload, new VfioUserRegionWriteMulti { Count = (ulong)writes.Length });
        for (int i = 0; i < writes.Length; i++)
        {
            RegionWrite write = writes[i];
            MemoryMarshal.Write(
                payload[(VfioUserRegionWriteMulti.Length + (i * VfioUserMultiWrite.Length))..],
                new VfioUserMultiWrite { Offset = write.Offset, Region = write.Region, Count = (uint)write.Length, Data = write.Value });
        }

        if (posted)
        {
            Errno errno = _connection.Post(VfioUserCommand.RegionWriteMulti, payload, []);
            if (errno != Errno.None)
            {
                throw ClientConnection.Refused(errno, VfioUserCommand.RegionWriteMulti, new ClientReply { Problem = _connection.Failure });
            }

            return;
        }

        VfioUserRegionWriteMulti done = default;
        Run(new ClientCall
        {
            Command = VfioUserCommand.RegionWriteMulti,
            Head = payload,
            ReplyHead = MemoryMarshal.AsBytes(new Span<VfioUserRegionWriteMulti>(ref done)),
            LeastReply = VfioUserRegionWriteMulti.Length,
        });
        Require(done.Count == (ulong)writes.Length, VfioUserCommand.RegionWriteMulti, $"{done.Count} of {writes.Length} writes were done");
    }
}
