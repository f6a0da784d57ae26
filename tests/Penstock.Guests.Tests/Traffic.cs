using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Specs.VfioUser;
using Penstock.VfioUser;

namespace Penstock.Guests.Tests;

/// <summary>Counts what goes over the socket. May be read from any thread.</summary>
internal sealed class Traffic : IMessageObserver
{
    // The card's interrupt status register, as its manual has it.
    private const uint StatusBar = 2;
    private const ulong StatusOffset = 6;
    private const byte StatusPending = 1 << 2;

    private readonly ConcurrentDictionary<VfioUserCommand, int> _commands = new();
    private readonly ConcurrentDictionary<VfioUserCommand, int> _asked = new();
    private readonly ConcurrentQueue<(VfioUserCommand Command, Errno Errno)> _errors = new();
    private readonly Lock _guard = new();
    private readonly List<Range> _live = [];
    private readonly List<Range> _oddUnmaps = [];
    private int _messages;
    private int _statusReads;
    private int _idleStatusReads;
    private int _mapsWithDescriptor;
    private int _readOnlyMaps;
    private int _largestUnmap;

    /// <summary>A range of I/O addresses; <paramref name="Last"/> belongs to it.</summary>
    internal readonly record struct Range(ulong First, ulong Last)
    {
        public ulong Size => Last - First + 1;

        public override string ToString() => $"[0x{First:x}, 0x{Last:x}]";
    }

    /// <summary>Messages in both directions.</summary>
    public int Messages => Volatile.Read(ref _messages);

    /// <summary>DMA_MAPs that brought a descriptor.</summary>
    public int MapsWithDescriptor => Volatile.Read(ref _mapsWithDescriptor);

    /// <summary>DMA_MAPs that let the device read only.</summary>
    public int ReadOnlyMaps => Volatile.Read(ref _readOnlyMaps);

    /// <summary>The most maps that one DMA_UNMAP took away.</summary>
    public int LargestUnmap => Volatile.Read(ref _largestUnmap);

    /// <summary>Reads of the card's interrupt status; Linux reads it once for each interrupt that it counts.</summary>
    public int StatusReads => Volatile.Read(ref _statusReads);

    /// <summary>Those of them that found nothing pending.</summary>
    public int IdleStatusReads => Volatile.Read(ref _idleStatusReads);

    /// <summary>The error replies of the server, in order.</summary>
    public IReadOnlyCollection<(VfioUserCommand Command, Errno Errno)> Errors => _errors;

    /// <summary>What is mapped by the letter: maps that no later unmap contained.</summary>
    public IReadOnlyList<Range> LiveMaps
    {
        get
        {
            lock (_guard)
            {
                return [.. _live];
            }
        }
    }

    /// <summary>Unmaps of ranges that are not exactly one mapped range.</summary>
    public IReadOnlyList<Range> OddUnmaps
    {
        get
        {
            lock (_guard)
            {
                return [.. _oddUnmaps];
            }
        }
    }

    /// <summary>How often the client gave a command.</summary>
    public int Count(VfioUserCommand command) => _commands.GetValueOrDefault(command);

    /// <summary>How often the server gave a command: DMA by message.</summary>
    public int CountAsked(VfioUserCommand command) => _asked.GetValueOrDefault(command);

    public void OnMessage(bool fromClient, ReadOnlySpan<byte> message, int descriptors)
    {
        VfioUserHeader header = MemoryMarshal.Read<VfioUserHeader>(message);
        Interlocked.Increment(ref _messages);
        bool isReply = (header.Flags & VfioUserMessageFlags.TypeMask) == VfioUserMessageFlags.Reply;
        if (!fromClient && isReply && (header.Flags & VfioUserMessageFlags.Error) != 0)
        {
            _errors.Enqueue((header.Command, (Errno)header.Error));
        }

        if (!fromClient && isReply && header.Command == VfioUserCommand.RegionRead)
        {
            WasRead(message[VfioUserHeader.Length..]);
        }

        if (!fromClient && !isReply)
        {
            _asked.AddOrUpdate(header.Command, 1, (_, count) => count + 1);
        }

        if (!fromClient || isReply)
        {
            return;
        }

        _commands.AddOrUpdate(header.Command, 1, (_, count) => count + 1);
        ReadOnlySpan<byte> body = message[VfioUserHeader.Length..];
        if (header.Command == VfioUserCommand.Version)
        {
            lock (_guard)
            {
                _live.Clear();
            }
        }
        else if (header.Command == VfioUserCommand.DmaMap)
        {
            VfioUserDmaMap map = MemoryMarshal.Read<VfioUserDmaMap>(body);
            Interlocked.Add(ref _mapsWithDescriptor, descriptors);
            Interlocked.Add(ref _readOnlyMaps, (map.Flags & VfioUserDmaMapFlags.Write) == 0 ? 1 : 0);
            lock (_guard)
            {
                _live.Add(new Range(map.Iova, map.Iova + map.Size - 1));
            }
        }
        else if (header.Command == VfioUserCommand.DmaUnmap)
        {
            Unmapped(MemoryMarshal.Read<VfioUserDmaUnmap>(body));
        }
    }

    private void WasRead(ReadOnlySpan<byte> body)
    {
        if (body.Length != VfioUserRegionAccess.Length + 1)
        {
            return;
        }

        VfioUserRegionAccess access = MemoryMarshal.Read<VfioUserRegionAccess>(body);
        if (access.Region == VfioRegions.Bar0 + StatusBar && access.Offset == StatusOffset)
        {
            Interlocked.Increment(ref _statusReads);
            if ((body[VfioUserRegionAccess.Length] & StatusPending) == 0)
            {
                Interlocked.Increment(ref _idleStatusReads);
            }
        }
    }

    private void Unmapped(VfioUserDmaUnmap unmap)
    {
        lock (_guard)
        {
            if ((unmap.Flags & VfioUserDmaUnmapFlags.All) != 0)
            {
                _live.Clear();
                return;
            }

            var range = new Range(unmap.Iova, unmap.Iova + unmap.Size - 1);
            if (!_live.Remove(range))
            {
                _oddUnmaps.Add(range);
                int removed = _live.RemoveAll(map => map.First >= range.First && map.Last <= range.Last);
                _largestUnmap = Math.Max(_largestUnmap, removed);
            }
        }
    }
}
