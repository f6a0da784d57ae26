using System.Runtime.InteropServices;
using Penstock.Specs.Nvme;
using Penstock.Vfio;

namespace Penstock.Devices;

/// <summary>
/// Asynchronous events (NVM Express Base 1.4, section 5.2): which have happened and are not told, which may not be told before the host has
/// read the log of the last one of that type, and the requests that the host keeps with the controller. Used on the strand.
/// </summary>
internal sealed class NvmeEvents
{
    /// <summary>How many requests the host may keep here.</summary>
    internal const int Limit = 4;

    private const int MostPending = 8;
    private const int Types = 8;
    private const uint TypeMask = Types - 1;

    private readonly uint[] _pending = new uint[MostPending];
    private readonly NvmeJob?[] _requests = new NvmeJob?[Limit];
    private readonly ushort[] _order = new ushort[Limit];
    private int _pendingCount;
    private int _requestCount;

    /// <summary>Types that wait for their log to be read, a bit each.</summary>
    internal uint Masked { get; set; }

    internal bool CanTell => _requestCount != 0 && FindTellable() >= 0;

    internal ReadOnlySpan<uint> Pending => _pending.AsSpan(0, _pendingCount);

    internal void RaiseError(NvmeAsyncErrorInfo info) => Raise(NvmeAsyncEventType.Error, (byte)info, NvmeLogId.Errors);

    /// <summary>Something has happened. The same thing is not kept twice.</summary>
    internal void Raise(NvmeAsyncEventType type, byte info, NvmeLogId log)
    {
        uint result = ((uint)type << NvmeAsyncEvent.TypeShift) | ((uint)info << NvmeAsyncEvent.InfoShift) | ((uint)log << NvmeAsyncEvent.LogPageShift);
        if (_pendingCount < MostPending && !Pending.Contains(result))
        {
            _pending[_pendingCount++] = result;
        }
    }

    /// <summary>Keeps a request.</summary>
    /// <returns>False when there are as many as there may be.</returns>
    internal bool TryKeep(NvmeJob request)
    {
        if (_requestCount == Limit)
        {
            return false;
        }

        _requests[_requestCount++] = request;
        return true;
    }

    /// <summary>Takes the oldest request for an event that may be told.</summary>
    internal bool TryTell(out NvmeJob request, out uint result)
    {
        int found = _requestCount == 0 ? -1 : FindTellable();
        if (found < 0)
        {
            request = null!;
            result = 0;
            return false;
        }

        result = _pending[found];
        Masked |= 1u << (int)(result & TypeMask);
        _pending.AsSpan((found + 1)..).CopyTo(_pending.AsSpan(found));
        _pendingCount--;
        request = TakeRequest(0);
        return true;
    }

    /// <summary>Takes a certain request, which the host has aborted.</summary>
    internal bool TryTake(ushort commandId, out NvmeJob request)
    {
        for (int i = 0; i < _requestCount; i++)
        {
            if (_requests[i]!.Command.CommandId == commandId)
            {
                request = TakeRequest(i);
                return true;
            }
        }

        request = null!;
        return false;
    }

    /// <summary>The host has read the log, or what tells the type otherwise.</summary>
    internal void Unmask(NvmeAsyncEventType type) => Masked &= ~(1u << (int)type);

    /// <summary>Adds events to a table. Requests travel among the commands, their order here.</summary>
    internal void Declare(DeviceStateTable table) => table
        .Number("masked events", 4, () => Masked, value => Masked = (uint)value)
        .Number("number of events", 1, () => (ulong)_pendingCount, value => _pendingCount = (int)value, largest: MostPending)
        .Bytes(
            "events",
            MostPending * sizeof(uint),
            bytes => MemoryMarshal.AsBytes(_pending.AsSpan()).CopyTo(bytes),
            bytes => bytes.CopyTo(MemoryMarshal.AsBytes(_pending.AsSpan())))
        .Bytes("order of requests", Limit * sizeof(ushort), SaveOrder, bytes => bytes.CopyTo(MemoryMarshal.AsBytes(_order.AsSpan())));

    /// <summary>The requests have all been kept again: they get their order back.</summary>
    internal void Restore() =>
        _requests.AsSpan(0, _requestCount).Sort((a, b) => Place(a!.Command.CommandId).CompareTo(Place(b!.Command.CommandId)));

    internal void Reset()
    {
        _pendingCount = 0;
        _requestCount = 0;
        Array.Clear(_requests);
        Masked = 0;
    }

    private int FindTellable()
    {
        for (int i = 0; i < _pendingCount; i++)
        {
            if ((Masked & (1u << (int)(_pending[i] & TypeMask))) == 0)
            {
                return i;
            }
        }

        return -1;
    }

    private void SaveOrder(Span<byte> bytes)
    {
        Array.Clear(_order);
        for (int i = 0; i < _requestCount; i++)
        {
            _order[i] = _requests[i]!.Command.CommandId;
        }

        MemoryMarshal.AsBytes(_order.AsSpan()).CopyTo(bytes);
    }

    private int Place(ushort commandId) => Array.IndexOf(_order, commandId);

    private NvmeJob TakeRequest(int index)
    {
        NvmeJob request = _requests[index]!;
        _requests.AsSpan((index + 1)..).CopyTo(_requests.AsSpan(index));
        _requests[--_requestCount] = null;
        return request;
    }
}
