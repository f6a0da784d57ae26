using System.Diagnostics;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text.Json.Nodes;
using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Cli.Bench;

/// <summary>
/// DMA to memory that is mapped in this process: translation of random addresses, one for each scope and 64 for each, then copies of several
/// lengths beside plain copies of the same bytes.
/// </summary>
internal sealed class DmaBench(DmaBenchOptions options, Output output)
{
    private const int MapBytes = 1 << 21;
    private const int Translated = 64;
    private const int TranslationsInScope = 64;
    private const ulong MemoryBytes = 64 << 20;
    private const int OperationsBetweenLooks = 1 << 20;
    private const long MostCopiedBytes = 256 << 20;
    private const int FewestCopies = 16;
    private const ulong RandomSeed = 88172645463325252;
    private static readonly int[] Maps = [1, 64, 1024];
    private static readonly int[] Lengths = [64, 4096, 65536, 1 << 20];

    private readonly TextTable _table = new([new("MEASURE"), new("BEST", true), new("MEDIAN", true), new("GIB/S", true), new("BYTES", true)]);
    private ulong _random = RandomSeed;

    public int Run(CancellationToken cancellation)
    {
        Exception? failure = null;
        var thread = new Thread(() =>
        {
            try
            {
                ProcessPlacement.PinCurrentThread(options.Processor);
                Measure(cancellation);
            }
            catch (Exception e)
            {
                failure = e;
            }
        });
        thread.Start();
        thread.Join();
        if (failure is not null)
        {
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(failure);
        }

        output.Line($"\n{_table}\n");
        output.Line($"Nanoseconds for an operation, best and median of {options.Rounds} rounds; GiB/s of the best round; bytes allocated for an operation.");
        return ExitStatus.Done;
    }

    private void Measure(CancellationToken cancellation)
    {
        foreach (int maps in Maps)
        {
            output.Note($"translation, {maps} mappings");
            using var rig = new DmaBenchRig(maps, MapBytes, MapBytes / 2);
            Time($"translate_{maps}", 0, n => Translate(rig.Port, maps, n), cancellation);
            Time($"translate_{maps}_bulk", 0, n => TranslateBulk(rig.Port, maps, n), cancellation);
        }

        using var one = new DmaBenchRig(1, (int)MemoryBytes, (int)MemoryBytes);
        byte[] buffer = new byte[Lengths[^1]];
        foreach (int length in Lengths)
        {
            output.Note($"copies of {length} bytes");
            Time($"mapped_read_{length}", length, n => Copy(one, buffer.AsMemory(0, length), n, write: false), cancellation);
            Time($"mapped_write_{length}", length, n => Copy(one, buffer.AsMemory(0, length), n, write: true), cancellation);
            Time($"plain_copy_{length}", length, n => PlainCopy(one, buffer.AsMemory(0, length), n), cancellation);
        }
    }

    private void Time(string measure, int length, Action<int> run, CancellationToken cancellation)
    {
        int operations = length == 0 ? options.Operations : Math.Max(FewestCopies, (int)Math.Min(options.Operations, MostCopiedBytes / length));
        double[] rounds = new double[options.Rounds];
        InSlices(operations, run, cancellation);
        long allocated = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < rounds.Length; i++)
        {
            long start = Stopwatch.GetTimestamp();
            InSlices(operations, run, cancellation);
            rounds[i] = Stopwatch.GetElapsedTime(start).TotalNanoseconds / operations;
        }

        double bytes = (GC.GetAllocatedBytesForCurrentThread() - allocated) / (double)operations / rounds.Length;
        double best = rounds.Min();
        double median = BenchSummary.MedianOf(rounds);
        double? rate = length == 0 ? null : length / best * 1e9 / (1 << 30);
        _table.Add(
            measure, best.ToString("F1", CultureInfo.InvariantCulture), median.ToString("F1", CultureInfo.InvariantCulture),
            rate?.ToString("F2", CultureInfo.InvariantCulture) ?? "-", bytes.ToString("F2", CultureInfo.InvariantCulture));
        output.Object(new JsonObject
        {
            ["measure"] = measure,
            ["rounds"] = options.Rounds,
            ["best_ns"] = Math.Round(best, 2),
            ["median_ns"] = Math.Round(median, 2),
            ["gib_per_s"] = rate is double known ? Math.Round(known, 2) : null,
            ["allocated_bytes"] = Math.Round(bytes, 3),
        });
    }

    /// <summary>Runs, and looks now and then whether to go on.</summary>
    private static void InSlices(int operations, Action<int> run, CancellationToken cancellation)
    {
        for (int left = operations; left > 0; left -= OperationsBetweenLooks)
        {
            cancellation.ThrowIfCancellationRequested();
            run(Math.Min(left, OperationsBetweenLooks));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Translate(DmaPort port, int maps, int count)
    {
        ulong random = _random;
        int found = 0;
        for (int i = 0; i < count; i++)
        {
            using DmaScope scope = port.Enter();
            if (scope.TryBorrow(Next(ref random, (ulong)maps) * MapBytes, Translated, DmaAccess.ReadWrite, out DmaRun run) && run.Length == Translated)
            {
                found++;
            }
        }

        _random = random;
        RequireAll(found, count);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void TranslateBulk(DmaPort port, int maps, int count)
    {
        ulong random = _random;
        int found = 0;
        int done = 0;
        while (done < count)
        {
            using DmaScope scope = port.Enter();
            int end = Math.Min(done + TranslationsInScope, count);
            for (; done < end; done++)
            {
                if (scope.TryBorrow(Next(ref random, (ulong)maps) * MapBytes, Translated, DmaAccess.ReadWrite, out DmaRun run) && run.Length == Translated)
                {
                    found++;
                }
            }
        }

        _random = random;
        RequireAll(found, count);
    }

    private void Copy(DmaBenchRig rig, Memory<byte> buffer, int count, bool write)
    {
        int done = 0;
        for (int i = 0; i < count; i++)
        {
            ulong iova = PlaceFor(buffer.Length);
            Errno errno = write ? rig.Port.Write(iova, buffer.Span) : rig.Port.Read(iova, buffer.Span);
            done += errno == Errno.None ? 1 : 0;
        }

        RequireAll(done, count);
    }

    private void PlainCopy(DmaBenchRig rig, Memory<byte> buffer, int count)
    {
        for (int i = 0; i < count; i++)
        {
            rig.Memory.Span(PlaceFor(buffer.Length), buffer.Length).CopyTo(buffer.Span);
        }
    }

    private ulong PlaceFor(int length) => Next(ref _random, MemoryBytes / (ulong)length) * (ulong)length;

    private static void RequireAll(int done, int wanted)
    {
        if (done != wanted)
        {
            throw new VfioException(Errno.EFAULT, "bench dma", $"only {done} of {wanted} accesses succeeded");
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Next(ref ulong random, ulong choices)
    {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        return Math.BigMul(random, choices, out _);
    }
}
