using System.Runtime.InteropServices;
using Penstock.Specs.VfioUser;
using Penstock.VfioUser;

namespace Penstock.Hypervisor;

/// <summary>
/// What QEMU's messages tell a tap: how many pages it maps, and that the guest's tables are gone when it removes the whole address space, which is all
/// that shows of a reset or a deconfigured function. Given to a server as its observer.
/// </summary>
public sealed class TapTraffic : IMessageObserver
{
    private readonly TapSession _tap;
    private readonly IMessageObserver? _next;
    private long _maps;
    private long _unmaps;

    /// <summary>Joins a tap to the server of its device.</summary>
    /// <param name="tap">The tap.</param>
    /// <param name="next">Who sees each message after it, or null.</param>
    public TapTraffic(TapSession tap, IMessageObserver? next = null)
    {
        ArgumentNullException.ThrowIfNull(tap);
        _tap = tap;
        _next = next;
    }

    /// <summary>DMA_MAP messages so far.</summary>
    public long Maps => Volatile.Read(ref _maps);

    /// <summary>DMA_UNMAP messages so far.</summary>
    public long Unmaps => Volatile.Read(ref _unmaps);

    /// <inheritdoc/>
    public void OnMessage(bool fromClient, ReadOnlySpan<byte> message, int descriptors)
    {
        Look(fromClient, message);
        _next?.OnMessage(fromClient, message, descriptors);
    }

    private void Look(bool fromClient, ReadOnlySpan<byte> message)
    {
        if (!fromClient || message.Length < VfioUserHeader.Length)
        {
            return;
        }

        VfioUserHeader header = MemoryMarshal.Read<VfioUserHeader>(message);
        if ((header.Flags & VfioUserMessageFlags.TypeMask) != VfioUserMessageFlags.Command)
        {
            return;
        }

        if (header.Command == VfioUserCommand.DmaMap)
        {
            Interlocked.Increment(ref _maps);
        }
        else if (header.Command == VfioUserCommand.DmaUnmap && message.Length >= VfioUserHeader.Length + VfioUserDmaUnmap.Length)
        {
            Interlocked.Increment(ref _unmaps);
            VfioUserDmaUnmap unmap = MemoryMarshal.Read<VfioUserDmaUnmap>(message[VfioUserHeader.Length..]);
            if (unmap.Flags == VfioUserDmaUnmapFlags.All || (unmap.Iova == 0 && _tap.IsBeyondTables(unmap.Size)))
            {
                _tap.AnchorLost();
            }
        }
    }
}
