using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.VfioUser;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <content>DMA_MAP and DMA_UNMAP: the client's memory becomes the container's.</content>
internal sealed unsafe partial class VfioUserSession
{
    private const VfioUserDmaMapFlags AccessFlags = VfioUserDmaMapFlags.Read | VfioUserDmaMapFlags.Write;
    private const VfioUserDmaMapFlags WayFlags = VfioUserDmaMapFlags.Mmap | VfioUserDmaMapFlags.FileIo;

    private readonly uint _ownUserId = CurrentProcess.UserId;
    private string? _toldTrust;
    private MessageMemory? _messages;

    private Errno DmaMap(ReadOnlySpan<byte> body)
    {
        if (!TryRead(body, out VfioUserDmaMap map) || map.ArgumentSize < VfioUserDmaMap.Length)
        {
            return Errno.EINVAL;
        }

        VfioUserDmaMapFlags way = map.Flags & WayFlags;
        int descriptors = _receiver.DescriptorCount;
        if ((map.Flags & ~(AccessFlags | WayFlags)) != 0 || way == WayFlags || descriptors > 1 || (way != 0 && descriptors == 0))
        {
            return Errno.EINVAL;
        }

        var access = (DmaAccess)(map.Flags & AccessFlags);
        if (descriptors == 0 && map.Size < ulong.MaxValue - map.Iova)
        {
            // All of the client's addresses but the last one, which no length can reach, are one memory.
            _messages ??= new MessageMemory(_dmaChannel, 0, ulong.MaxValue);
            _container!.MapDma(map.Iova, map.Size, access, _messages, map.Iova);
            return Errno.None;
        }

        UserMemory memory = descriptors == 0
            ? new MessageMemory(_dmaChannel, map.Iova, map.Size)
            : FileMemory(map, way);
        try
        {
            _container!.MapDma(map.Iova, map.Size, access, memory, 0);
            return Errno.None;
        }
        finally
        {
            // The mapping holds a reference of its own.
            memory.Release();
        }
    }

    private UserMemory FileMemory(in VfioUserDmaMap map, VfioUserDmaMapFlags way)
    {
        int descriptor = _receiver.DescriptorAt(0);
        MappingCache cache = _endpoint.Host.Mappings;
        FileFacts facts = cache.FactsOf(descriptor);
        MemoryUse use = MemoryTrust.Choose(facts, _peer.UserId, _ownUserId, _options.Guard, out string why);
        if (!ReferenceEquals(why, _toldTrust))
        {
            _toldTrust = why;
            Log($"the memory of the client, user {_peer.UserId}, is {why}");
        }

        // The client may ask for reading and writing instead of mapping; the other way round trust decides.
        if (use == MemoryUse.Borrow && way != VfioUserDmaMapFlags.FileIo)
        {
            try
            {
                return MappedMemory.Create(cache, descriptor, facts, map.FileOffset, map.Size);
            }
            catch (VfioException full) when (full.Errno == Errno.ENOSPC)
            {
                // Slower, but without a mapping of its own.
            }
        }

        return CopiedMemory.Create(cache, descriptor, facts, map.FileOffset, map.Size);
    }

    private Errno DmaUnmap(ReadOnlySpan<byte> body, out int length)
    {
        length = VfioUserDmaUnmap.Length;
        if (!TryRead(body, out VfioUserDmaUnmap unmap) || unmap.ArgumentSize < VfioUserDmaUnmap.Length)
        {
            return Errno.EINVAL;
        }

        if (unmap.Flags == VfioUserDmaUnmapFlags.GetDirtyBitmap)
        {
            return DmaUnmapDirty(unmap, body[VfioUserDmaUnmap.Length..], out length);
        }

        // The container's own check would take any other flag for nothing.
        if ((unmap.Flags & ~VfioUserDmaUnmapFlags.All) != 0)
        {
            return Errno.EINVAL;
        }

        _container!.UnmapDma(unmap.Iova, unmap.Size, unmap.Flags == VfioUserDmaUnmapFlags.All);
        MemoryMarshal.Write(Payload(length), unmap);
        return Errno.None;
    }
}
