using System.Numerics;
using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <summary>
/// A device's way to its server: the connection while there is one, and what the server has of the domain that the device is attached to. Both come
/// and go on their own: maps are sent when the second of them comes. Members may be called from any thread.
/// </summary>
/// <param name="path">Path of the server's socket.</param>
/// <param name="options">How the server is treated.</param>
internal sealed class RemoteLink(string path, VfioUserClientOptions options)
{
    private VfioUserClient? _client;
    private volatile SoftwareDomain? _memory;

    /// <summary>Held while maps are changed or sent, and never by whoever serves the server's messages.</summary>
    public object Gate { get; } = new();

    /// <summary>What the device is attached to. With the gate held.</summary>
    public RemoteDomain? Attached { get; private set; }

    /// <summary>What the device has written to memory that is not mapped any more; null while it is not logged. With the gate held.</summary>
    public UnmappedDirt? Dirt { get; set; }

    /// <summary>Connects; the server does not have any maps yet.</summary>
    /// <exception cref="VfioException">The server is not there, refuses, or does not speak the protocol.</exception>
    public VfioUserClient Connect(string what, OpenDeadline deadline)
    {
        try
        {
            TimeSpan time = deadline.Left < options.ConnectTime ? deadline.Left : options.ConnectTime;
            return VfioUserClient.Over(UnixSocket.Connect(path, time, options.Ledger), options, () => _memory, deadline);
        }
        catch (SystemCallException e)
        {
            throw new VfioException(e.Errno, what, $"no server can be reached at '{path}': {e.Message}");
        }
    }

    /// <summary>The device is open: the server gets the maps, and from now on every change.</summary>
    /// <exception cref="VfioException">It takes one of them not; the link is as before.</exception>
    public void Open(VfioUserClient client)
    {
        lock (Gate)
        {
            SendAll(client, Attached);
            _client = client;
        }
    }

    /// <summary>The device is closed, or could not be opened.</summary>
    public void Close(VfioUserClient client)
    {
        lock (Gate)
        {
            _client = null;
            Dirt = null;
        }

        client.Dispose();
    }

    /// <summary>Puts a domain in force; the server loses the maps of the one before.</summary>
    /// <exception cref="VfioException">The server takes one of the new maps not; the one before is in force again.</exception>
    public void Attach(RemoteDomain domain, SoftwareDomain memory)
    {
        lock (Gate)
        {
            (RemoteDomain? before, SoftwareDomain? old) = (Attached, _memory);
            if (_client is { Failure: null } client)
            {
                RemoveAll(before);
                _memory = memory;
                try
                {
                    SendAll(client, domain);
                }
                catch (VfioException)
                {
                    _memory = old;
                    Restore(client, before);
                    throw;
                }
            }

            _memory = memory;
            Attached = domain;
        }
    }

    /// <summary>The device has left a domain.</summary>
    public void Detach(RemoteDomain domain)
    {
        lock (Gate)
        {
            if (Attached == domain)
            {
                RemoveAll(domain);
                Attached = null;
                _memory = null;
            }
        }
    }

    /// <summary>Sends a mapping. With the gate held.</summary>
    /// <param name="mapping">The mapping.</param>
    /// <param name="others">How many there are besides.</param>
    /// <exception cref="VfioException">The server's error; ENOTCONN: the device is open, and its server gone.</exception>
    public void Map(RemoteMapping mapping, int others)
    {
        if (_client is { } client)
        {
            Send(client, mapping, others);
        }
    }

    /// <summary>Takes a mapping back. With the gate held. When it returns the server does not use it: because it says so, or because it is disconnected.</summary>
    public void Unmap(RemoteMapping mapping)
    {
        if (_client is not { Failure: null } client || (Dirt is { } dirt && dirt.TryUnmap(client, mapping)))
        {
            return;
        }

        try
        {
            client.UnmapDma(mapping.Iova, mapping.Size);
        }
        catch (VfioException e)
        {
            client.Connection.Fail(Errno.EIO, $"the server does not give [0x{mapping.Iova:x}, +0x{mapping.Size:x}) back: {e.Message}");
        }
    }

    private static void Send(VfioUserClient client, RemoteMapping mapping, int others)
    {
        string what = $"DMA_MAP [0x{mapping.Iova:x}, +0x{mapping.Size:x})";
        PeerLimits limits = client.ServerLimits;
        if (others >= limits.MaximumDmaMaps)
        {
            throw new VfioException(Errno.ENOSPC, what, $"the device's server takes {limits.MaximumDmaMaps} maps");
        }

        ulong mask = (1ul << BitOperations.TrailingZeroCount(limits.PageSizes)) - 1;
        if (((mapping.Iova | mapping.Size) & mask) != 0)
        {
            throw new VfioException(Errno.EINVAL, what, $"the device's server takes pages of 0x{mask + 1:x} bytes");
        }

        OwnedDescriptor? file = FileOf(mapping, limits, out ulong offset);
        client.MapDma(mapping.Iova, mapping.Size, mapping.Access, file, offset);
    }

    private static OwnedDescriptor? FileOf(RemoteMapping mapping, in PeerLimits limits, out ulong offset)
    {
        offset = 0;
        if (limits.MaximumDescriptors == 0)
        {
            return null;
        }

        try
        {
            OwnedDescriptor? file = mapping.Memory!.Share(out offset);
            offset = file is null ? 0 : offset + mapping.MemoryOffset;
            return file;
        }
        catch (SystemCallException)
        {
            // Messages do without.
            return null;
        }
    }

    private static void SendAll(VfioUserClient client, RemoteDomain? domain)
    {
        int sent = 0;
        try
        {
            foreach (RemoteMapping mapping in domain?.Mappings ?? [])
            {
                Send(client, mapping, sent);
                sent++;
            }
        }
        catch (VfioException)
        {
            foreach (RemoteMapping mapping in domain!.Mappings.Take(sent))
            {
                TakeBack(client, mapping);
            }

            throw;
        }
    }

    private static void TakeBack(VfioUserClient client, RemoteMapping mapping)
    {
        try
        {
            client.UnmapDma(mapping.Iova, mapping.Size);
        }
        catch (VfioException e)
        {
            client.Connection.Fail(Errno.EIO, $"the server does not give memory back: {e.Message}");
        }
    }

    private void RemoveAll(RemoteDomain? domain)
    {
        foreach (RemoteMapping mapping in domain?.Mappings ?? [])
        {
            Unmap(mapping);
        }
    }

    private static void Restore(VfioUserClient client, RemoteDomain? domain)
    {
        try
        {
            SendAll(client, domain);
        }
        catch (VfioException e)
        {
            // The device would go on without maps that its user believes in.
            client.Connection.Fail(Errno.EIO, $"the server does not take back maps that it had: {e.Message}");
        }
    }
}
