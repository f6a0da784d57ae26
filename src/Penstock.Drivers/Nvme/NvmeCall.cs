using System.Diagnostics;
using Penstock.Specs.Nvme;

namespace Penstock.Drivers;

/// <summary>A command number of a shared queue pair, with the buffer that it always uses.</summary>
internal sealed unsafe class NvmeCall(int index, byte* buffer, ulong iova, int size)
{
    private int _done;

    internal int Index => index;

    internal ulong Iova => iova;

    // SAFETY: the buffer lives as long as the channel.
    internal Span<byte> Buffer => new(buffer, size);

    /// <summary>Somebody has it, or the device still does.</summary>
    internal bool IsTaken { get; set; }

    internal bool IsUnderWay { get; set; }

    /// <summary>Who waits for it, unless it is a synchronous call.</summary>
    internal NvmeOperation? Operation { get; set; }

    internal NvmeStatus Status { get; set; }

    internal uint Result { get; set; }

    internal long Started { get; set; }

    /// <summary>Status and result are there.</summary>
    internal bool IsDone
    {
        get => Volatile.Read(ref _done) != 0;
        set => Volatile.Write(ref _done, value ? 1 : 0);
    }

    internal void Take()
    {
        IsTaken = true;
        IsUnderWay = false;
        IsDone = false;
        Operation = null;
        Started = Stopwatch.GetTimestamp();
    }
}
