using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Specs.VfioUser;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <content>DEVICE_SET_IRQS.</content>
public sealed partial class VfioUserClient
{
    /// <summary>More regions or interrupt indices than this are no device's.</summary>
    private const uint MostIndices = 128;

    /// <summary>MSI-X has no more vectors.</summary>
    private const uint MostVectors = 2048;

    private const int NoEvent = -1;

    // How many vectors of each index the server has enabled; they are enabled by their eventfds.
    private readonly Dictionary<uint, uint> _enabled = [];

    /// <summary>DEVICE_SET_IRQS without data, or with eventfds.</summary>
    /// <param name="index">Interrupt index.</param>
    /// <param name="flags">One data kind and one action.</param>
    /// <param name="start">First vector.</param>
    /// <param name="count">Number of vectors.</param>
    /// <param name="events">
    /// With eventfds: none at all, to take them away from all vectors, or one for each vector; they stay the caller's. More than the server takes in
    /// one message go in several.
    /// </param>
    /// <exception cref="VfioException">The server's error; EOPNOTSUPP: it takes no descriptors.</exception>
    public void SetIrqs(uint index, VfioIrqSetFlags flags, uint start, uint count, params ReadOnlySpan<EventDescriptor> events)
    {
        int[] descriptors = new int[events.Length];
        for (int i = 0; i < descriptors.Length; i++)
        {
            descriptors[i] = events[i].Descriptor.Value;
        }

        SetIrqs(index, flags, start, count, [], descriptors);
    }

    /// <summary>DEVICE_SET_IRQS with a byte for each vector.</summary>
    /// <param name="index">Interrupt index.</param>
    /// <param name="action">One action.</param>
    /// <param name="start">First vector.</param>
    /// <param name="chosen">For each vector, whether it is meant.</param>
    /// <exception cref="VfioException">The server's error.</exception>
    public void SetIrqs(uint index, VfioIrqSetFlags action, uint start, ReadOnlySpan<byte> chosen) =>
        SetIrqs(index, action | VfioIrqSetFlags.DataBool, start, (uint)chosen.Length, chosen, []);

    /// <summary>Any form; absent descriptors are -1, and none at all means that all are absent.</summary>
    internal void SetIrqs(uint index, VfioIrqSetFlags flags, uint start, uint count, ReadOnlySpan<byte> bools, ReadOnlySpan<int> descriptors)
    {
        if ((flags & VfioIrqSetFlags.DataEventfd) == 0 || descriptors.IsEmpty)
        {
            SendIrqs(index, flags, start, count, bools, []);
            bool ends = count == 0 && (flags & (VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger)) == (VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger);
            Remember(index, flags, ends ? 0 : start + count, ends);
            return;
        }

        int most = ServerLimits.MaximumDescriptors;
        if (most == 0 && descriptors.ContainsAnyExcept(NoEvent))
        {
            throw new VfioException(Errno.EOPNOTSUPP, nameof(VfioUserCommand.DeviceSetIrqs), "the server takes no descriptors in its messages");
        }

        SendChunks(index, flags, start, descriptors, most);
        Remember(index, flags, start + (uint)descriptors.Length, ends: false);
    }

    private static int ChunkAt(ReadOnlySpan<int> descriptors, int at, int most)
    {
        bool absent = descriptors[at] == NoEvent;
        int end = at + 1;
        while (end < descriptors.Length && (descriptors[end] == NoEvent) == absent && (absent || end - at < most))
        {
            end++;
        }

        return end - at;
    }

    private void SendChunks(uint index, VfioIrqSetFlags flags, uint start, ReadOnlySpan<int> descriptors, int most)
    {
        int first = ChunkAt(descriptors, 0, most);
        if (first < descriptors.Length && (flags & VfioIrqSetFlags.ActionTrigger) != 0 && start + (uint)descriptors.Length > Enabled(index))
        {
            // Vectors are enabled by the first call, and some kinds of interrupt then get no more: so all of them at first, without eventfds.
            SendIrqs(index, flags, start, (uint)descriptors.Length, [], []);
        }

        int done = 0;
        try
        {
            while (done < descriptors.Length)
            {
                int chunk = ChunkAt(descriptors, done, most);
                ReadOnlySpan<int> part = descriptors.Slice(done, chunk);
                SendIrqs(index, flags, start + (uint)done, (uint)chunk, [], part[0] == NoEvent ? [] : part);
                done += chunk;
            }
        }
        catch (VfioException) when (done != 0)
        {
            // What its user does not know to be armed must not be.
            TryDisarm(index, flags, start, (uint)done);
            throw;
        }
    }

    private void TryDisarm(uint index, VfioIrqSetFlags flags, uint start, uint count)
    {
        try
        {
            SendIrqs(index, flags, start, count, [], []);
        }
        catch (VfioException)
        {
            // The first error is the one to tell.
        }
    }

    private void SendIrqs(uint index, VfioIrqSetFlags flags, uint start, uint count, ReadOnlySpan<byte> bools, ReadOnlySpan<int> descriptors)
    {
        var set = new VfioUserIrqSet
        {
            ArgumentSize = (uint)(VfioUserIrqSet.Length + bools.Length),
            Flags = (uint)flags,
            Index = index,
            Start = start,
            Count = count,
        };
        Run(new ClientCall
        {
            Command = VfioUserCommand.DeviceSetIrqs,
            Head = MemoryMarshal.AsBytes(new ReadOnlySpan<VfioUserIrqSet>(ref set)),
            Data = bools,
            Descriptors = descriptors,
        });
    }

    private uint Enabled(uint index)
    {
        lock (_enabled)
        {
            return _enabled.GetValueOrDefault(index);
        }
    }

    private void Remember(uint index, VfioIrqSetFlags flags, uint vectors, bool ends)
    {
        if ((flags & VfioIrqSetFlags.ActionTrigger) == 0 || (!ends && (flags & VfioIrqSetFlags.DataEventfd) == 0))
        {
            return;
        }

        lock (_enabled)
        {
            _enabled[index] = ends ? 0 : Math.Max(vectors, _enabled.GetValueOrDefault(index));
        }
    }
}
