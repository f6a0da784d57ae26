using System.Runtime.InteropServices;
using Penstock.Specs.VfioUser;
using Penstock.VfioUser;

namespace Penstock.Guests.Tests;

/// <summary>What QEMU maps and unmaps, as lines of the kind that <c>penstock replay zpci</c> writes.</summary>
internal sealed class MappingLines : IMessageObserver
{
    private readonly List<string> _lines = [];

    public IReadOnlyList<string> Lines
    {
        get
        {
            lock (_lines)
            {
                return [.. _lines];
            }
        }
    }

    public void OnMessage(bool fromClient, ReadOnlySpan<byte> message, int descriptors)
    {
        VfioUserHeader header = MemoryMarshal.Read<VfioUserHeader>(message);
        if (!fromClient || (header.Flags & VfioUserMessageFlags.TypeMask) != VfioUserMessageFlags.Command)
        {
            return;
        }

        ReadOnlySpan<byte> body = message[VfioUserHeader.Length..];
        string? line = null;
        if (header.Command == VfioUserCommand.DmaMap)
        {
            VfioUserDmaMap map = MemoryMarshal.Read<VfioUserDmaMap>(body);
            line = $"M {map.Iova:x} {map.Size:x} {map.FileOffset:x} {((map.Flags & VfioUserDmaMapFlags.Write) != 0 ? "rw" : "r")}";
        }
        else if (header.Command == VfioUserCommand.DmaUnmap)
        {
            VfioUserDmaUnmap unmap = MemoryMarshal.Read<VfioUserDmaUnmap>(body);
            line = $"U {unmap.Iova:x} {unmap.Size:x}";
        }

        if (line is not null)
        {
            lock (_lines)
            {
                _lines.Add(line);
            }
        }
    }
}
