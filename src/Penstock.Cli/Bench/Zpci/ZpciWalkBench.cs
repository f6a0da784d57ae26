using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Penstock.S390;

namespace Penstock.Cli.Bench;

/// <summary>Walks of a guest's tables, by C# and by C, in turn on one processor. Both have to find the same.</summary>
internal sealed class ZpciWalkBench(ZpciBenchOptions options, Output output)
{
    private const ulong Seed = 88172645463325252;
    private const int WarmCalls = 3000;
    private const int WarmWalks = 300;
    private const int WarmPause = 10;
    private const int WarmRounds = 3;

    // 64 MiB and 1 GiB of I/O addresses: page tables of 128 KiB, and of 2 MiB.
    private static readonly int[] PageCounts = [16384, 262144];

    private readonly TextTable _table = new(
        [new("PAGES", true), new("ORDER"), new("C# BEST", true), new("MEDIAN", true), new("C BEST", true), new("MEDIAN", true), new("RATIO BEST", true), new("MEDIAN", true)]);

    public void Run(CancellationToken cancellation)
    {
        foreach (int pages in PageCounts)
        {
            using var guest = new ZpciBenchGuest(pages, hasData: false);
            for (int i = 0; i < pages; i++)
            {
                guest.Set(i, writable: i % 3 != 0);
            }

            using var folder = new TemporaryFolder();
            string file = folder.File("tables");
            System.IO.File.WriteAllBytes(file, guest.Tables);
            using ZpciWalker? walker = options.Walker is null ? null : new ZpciWalker(options.Walker, file, guest, options.Processor);
            Measure(guest, walker, random: true, cancellation);
            Measure(guest, walker, random: false, cancellation);
        }

        output.Line($"\nWalks of region third tables, nanoseconds for one, {options.Rounds} rounds in turn:\n\n{_table}");
    }

    private void Measure(ZpciBenchGuest guest, ZpciWalker? walker, bool random, CancellationToken cancellation)
    {
        // As in a process that has run for a while: compiled with what the first calls have shown.
        for (int i = 0; i < WarmCalls; i++)
        {
            _ = random ? WalkRandomly(guest, WarmWalks, Seed) : WalkInOrder(guest, WarmWalks);
            if (i % WarmPause == 0)
            {
                Thread.Sleep(1);
            }
        }

        double[] own = new double[options.Rounds];
        double[] peer = new double[options.Rounds];
        for (int round = -WarmRounds; round < options.Rounds; round++)
        {
            cancellation.ThrowIfCancellationRequested();
            int at = Math.Max(round, 0);
            ulong seed = Seed + (ulong)at;

            // Who comes first changes from round to round.
            (double c, ulong sum) = round % 2 == 0 && walker is not null ? walker.Walk(options.Operations, seed, random) : default;
            long start = Stopwatch.GetTimestamp();
            ulong found = random ? WalkRandomly(guest, options.Operations, seed) : WalkInOrder(guest, options.Operations);
            own[at] = Stopwatch.GetElapsedTime(start).TotalNanoseconds / options.Operations;
            if (walker is not null)
            {
                (c, sum) = round % 2 == 0 ? (c, sum) : walker.Walk(options.Operations, seed, random);
                peer[at] = c / options.Operations;
                if (sum != found)
                {
                    throw new IOException($"C finds 0x{sum:x}, C# 0x{found:x}: one of the walks is wrong");
                }
            }
        }

        Report(guest.Pages, random, own, walker is null ? null : peer);
    }

    private void Report(int pages, bool random, double[] own, double[]? peer)
    {
        double best = own.Min();
        double median = BenchSummary.MedianOf(own);
        double? peerBest = peer?.Min();
        double? peerMedian = peer is null ? null : BenchSummary.MedianOf(peer);
        _table.Add(
            pages.ToString(CultureInfo.InvariantCulture), random ? "random" : "ascending", Text(best), Text(median), Text(peerBest), Text(peerMedian),
            Text(best / peerBest), Text(median / peerMedian));
        output.Object(new JsonObject
        {
            ["measure"] = "walk",
            ["pages"] = pages,
            ["order"] = random ? "random" : "ascending",
            ["rounds"] = options.Rounds,
            ["best_ns"] = Math.Round(best, 3),
            ["median_ns"] = Math.Round(median, 3),
            ["c_best_ns"] = peerBest is { } b ? Math.Round(b, 3) : null,
            ["c_median_ns"] = peerMedian is { } m ? Math.Round(m, 3) : null,
            ["best_ratio"] = peerBest is { } p ? Math.Round(best / p, 4) : null,
            ["median_ratio"] = peerMedian is { } q ? Math.Round(median / q, 4) : null,
        });
    }

    private static ulong WalkRandomly(ZpciBenchGuest guest, int count, ulong random)
    {
        FlatTableReader reader = guest.Reader;
        Iota iota = ZpciBenchGuest.Anchor;
        ulong pages = (ulong)guest.Pages;
        ulong sum = 0;
        for (int i = 0; i < count; i++)
        {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            ulong page = Math.BigMul(random, pages, out _);
            IoWalk walk = IoTableWalk.Walk(in reader, iota, ZpciBenchGuest.FirstIova + (page * ZpciBenchGuest.Page));
            sum += walk.IsValid ? walk.Address + (walk.CanWrite ? 1ul : 0) : (ulong)walk.Fault;
        }

        return sum;
    }

    private static ulong WalkInOrder(ZpciBenchGuest guest, int count)
    {
        FlatTableReader reader = guest.Reader;
        Iota iota = ZpciBenchGuest.Anchor;
        ulong pages = (ulong)guest.Pages;
        ulong page = 0;
        ulong sum = 0;
        for (int i = 0; i < count; i++)
        {
            IoWalk walk = IoTableWalk.Walk(in reader, iota, ZpciBenchGuest.FirstIova + (page * ZpciBenchGuest.Page));
            page = page + 1 == pages ? 0 : page + 1;
            sum += walk.IsValid ? walk.Address + (walk.CanWrite ? 1ul : 0) : (ulong)walk.Fault;
        }

        return sum;
    }

    private static string Text(double? value) => value?.ToString("F2", CultureInfo.InvariantCulture) ?? "-";
}
