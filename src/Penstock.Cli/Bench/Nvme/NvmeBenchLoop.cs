using System.Diagnostics;
using System.Runtime.CompilerServices;
using Penstock.Devices;
using Penstock.Drivers;
using Penstock.Interop;
using Penstock.Specs.Nvme;
using Penstock.Vfio;

namespace Penstock.Cli.Bench;

/// <summary>Keeps a number of random commands of 4 KiB under way, on one thread that polls, and times each of them.</summary>
internal sealed class NvmeBenchLoop
{
    private const ulong RandomSeed = 88172645463325252;
    private static readonly long Patience = 20 * Stopwatch.Frequency;

    private readonly NvmeBenchRig _rig;
    private readonly int _blocks;
    private readonly ulong _places;
    private readonly long[] _begun = new long[NvmeBenchRig.MostDepth];
    private readonly int[] _free = new int[NvmeBenchRig.MostDepth];
    private readonly NvmeCompleted[] _completed = new NvmeCompleted[NvmeBenchRig.MostDepth];
    private ulong _random = RandomSeed;

    public NvmeBenchLoop(NvmeBenchRig rig)
    {
        _rig = rig;
        _blocks = NvmeBenchRig.Length / rig.Driver.Namespace.BlockSize;
        _places = rig.Driver.Namespace.Blocks / (ulong)_blocks;
    }

    /// <summary>Runs commands.</summary>
    /// <param name="opcode">Read or write.</param>
    /// <param name="depth">How many are under way.</param>
    /// <param name="count">How many are run.</param>
    /// <param name="latencies">Counts the time of each.</param>
    /// <param name="cancellation">Ends the round early.</param>
    /// <returns>The round.</returns>
    /// <exception cref="VfioException">A command failed (EIO), or none was completed for long (ETIMEDOUT).</exception>
    /// <exception cref="OperationCanceledException">The round was ended early.</exception>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public NvmeBenchRound Run(NvmeIoOpcode opcode, int depth, int count, LatencyHistogram latencies, CancellationToken cancellation)
    {
        NvmeTimesLog before = ReadTimes();
        NvmeQueue queue = _rig.Queue;
        for (int i = 0; i < depth; i++)
        {
            _free[i] = i;
        }

        int free = depth;
        int submitted = 0;
        int done = 0;
        long submitting = 0;
        long taking = 0;
        long allocated = GC.GetAllocatedBytesForCurrentThread();
        long start = Stopwatch.GetTimestamp();
        long looked = start;
        while (done < count)
        {
            if (free != 0 && submitted < count)
            {
                for (; free != 0 && submitted < count; submitted++)
                {
                    int tag = _free[--free];
                    _begun[tag] = looked;
                    if (!queue.TrySubmit(opcode, Next() * (ulong)_blocks, _blocks, _rig.Memory.Iova + ((ulong)tag * NvmeBenchRig.Length), (ulong)tag))
                    {
                        throw Broken(Errno.EIO, queue.Fault ?? "it takes no command");
                    }
                }

                queue.Announce();
                long announced = Stopwatch.GetTimestamp();
                submitting += announced - looked;
                looked = announced;
            }

            int found = queue.Poll(_completed);
            long now = Stopwatch.GetTimestamp();
            if (found == 0)
            {
                if (now - looked > Patience || !queue.IsAlive)
                {
                    cancellation.ThrowIfCancellationRequested();
                    throw Broken(Errno.ETIMEDOUT, queue.Fault ?? "nothing is completed");
                }

                continue;
            }

            for (int i = 0; i < found; i++)
            {
                NvmeCompleted completed = _completed[i];
                if (completed.Status != NvmeStatus.Success)
                {
                    throw Broken(Errno.EIO, $"status {completed.Status}");
                }

                latencies.Add(now - _begun[(int)completed.Tag]);
                done++;
                _free[free++] = (int)completed.Tag;
            }

            looked = Stopwatch.GetTimestamp();
            taking += looked - now;
            cancellation.ThrowIfCancellationRequested();
        }

        long whole = Stopwatch.GetTimestamp() - start;
        allocated = GC.GetAllocatedBytesForCurrentThread() - allocated;
        double each = 1e9 / Stopwatch.Frequency / count;
        return new NvmeBenchRound(
            count * (double)Stopwatch.Frequency / whole,
            submitting * each,
            taking * each,
            (whole - submitting - taking) * each,
            allocated / (double)count,
            ReadTimes().Since(before));
    }

    private static VfioException Broken(Errno errno, string why) => new(errno, "bench nvme", why);

    private NvmeTimesLog ReadTimes()
    {
        if (!_rig.HasTimes)
        {
            return default;
        }

        Span<byte> page = stackalloc byte[NvmeTimesLog.Length];
        _rig.Driver.ReadLog(NvmeTimesLog.Id, page);
        return NvmeTimesLog.Read(page);
    }

    private ulong Next()
    {
        _random ^= _random << 13;
        _random ^= _random >> 7;
        _random ^= _random << 17;
        return Math.BigMul(_random, _places, out _);
    }
}
